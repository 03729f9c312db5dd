"""Concludes attempts: fetches what was heard, lets the rules settle it, and records what they decide.

The carrier is not asked here: see `asking`.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from campaigns.call import Disposition
from worker.dialing.apart import apart
from worker.dialing.collaborators import Dialer
from worker.rules import brakes, do_not_call, retries, settlement
from worker.rules.rule import Rule
from worker.rules.settlement import Settled, Step, Waiting
from worker.rules.states import ContactState
from worker.rules.timing import TICK
from worker.rules.verdict import Verdict, no
from worker.store import Store
from worker.store.values import Case, Conclusion

log: Final = logging.getLogger(__name__)

_TRIES: Final = 5
"""How many times a decision is made if more is heard each time while it is made."""


def sweep(dialer: Dialer) -> Iterator[tuple[Step, str]]:
    """Conclude every attempt whose next look has come; yields each for which more is to be done, with that step."""
    store = dialer.store
    if not store.tick("sweep", TICK):
        return
    taken = store.attempts.take_unsettled()
    for case in store.attempts.cases(taken) if taken else []:
        what_failed = "%s cannot be concluded; the others are"
        step = apart(partial(conclude, store, case), what_failed, case.attempt_id, instead=lambda _: Step.WAIT)
        if step is not Step.WAIT:
            yield step, case.attempt_id


def conclude(store: Store, attempt: Case | str) -> Step:
    """Settle an attempt by what was heard of it, and record what follows for its contact.

    `attempt` is its id, or the case as it was just read. Returns the step to take if it cannot be settled yet, else
    WAIT.
    """
    attempt_id = attempt if isinstance(attempt, str) else attempt.attempt_id
    known = None if isinstance(attempt, str) else attempt
    for _ in range(_TRIES):
        case, known = known or store.attempts.case(attempt_id), None
        if case is None:
            break
        now = case.read_at
        if not case.begun:
            give_back(store, case, "", no(Rule.LEASE_ENDED, case.campaign, case.place, now))
            break
        decided = settlement.settle(case.evidence, now)
        if isinstance(decided, Waiting):
            store.attempts.look_again(attempt_id, decided.look_at)
            return decided.step
        settled, following = _what_follows(case, decided, now)
        marks = frozenset[str]() if case.inbound else brakes.marks_of(case.evidence, decided)
        concluded = store.attempts.conclude(case, settled, following, marks)
        if concluded is Conclusion.STALE:
            continue
        if concluded is Conclusion.OK:
            log.info("concluded %s as %s", attempt_id, settled.disposition)
        if settled.disposition is Disposition.DO_NOT_CALL:
            store.do_not_call.add(case.phone, do_not_call.asked_during(attempt_id))
        break
    return Step.WAIT


def give_back(store: Store, case: Case, token: str, why: Verdict, *, slow_to: float = 1.0) -> None:
    """Give an attempt that was not dialed back unspent: its contact waits again, or is refused.

    `token` is that of the leave, "" for an attempt that was never begun. `slow_to`: see `Store.postpone`.
    """
    assert why.rule, "an attempt is given back because a rule said no"
    given = store.attempts.postpone(case, token, why.until or store.now(), why.rule, why.reason, slow_to=slow_to)
    if given and why.until is None:
        listed = Disposition.DO_NOT_CALL if why.rule is Rule.DO_NOT_CALL else Disposition.CANCELED
        store.contacts.withdraw(case.contact_id, ContactState.REFUSED, listed, why.reason)


def _what_follows(case: Case, decided: Settled, now: datetime) -> tuple[Settled, datetime | None]:
    if case.inbound:
        return retries.after_inbound(decided, case.before, now)
    following = retries.next_attempt(case.campaign, decided, case.made, case.place, now)
    if decided.disposition is Disposition.CALLBACK and following is None:
        decided = replace(
            decided, reason=f"{decided.reason}; not rung again: {case.made} attempts were made, or no time fits"
        )
    return decided, following
