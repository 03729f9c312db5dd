"""The tasks: fetch, ask the policy, store. A message is a claim check: delivered twice or never, it changes nothing."""

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
from operator import itemgetter
from threading import BoundedSemaphore
from typing import Final, TypeVar
from urllib.parse import quote

import redis
from celery.utils.log import get_task_logger

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from campaigns.templates import RenderError
from worker.app import agents, carrier, store, task
from worker.dialing import braking, briefing, concluding
from worker.machine import stopwatch
from worker.pipecat.agents import AgentsAway
from worker.rules import brakes, caller_ids, policy, settlement
from worker.rules.evidence import FoundCall
from worker.rules.settlement import DialAnswer, Step
from worker.rules.states import CampaignState, ContactState
from worker.settings import Settings, load_settings
from worker.store import witnesses
from worker.store.constants import LATE
from worker.store.errors import StoreError
from worker.store.values import Begun, Bid, Case, ClaimLimits, Clock, UnderWay
from worker.telnyx import texml
from worker.telnyx.carrier import (
    AccountBlocked,
    CarrierBusy,
    CarrierError,
    DialOrder,
    DialRefused,
    DialUnconfirmed,
    DialWithheld,
)

log: Final[logging.Logger] = get_task_logger(__name__)

CLAIM_LEASE: Final = timedelta(seconds=6)
"""From the claim to the moment of dialing. If nobody dials within it, the attempt is given back."""

BUSY_DELAY: Final = timedelta(seconds=5)
"""How long a contact waits when the carrier is busy and does not say how long."""

CLAIM_EVERY: Final = timedelta(milliseconds=200)
SWEEP_EVERY: Final = timedelta(milliseconds=200)
"""A little less than beat's own, so that no tick in time is lost."""

COUNT_EVERY: Final = timedelta(seconds=2.4)

AHEAD: Final = timedelta(milliseconds=750)
"""How far ahead of the dials is claimed: more than passes between two ticks, and little enough to wait in threads."""

_FARTHEST: Final = timedelta(seconds=1)
"""How far away a dial's turn may be: one that would have to wait longer is given back."""

_TOGETHER: Final = 16
"""How many attempts one message tells of: a message costs a worker more than a dial does."""

_EARLY_S: Final = 0.015
"""How long before its turn a dial is begun, so that it is ready to leave when the turn comes."""

_SLOWEST_S: Final = 4.0
"""However busy the carrier is, it is tried about so often: its relief must be noticed."""

_POST_WITHIN_S: Final = 10.0
"""How long after it asked for the store's permission a worker may use it: one that stood still meanwhile has lost it."""

_INSIST_S: Final = 10.0

_ASKED_LATELY: Final = timedelta(seconds=5)
"""An attempt about which the carrier was asked so recently is not asked about again: requests pile up while it is slow."""

TEND_EVERY: Final = timedelta(seconds=25)

_asking: Final = BoundedSemaphore(8)
"""How many threads of a worker may ask the carrier at once: the others are for dialing and concluding."""

_REASONS: Final = {
    "do_not_call": "on the do-not-call list",
    "paused": "the campaign was paused",
    "number_limit": "the number was rung as often as it may be, over all campaigns",
    "on_a_call": "this number is on another call of ours",
    "pace": "the pace did not allow it",
    "rehearsed": "the campaign is of a rehearsal, which asks no law: it is not rung by Telnyx",
    "canary": "the campaign's first attempts wait for approval",
    "calls_per_day": "the campaign has made its calls of the day",
    "caller_id": "no number of ours may call now",
}
"""The store's rules in words."""

Result = TypeVar("Result")


@task
def claim_due() -> None:
    """Claim what may be rung now, of all campaigns at once, and send it to be dialed."""
    if not store().tick("claim", CLAIM_EVERY):
        return
    settings, now = load_settings(), store().now()
    bids: list[Bid] = []
    for found in store().campaigns.under_way():
        try:
            if found.state is CampaignState.STOPPED:
                _cancel_some(found.name)
            if found.live or found.state is CampaignState.RUNNING:
                bids.append(_bid(found, settings, now))
        except redis.RedisError:
            raise
        except Exception:
            log.exception("nothing of %s can be claimed; the other campaigns go on", found.name)
    for claimed in store().pace.claim(bids, _limits(settings)).values():
        for start in range(0, len(claimed), _TOGETHER):
            place_call.delay(*claimed[start : start + _TOGETHER])


def _bid(found: UnderWay, settings: Settings, now: datetime) -> Bid:
    campaign, places = store().campaigns.definition(found.name, found.version), found.places
    ringing = found.state is CampaignState.RUNNING
    pool = braking.pool_of(campaign, settings)
    own = settings.lines_per_caller_id * len(pool) or settings.lines
    return Bid(
        campaign=campaign,
        open_places=[places[one] for one in policy.open_now(campaign, places, found.registries, now)]
        if ringing
        else [],
        lines=min(campaign.pacing.lines, own),
        answer_rate=policy.answer_rate(found.answered, found.rung_out),
        most=braking.room(store(), campaign, settings, now, within=CLAIM_LEASE) if ringing else 0,
    )


def _limits(settings: Settings) -> ClaimLimits:
    return ClaimLimits(
        lines=settings.lines,
        lines_for_inbound=settings.lines_for_inbound,
        calls_per_second=settings.calls_per_second,
        warm_bots=settings.bots_at_once,
        bot_rest=timedelta(seconds=settings.bot_rest_s),
        ahead=AHEAD,
        lease=CLAIM_LEASE,
        slow_to=_slow_to(settings.calls_per_second),
    )


@task
def count_bots() -> None:
    """Ask Pipecat Cloud how many bots are warm and have nobody to talk to. While it does not say, the last count fades."""
    cloud = agents()
    if cloud is None or not store().tick("bots", COUNT_EVERY):
        return
    asked_at = store().now()
    try:
        store().pace.count_warm_bots(cloud.idle(), asked_at)
    except AgentsAway as away:
        log.warning("%s; until it says, WARM_BOTS counts more and more", away)


@task
def tend_caller_ids() -> None:
    """Look after the numbers that we call from: which of them are ours, and which are sick and must rest."""
    if store().tick("caller_ids", TEND_EVERY):
        braking.tend_caller_ids(store(), carrier(), load_settings())


@dataclass(frozen=True, slots=True)
class _Ready:
    """An attempt that may be dialed when its turn comes."""

    case: Case
    order: DialOrder | None
    problem: str  # without an order


@task
def place_call(*attempt_ids: str) -> None:
    """Dial some attempts, each in its turn, if it may still be dialed then. At most one POST leaves for each, ever."""
    ready = [found for case in store().attempts.cases(attempt_ids) if (found := _ready(case))]
    for moment, dial, turn in sorted(_in_turn(ready), key=itemgetter(0)):
        stopwatch.sleep(max(0.0, moment - _EARLY_S - stopwatch.monotonic()))
        stopwatch.aside(partial(_dial_one, dial, turn))


def _dial_one(dial: _Ready, turn: datetime) -> None:
    # Beside the others that came with the same message: one that the carrier does not answer holds up none of them.
    try:
        _dial(dial, turn)
    except Exception:
        log.exception("%s cannot be dialed", dial.case.attempt_id)


def _in_turn(ready: Sequence[_Ready]) -> Iterator[tuple[float, _Ready, datetime]]:
    """Yield each dial with its turn: by our monotonic clock (s), and by the store's. Others are given back."""
    account = timedelta(seconds=1 / load_settings().calls_per_second)
    for name, group in groupby(sorted(ready, key=_campaign_of), _campaign_of):
        dials = list(group)
        own = timedelta(seconds=1 / dials[0].case.campaign.pacing.calls_per_second)
        turns = store().pace.departures(
            name, len(dials), account_interval=account, campaign_interval=own, farthest=_FARTHEST
        )
        for dial, turn in zip(dials, turns.at, strict=False):
            yield stopwatch.monotonic() + turns.clock.until(turn, stopwatch.monotonic()), dial, turn
        for late in dials[len(turns.at) :]:
            concluding.give_back(store(), late.case, "", "pace", _REASONS["pace"], turns.next)


def _campaign_of(dial: _Ready) -> str:
    return dial.case.campaign.name


def _ready(case: Case) -> _Ready | None:
    if case.begun:
        return None
    verdict = policy.may_ring(case.facts, case.read_at)
    if not verdict.allowed:
        concluding.give_back(store(), case, "", verdict.rule, verdict.reason, verdict.until)
        return None
    if case.campaign.rehearsed and load_settings().rings_phones:
        concluding.give_back(store(), case, "", "rehearsed", _REASONS["rehearsed"], None)
        return None
    try:
        carrier().warm_up()
    except AccountBlocked as blocked:
        concluding.give_back(store(), case, "", "account_blocked", str(blocked), case.read_at)
        _pause(case, str(blocked))
        return None
    return _Ready(case, *_order(case, load_settings(), case.read_at))


def _dial(ready: _Ready, turn: datetime) -> None:
    """Begin one attempt and send its POST: nothing that could be asked before is left to ask in between."""
    case, order = ready.case, ready.order
    settings = load_settings()
    leave = _Leave(case, turn, _caller_ids(case, settings) if order else [], settings)
    if not leave.begin():
        return
    token = leave.token
    if order is None:
        _hear(case.attempt_id, DialAnswer(refused=Disposition.FAILED, reason=ready.problem), token)
        return
    try:
        answer = DialAnswer(call_sid=carrier().dial(replace(order, caller_id=leave.caller_id), leave.given))
    except DialWithheld:
        _not_dialed(case, token, leave.rule, leave.reason, leave.until)
        return
    except DialRefused as refusal:
        answer = DialAnswer(refused=refusal.disposition, reason=str(refusal))
    except DialUnconfirmed as doubt:
        answer = DialAnswer(unconfirmed=True, reason=str(doubt))
    except CarrierBusy as busy:
        delay = timedelta(seconds=busy.retry_after_s) if busy.retry_after_s else BUSY_DELAY
        slow_to = _slow_to(min(settings.calls_per_second, case.campaign.pacing.calls_per_second))
        log.warning("%s", busy)
        _not_dialed(case, token, "carrier_busy", str(busy), store().now() + delay, slow_to=slow_to)
        return
    except AccountBlocked as blocked:
        _not_dialed(case, token, "account_blocked", str(blocked), store().now())
        _pause(case, str(blocked))
        return
    _hear(case.attempt_id, answer, token, leave.taken_at(carrier().left_at))


class _Leave:
    """One attempt's leave to be dialed: asked for shortly before its turn, and taken in the moment of the POST."""

    def __init__(self, case: Case, turn: datetime, pool: list[str], settings: Settings) -> None:
        self.token, self.caller_id = secrets.token_hex(8), ""
        self.rule, self.reason = "", ""  # why it was not given after all
        self.until: datetime | None = None
        self._case, self._turn, self._pool, self._settings = case, turn, pool, settings
        self._at = turn
        self._clock: Clock | None = None
        self._begun_at = 0.0

    def begin(self) -> bool:
        """Write the attempt down as begun; False if it is not ours to dial."""
        case = self._case
        patience = stopwatch.monotonic() + _FARTHEST.total_seconds()
        while True:
            begun = _insist(self._ask)
            if begun.dial and begun.clock:
                self._begun_at = begun.clock.asked_at
                return True
            if not begun.at or not begun.clock:
                break
            if stopwatch.monotonic() > patience:
                concluding.give_back(store(), case, "", "pace", _REASONS["pace"], begun.at)
                return False
            stopwatch.sleep(max(0.0, begun.clock.until(begun.at, stopwatch.monotonic()) - _EARLY_S))
        if begun.rule not in _REASONS:
            log.info("%s is not ours to dial: %s", case.attempt_id, begun.rule)
            return False
        now = store().now()
        match begun.rule:
            case "do_not_call":
                due = None
            case "paused":
                due = now
            case "number_limit":
                due = policy.next_opening(case.campaign, case.place, begun.until or now) or begun.until
            case _:
                due = begun.until or _again(case.campaign, begun.rule, now)
        for token in ("", self.token):  # begun or not: the reply that would have told may have been lost
            concluding.give_back(store(), case, token, begun.rule, _REASONS[begun.rule], due)
        return False

    def given(self) -> bool:
        """Wait for the moment; False if none comes any more. Whoever has missed theirs asks for another."""
        while True:
            assert self._clock
            stopwatch.sleep(self._clock.until(self._at, stopwatch.monotonic()))
            verdict = policy.may_ring(self._case.facts, self._at)
            if not verdict.allowed:
                return self._withhold(verdict.rule, verdict.reason, verdict.until)
            now = stopwatch.monotonic()
            if now - self._begun_at > _POST_WITHIN_S:
                return self._withhold("stood_still", "the worker stood still just before it dialed", self._at)
            if self._clock.latest(now) - self._at <= LATE:
                return True
            try:
                begun = self._ask()
            except redis.RedisError:
                return self._withhold("stood_still", "the store was away just before the dial", self._at)
            if not begun.dial:
                until = None if begun.rule == "do_not_call" else self._at
                rule = begun.rule or ""
                return self._withhold(rule, _REASONS.get(rule, rule), until)

    def taken_at(self, left_at: float | None) -> datetime | None:
        """Return when the dial left by the store's clock, at the latest."""
        return self._clock.latest(left_at) if left_at and self._clock else None

    def _withhold(self, rule: str, reason: str, until: datetime | None) -> bool:
        self.rule, self.reason, self.until = rule, reason, until
        return False

    def _ask(self) -> Begun:
        campaign, account = self._case.campaign, self._settings.calls_per_second
        begun = store().attempts.begin(
            self._case,
            self.token,
            lease=policy.lease(campaign),
            first_look=settlement.FIRST_LOOK,
            account_interval=timedelta(seconds=1 / account),
            campaign_interval=timedelta(seconds=1 / campaign.pacing.calls_per_second),
            caps=policy.caps(campaign, self._case.place),
            record={
                "version": campaign.version,
                "checked": policy.checked_against(campaign, self._case.place, self._case.registries),
            },
            pool=self._pool,
            limits=braking.caller_id_limits(self._settings),
            departure=self._turn,
        )
        if begun.dial and begun.at:
            self._at, self._clock, self.caller_id = begun.at, begun.clock, begun.caller_id
        return begun


@task
def reconcile(attempt_id: str) -> None:
    """Ask the carrier what it knows of an attempt's call; if too many ask already, the sweep comes again."""
    if not _asking.acquire(blocking=False):
        return
    try:
        _ask_about(attempt_id)
    finally:
        _asking.release()


def _ask_about(attempt_id: str) -> None:
    case = store().attempts.case(attempt_id)
    if case is None or not case.begun or case.concluded:
        return
    asked_at = case.evidence.asked_at
    if asked_at and case.read_at < asked_at + _ASKED_LATELY:
        return
    try:
        calls = _calls_of(case)
    except CarrierError as error:
        log.warning("cannot reconcile %s: %s", attempt_id, error)
        store().attempts.record_asked(attempt_id, "no_answer", str(error))
        return
    for call in calls:
        store().attempts.witness(attempt_id, witnesses.found(call))
    store().attempts.record_asked(attempt_id, "found" if calls else "not_found", calls[0].event.state if calls else "")


@task
def hang_up(attempt_id: str) -> None:
    """End a call of last resort: it has outlived its lease, or nobody is there who would talk to whoever answered."""
    case = store().attempts.case(attempt_id)
    if case is None or not case.begun or not (sid := case.evidence.call_sid):
        return
    log.warning("hanging up %s: no bot came, or it outlived its lease", attempt_id)
    try:
        carrier().hang_up(sid)
    except CarrierError as error:
        log.warning("cannot hang up %s: %s", attempt_id, error)  # it is tried again
        return
    store().attempts.witness(attempt_id, witnesses.hung_up("of last resort"))


@task
def sweep() -> None:
    """Look at every attempt whose time has come, and settle it by what was heard of it, or see to it that more is heard."""
    if not store().tick("sweep", SWEEP_EVERY):
        return
    taken = store().attempts.take_unsettled()
    for case in store().attempts.cases(taken) if taken else []:
        try:
            _conclude(case)
        except redis.RedisError:
            raise
        except Exception:
            log.exception("%s cannot be concluded; the others are", case.attempt_id)


def _conclude(case: Case) -> None:
    match concluding.conclude(store(), case):
        case Step.ASK:
            reconcile.delay(case.attempt_id)
        case Step.HANG_UP:
            hang_up.delay(case.attempt_id)
        case _:
            pass


def _calls_of(case: Case) -> list[FoundCall]:
    """Return the carrier's calls that are this attempt's: by the sid if we know it, else by number and time."""
    evidence = case.evidence
    if evidence.call_sid:
        call = carrier().fetch(evidence.call_sid)
        return [call] if call else []
    calls = carrier().find(case.phone, evidence.begun_at)
    earlier = store().attempts.case(case.before_it) if case.before_it else None
    taken = earlier.evidence.call_sid if earlier and earlier.begun else ""
    return [call for call in calls if call.call_sid != taken]


def _order(case: Case, settings: Settings, now: datetime) -> tuple[DialOrder | None, str]:
    """Return what to tell the carrier, or why this contact's call cannot be put into words."""
    base, attempt = settings.public_url.rstrip("/"), quote(case.attempt_id, safe="")
    try:
        document = briefing.outbound_document(
            case.contact,
            case.zones,
            case.campaign,
            settings,
            attempt_id=case.attempt_id,
            now=now,
            message_left=case.message_left,
        )
    except (RenderError, texml.DocumentTooLong) as error:
        return None, str(error)
    except Exception as error:  # whatever is wrong with one contact, it ends that one, and holds up nobody
        log.exception("%s cannot be put into words", case.attempt_id)
        return None, f"this contact's call cannot be put into words: {type(error).__name__}"
    rules = case.campaign.call
    order = DialOrder(
        to=case.phone,
        caller_id="",  # which one may call is known when the attempt begins
        texml=document,
        status_url=f"{base}/telnyx/status?attempt={attempt}",
        amd_url=f"{base}/telnyx/amd?attempt={attempt}" if rules.machine_detection else None,
        ring_timeout_s=rules.ring_timeout_s,
        time_limit_s=rules.time_limit_s,
        record=rules.record,
    )
    return order, ""


def _caller_ids(case: Case, settings: Settings) -> list[str]:
    pool = braking.pool_of(case.campaign, settings)
    return caller_ids.in_order(pool, phone=case.phone, contact_id=case.contact_id, before=case.caller_id)


def _again(campaign: Campaign, rule: str, now: datetime) -> datetime:
    return brakes.day_of(campaign.day_zone, now)[1] if rule == "calls_per_day" else now + BUSY_DELAY


def _not_dialed(case: Case, token: str, rule: str, reason: str, due: datetime | None, *, slow_to: float = 1.0) -> None:
    _insist(lambda: concluding.give_back(store(), case, token, rule, reason, due, slow_to=slow_to))


def _pause(case: Case, why: str) -> None:
    try:
        _insist(lambda: store().campaigns.set_state(case.campaign.name, CampaignState.PAUSED, why))
    except StoreError:
        return  # it was stopped meanwhile, which is more
    log.error("campaign %s paused: %s", case.campaign.name, why)


def _hear(attempt_id: str, answer: DialAnswer, token: str, left_at: datetime | None = None) -> None:
    _insist(lambda: store().attempts.witness(attempt_id, witnesses.dialed(answer), token=token, left_at=left_at))


def _insist(write: Callable[[], Result]) -> Result:
    """Repeat a write that said twice is said once, while the store is away for a moment."""
    deadline = stopwatch.monotonic() + _INSIST_S
    while True:
        try:
            return write()
        except redis.RedisError:
            if stopwatch.monotonic() > deadline:
                raise
            stopwatch.sleep(0.2)


def _slow_to(calls_per_second: float) -> float:
    """Return by what the pace is slowed at the most."""
    return max(2.0, _SLOWEST_S * calls_per_second)


def _cancel_some(name: str) -> None:
    """Cancel waiting contacts of a stopped campaign, a batch a tick."""
    for contact_id in store().contacts.waiting(name, 200):
        store().contacts.withdraw(contact_id, ContactState.DONE, Disposition.CANCELED, "the campaign was stopped")
