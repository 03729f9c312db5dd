"""One attempt's way from its case to its POST, and the record of what the carrier answered."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Final

from campaigns.call import Disposition
from campaigns.templates import RenderError
from worker.dialing import briefing
from worker.dialing.apart import apart
from worker.dialing.collaborators import Dialer
from worker.dialing.concluding import give_back
from worker.dialing.leave import Leave
from worker.rules.may_ring import may_ring
from worker.rules.rule import Rule
from worker.rules.settlement import DialAnswer
from worker.rules.states import CampaignState
from worker.rules.timing import EARLY_S, FARTHEST, slowest
from worker.rules.verdict import Verdict, no
from worker.store import witnesses
from worker.store.errors import StoreError
from worker.store.values import Case
from worker.telnyx.order import DialOrder
from worker.telnyx.refusals import AccountBlocked, CarrierBusy, DialRefused, DialUnconfirmed, DialWithheld
from worker.telnyx.texml import DocumentTooLong

log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An attempt that may be dialed at its departure."""

    case: Case
    order: DialOrder | DialAnswer  # an answer: the contact's call cannot be put into words, so it ends undialed


@dataclass(frozen=True, slots=True)
class _Departing:
    """An attempt with its departure."""

    ready: _Ready
    at: datetime  # by the store's clock
    moment: float  # the same by our monotonic clock (s)


def place(dialer: Dialer, attempt_ids: Sequence[str]) -> None:
    """Dial some attempts, each at its departure, if it may still be dialed then.

    At most one POST leaves for each, ever.

    Returns when all of them are recorded, so that its caller knows of every POST that is under way.
    """
    clock = dialer.clock
    ready = [found for case in dialer.store.attempts.cases(attempt_ids) if (found := _ready(dialer, case))]
    with clock.crew() as start:
        for one in sorted(_departures(dialer, ready), key=lambda one: one.moment):
            clock.sleep(max(0.0, one.moment - EARLY_S - clock.monotonic()))
            start(
                partial(apart, partial(_dial, dialer, one), _FAILED, one.ready.case.attempt_id, instead=lambda _: None)
            )


_FAILED: Final = "%s cannot be dialed"


def _ready(dialer: Dialer, case: Case) -> _Ready | None:
    """Return an attempt with its order; None if it may not be dialed, and was given back or is another worker's."""
    if case.begun:
        return None
    verdict = may_ring(case.facts, case.read_at)
    if not verdict.allowed:
        give_back(dialer.store, case, "", verdict)
        return None
    if case.campaign.rehearsed and dialer.settings.rings_phones:
        give_back(dialer.store, case, "", _no(case, Rule.REHEARSED, case.read_at))
        return None
    dialer.settings.require_carrier()
    try:
        dialer.phone.warm_up()
    except AccountBlocked as blocked:
        _block(dialer, case, "", _no(case, Rule.ACCOUNT_BLOCKED, case.read_at, str(blocked)))
        return None
    return _Ready(case, _order(dialer, case))


def _no(case: Case, rule: Rule, now: datetime, reason: str = "", *, until: datetime | None = None) -> Verdict:
    return no(rule, case.campaign, case.place, now, reason=reason, until=until)


def _order(dialer: Dialer, case: Case) -> DialOrder | DialAnswer:
    def make() -> DialOrder | DialAnswer:
        try:
            return briefing.order(case, dialer.settings, case.read_at)
        except (RenderError, DocumentTooLong) as error:
            return DialAnswer(refused=Disposition.FAILED, reason=str(error))

    def unforeseen(error: Exception) -> DialAnswer:
        reason = f"this contact's call cannot be put into words: {type(error).__name__}"
        return DialAnswer(refused=Disposition.FAILED, reason=reason)

    return apart(make, "%s cannot be put into words", case.attempt_id, instead=unforeseen)


def _departures(dialer: Dialer, ready: Sequence[_Ready]) -> Iterator[_Departing]:
    """Yield each attempt with its departure. Those whose departure would be too far away are given back."""
    account = timedelta(seconds=1 / dialer.settings.calls_per_second)
    for name, group in groupby(sorted(ready, key=_campaign_of), _campaign_of):
        dials = list(group)
        own = timedelta(seconds=1 / dials[0].case.campaign.pacing.calls_per_second)
        given = dialer.store.pace.departures(
            name, len(dials), account_interval=account, campaign_interval=own, farthest=FARTHEST
        )
        for dial, at in zip(dials, given.at, strict=False):
            now = dialer.clock.monotonic()
            yield _Departing(dial, at, now + given.clock.until(at, now))
        for late in dials[len(given.at) :]:
            give_back(dialer.store, late.case, "", _no(late.case, Rule.PACE, given.clock.now, until=given.next))


def _campaign_of(ready: _Ready) -> str:
    return ready.case.campaign.name


def _dial(dialer: Dialer, departing: _Departing) -> None:
    """Begin one attempt, send its POST, and record the answer. What could be asked before was asked before."""
    case, order = departing.ready.case, departing.ready.order
    leave = Leave(dialer, case, departing.at, from_us=isinstance(order, DialOrder))
    if not leave.begin():
        return
    if isinstance(order, DialAnswer):
        _record(dialer, case, leave, order)
        return
    try:
        dialed = dialer.phone.dial(replace(order, caller_id=leave.caller_id), leave.given)
    except DialWithheld as withheld:
        unasked = _no(case, Rule.STOOD_STILL, dialer.store.now(), str(withheld))
        _give_back(dialer, case, leave.token, leave.refused or unasked)
    except CarrierBusy as busy:
        log.warning("%s", busy)
        now = dialer.store.now()
        relief = now + timedelta(seconds=busy.retry_after_s) if busy.retry_after_s else None
        pace = min(dialer.settings.calls_per_second, case.campaign.pacing.calls_per_second)
        why = _no(case, Rule.CARRIER_BUSY, now, str(busy), until=relief)
        _give_back(dialer, case, leave.token, why, slow_to=slowest(pace))
    except AccountBlocked as blocked:
        _block(dialer, case, leave.token, _no(case, Rule.ACCOUNT_BLOCKED, dialer.store.now(), str(blocked)))
    except DialRefused as refusal:
        _record(dialer, case, leave, DialAnswer(refused=refusal.disposition, reason=str(refusal)), refusal.left_at)
    except DialUnconfirmed as doubt:
        _record(dialer, case, leave, DialAnswer(unconfirmed=True, reason=str(doubt)), doubt.left_at)
    else:
        _record(dialer, case, leave, DialAnswer(call_sid=dialed.call_sid), dialed.left_at)


def _record(dialer: Dialer, case: Case, leave: Leave, answer: DialAnswer, left_at: float | None = None) -> None:
    testimony, taken_at = witnesses.dialed(answer), leave.taken_at(left_at)
    store = dialer.store
    dialer.insist(lambda: store.attempts.witness(case.attempt_id, testimony, token=leave.token, left_at=taken_at))


def _give_back(dialer: Dialer, case: Case, token: str, why: Verdict, *, slow_to: float = 1.0) -> None:
    dialer.insist(lambda: give_back(dialer.store, case, token, why, slow_to=slow_to))


def _block(dialer: Dialer, case: Case, token: str, why: Verdict) -> None:
    """Give the attempt back, and pause its campaign: no call of this account gets through."""
    _give_back(dialer, case, token, why)
    store, name = dialer.store, case.campaign.name
    try:
        dialer.insist(lambda: store.campaigns.set_state(name, CampaignState.PAUSED, why.reason))
    except StoreError:
        return  # the campaign was stopped meanwhile, which goes further than a pause
    log.error("campaign %s paused: %s", name, why.reason)
