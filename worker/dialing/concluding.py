"""Settling an attempt: fetch what was heard, ask the policy, store what it decides. Nothing here talks to the carrier."""

import logging
from dataclasses import replace
from datetime import datetime
from typing import Final

from campaigns.call import Disposition
from worker.rules import brakes, policy, settlement
from worker.rules.settlement import Settled, Step, Waiting
from worker.rules.states import ContactState
from worker.store import Store
from worker.store.values import Case, Conclusion

log: Final = logging.getLogger(__name__)

_TRIES: Final = 5
"""How often a decision is made again because more was heard while it was made."""


def conclude(store: Store, attempt: Case | str) -> Step:
    """Settle an attempt by what was heard of it, and record what follows for its contact.

    It may be given as it was just read. Returns what is to be done if it cannot be settled yet.
    """
    attempt_id = attempt if isinstance(attempt, str) else attempt.attempt_id
    known = None if isinstance(attempt, str) else attempt
    for _ in range(_TRIES):
        case, known = known or store.attempts.case(attempt_id), None
        if case is None:
            break
        now = case.read_at
        if not case.begun:
            give_back(store, case, "", "lease_ended", "claimed, but nobody dialed it in time", now)
            break
        decided = settlement.settle(case.evidence, now)
        if isinstance(decided, Waiting):
            store.attempts.look_again(attempt_id, decided.look_at)
            return decided.step
        settled, following = _what_follows(case, decided, now)
        marks = frozenset[str]() if case.inbound else brakes.marks_of(case.evidence, decided)
        if store.attempts.conclude(case, settled, following, marks) is Conclusion.STALE:
            continue
        log.info("concluded %s as %s", attempt_id, settled.disposition)
        if settled.disposition is Disposition.DO_NOT_CALL:
            store.do_not_call.add(case.phone, f"asked during {attempt_id}")
        break
    return Step.WAIT


def give_back(  # noqa: PLR0917 - they read as a sentence
    store: Store, case: Case, token: str, rule: str, reason: str, due: datetime | None, *, slow_to: float = 1.0
) -> None:
    """Postpone an attempt that was not dialed; `due` None: for good, the contact is refused."""
    given = store.attempts.postpone(case, token, due or store.now(), rule, reason, slow_to=slow_to)
    if given and due is None:
        listed = Disposition.DO_NOT_CALL if rule == "do_not_call" else Disposition.CANCELED
        store.contacts.withdraw(case.contact_id, ContactState.REFUSED, listed, reason)


def _what_follows(case: Case, decided: Settled, now: datetime) -> tuple[Settled, datetime | None]:
    if case.inbound:
        return policy.after_inbound(decided, case.before, now)
    following = policy.next_attempt(case.campaign, decided, case.made, case.place, now)
    if decided.disposition is Disposition.CALLBACK and following is None:
        decided = replace(
            decided, reason=f"{decided.reason}; not rung again: {case.made} attempts were made, or no time fits"
        )
    return decided, following
