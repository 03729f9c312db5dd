"""The rules of dialing. Every reason for which a phone does not ring is in this package.

The package is pure: it knows no Redis, carrier, settings, clock or environment. Each function decides from its arguments alone,
the time included, so each decision can be read, tested and repeated. Read the modules in this order:

- rule: every rule by its name, with its sentence, when it is asked again, and where it is enforced.
- states: the states of a campaign and of a contact.
- verdict: what a rule's no means for a contact, and the moment at which the rule is asked again.
- timing: every tuned time, on one drawn timeline from the claim to the end of the lease.
- may_ring: the rules that are asked about one contact, in their order.
- law, with its data in law.toml: which hours, caps, consent and registries the law of a place asks for.
- do_not_call: our own list, and the copies of national registries that calls must be checked against.
- consent: whether a contact has agreed to be called.
- hours: when it is an hour for calls where the contact is.
- evidence: what witnesses say about a call, in no vendor's words.
- settlement: how an attempt ended, decided from all the evidence, in whatever order it came.
- retries: how often a contact and a number may be rung, and when a contact is rung again.
- brakes: when a campaign stops by itself and waits for the operator.
- caller_ids: from which of our numbers a contact is called.
- admission: which campaigns may not start, and which rows are refused before they become contacts.
- warm_bots: how many may ring at once, so that nobody answers to silence. This is the specification; production's twin is
  claim.lua.
"""
