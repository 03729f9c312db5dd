"""What the dialer asks of the carrier about an attempt that is under way: what it knows of the call, and to end it."""

import logging
from typing import Final

from worker.dialing.collaborators import Dialer
from worker.rules.evidence import FoundCall
from worker.rules.timing import ASKED_LATELY
from worker.store import witnesses
from worker.store.values import Case
from worker.telnyx.refusals import CarrierError

log: Final = logging.getLogger(__name__)


def reconcile(dialer: Dialer, attempt_id: str) -> None:
    """Ask the carrier what it knows of an attempt's call, and record it.

    Nothing is asked while too many threads ask already: the next look at the attempt asks again.
    """
    if not dialer.asking.acquire(blocking=False):
        return
    try:
        _ask_about(dialer, attempt_id)
    finally:
        dialer.asking.release()


def _ask_about(dialer: Dialer, attempt_id: str) -> None:
    store = dialer.store
    case = store.attempts.case(attempt_id)
    if case is None or not case.begun or case.concluded:
        return
    asked_at = case.evidence.asked_at
    if asked_at and case.read_at < asked_at + ASKED_LATELY:
        return
    try:
        calls = _calls_of(dialer, case)
    except CarrierError as error:
        log.warning("cannot reconcile %s: %s", attempt_id, error)
        store.attempts.record_asked(attempt_id, "no_answer", str(error))
        return
    for call in calls:
        store.attempts.witness(attempt_id, witnesses.found(call))
    store.attempts.record_asked(attempt_id, "found" if calls else "not_found", calls[0].event.state if calls else "")


def _calls_of(dialer: Dialer, case: Case) -> list[FoundCall]:
    """Return the carrier's calls that are this attempt's: by the sid if we know it, else by number and time."""
    evidence = case.evidence
    if evidence.call_sid:
        call = dialer.phone.fetch(evidence.call_sid)
        return [call] if call else []
    calls = dialer.phone.find(case.phone, evidence.begun_at)
    earlier = dialer.store.attempts.case(case.before_it) if case.before_it else None
    taken = earlier.evidence.call_sid if earlier and earlier.begun else ""
    return [call for call in calls if call.call_sid != taken]


def hang_up(dialer: Dialer, attempt_id: str) -> None:
    """End a call as the last resort: it has outlived its lease, or no bot came to talk with the person who answered."""
    store = dialer.store
    case = store.attempts.case(attempt_id)
    if case is None or not case.begun or not (sid := case.evidence.call_sid):
        return
    log.warning("hanging up %s: no bot came, or it outlived its lease", attempt_id)
    try:
        dialer.phone.hang_up(sid)
    except CarrierError as error:
        log.warning("cannot hang up %s, and it is tried again: %s", attempt_id, error)
        return
    store.attempts.witness(attempt_id, witnesses.hung_up("of last resort"))
