"""The rules of dialing: whom, when, how an attempt ended, and when again. Pure functions of their arguments.

A compliance officer can read this file from top to bottom; nothing else decides whether somebody's phone rings.
Times are zone-aware datetimes, durations are timedeltas.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final
from zoneinfo import ZoneInfo

from campaigns.call import Disposition, Joined, OptOut, Report
from campaigns.campaign import CallingWindow, Campaign
from worker.evidence import AnsweredBy, CallEvent, CallState, Detection, FoundCall

REPORT_GRACE: Final = timedelta(seconds=30)
"""How long after a call's end the bot's report is waited for: its retries take most of this when we were away."""

END_GRACE: Final = timedelta(seconds=15)
"""How long after the bot's report the carrier's last callback is waited for."""

FIRST_LOOK: Final = timedelta(seconds=12)
"""How long after a dial of which nothing was heard the carrier is asked, and asked again."""

RING_LOOK: Final = timedelta(seconds=45)
"""How long a call that is on its way may say nothing before the carrier is asked: longer than most ring."""

TALK_LOOK: Final = timedelta(seconds=120)
"""How long a talk may go on before the carrier is asked whether it does: the bot reports when it is over."""

NOT_PLACED: Final = timedelta(seconds=60)
"""A dial that the carrier still does not know after so long was never placed, or so we guess: its list of calls is only
eventually complete."""

BOT_GRACE: Final = timedelta(seconds=20)
"""How long after an answer the bot may take to say that it is there, before the carrier is asked about the call."""

HANG_UP_AFTER: Final = timedelta(seconds=10)
"""How much longer it may take then, before we hang up: nobody is kept listening to silence."""

HANG_UP_GRACE: Final = timedelta(seconds=60)
"""How long we try to hang up, and then wait to hear that the call is over."""

ASK_AGAIN: Final = timedelta(seconds=10)
"""When a request to the carrier that may have been lost is made again."""

LINGER: Final = timedelta(seconds=60)
"""How long a call may outlast its ring and its time limit before its line is taken to be free."""

_SEARCH_DAYS: Final = 15
"""How far ahead an opening is searched: past any combination of weekdays and a change of the clocks."""

_MACHINES: Final = frozenset({AnsweredBy.MACHINE, AnsweredBy.MACHINE_READY, AnsweredBy.FAX})


# --- may we ring? -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a contact may be rung now. A refusal names its rule, and says when to ask again, if ever."""

    rule: str = ""
    reason: str = ""
    until: datetime | None = None  # None with a rule: never

    @property
    def allowed(self) -> bool:
        """True if no rule speaks against it."""
        return not self.rule


def may_ring(campaign: Campaign, zones: Sequence[str], attempts_made: int, now: datetime) -> Verdict:
    """Decide whether a contact in these zones may be rung at `now`. Asked at the moment of dialing."""
    if attempts_made >= campaign.retry.max_attempts:
        return Verdict("attempts", f"all {campaign.retry.max_attempts} attempts were made")
    if not zones:
        return Verdict("zone_unknown", "the contact's time zone is not known, and is not guessed")
    opening = next_opening(campaign.calling_window, zones, now)
    if opening is None:
        return Verdict("calling_window", f"the calling window is never open in all of {', '.join(zones)}")
    if opening > now:
        return Verdict("calling_window", f"outside the calling window in {', '.join(zones)}", opening)
    return Verdict()


def next_opening(window: CallingWindow, zones: Sequence[str], after: datetime) -> datetime | None:
    """Return the first instant from `after` on at which the window is open in every one of the zones.

    A contact whose number fits several zones may be in any of them, so all must be open. None: there is no such
    instant, or no zone is known.
    """
    if not zones:
        return None
    instant = after.astimezone(UTC)
    limit = instant + timedelta(days=_SEARCH_DAYS)
    while instant <= limit:
        openings = [_opening_in(window, ZoneInfo(zone), instant) for zone in zones]
        latest = max(openings)
        if latest <= instant:
            return instant
        instant = latest
    return None


def _opening_in(window: CallingWindow, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first instant from `after` on at which the window is open in one zone."""
    local = after.astimezone(zone)
    for ahead in range(9):
        day = local.date() + timedelta(days=ahead)
        if not window.includes_day(day):
            continue
        opens, closes = _on(day, window.start, zone), _on(day, window.end, zone)
        if after < closes and opens < closes:
            return max(after, opens)
    return after + timedelta(days=_SEARCH_DAYS + 1)


def _on(day: date, at: time, zone: ZoneInfo) -> datetime:
    # Through UTC: a local time that the clocks skip becomes the instant after the gap, and comparisons are of instants.
    return datetime.combine(day, at, tzinfo=zone).astimezone(UTC)


# --- how many at once? ------------------------------------------------------------------------------------------------

BOT_WITHIN: Final = timedelta(seconds=2)
"""How soon after an answer a bot must be there: a call without one is abandoned then (47 CFR 64.1200(a)(7))."""

LUCK: Final = 3.0
"""For how many standard deviations of luck there must be bots: of a thousand half minutes at the limit, one is worse."""

_DOUBT: Final = 2.0
"""How many standard errors above the answers so far the answer rate is taken to be."""


def answer_rate(answered: int, rung_out: int) -> float:
    """Return the highest share of calls that may plausibly be answered, from those answered and those that rang out.

    1 where nothing is known: everybody answers until they are known not to. The upper bound of Wilson's interval. Calls
    that were busy, refused or invalid are in neither number: they are over before a bot could be missing.
    """
    calls = answered + rung_out
    if not calls:
        return 1.0
    share, doubt = answered / calls, _DOUBT**2 / calls
    spread = _DOUBT * math.sqrt(share * (1 - share) / calls + doubt / (4 * calls))
    return min(1.0, (share + doubt / 2 + spread) / (1 + doubt))


def answers_to_expect(ringing: Iterable[tuple[int, float]]) -> float:
    """Return how many answers there may plausibly be within a ring, of so many calls at each answer rate.

    Their mean and LUCK standard deviations, and never more than there are calls.
    """
    groups = list(ringing)
    mean = sum(calls * rate for calls, rate in groups)
    variance = sum(calls * rate * (1 - rate) for calls, rate in groups)
    return min(sum(calls for calls, _ in groups), mean + LUCK * math.sqrt(variance))


def may_ring_one_more(warm: int, taken: int, ringing: Sequence[tuple[int, float]], rate: float) -> bool:
    """Decide whether one more contact may be rung, so that nobody answers to silence.

    `warm` bots were counted, `taken` of them are on a call by now or are not warm again yet; `ringing` are the calls that
    are not answered yet, at their campaigns' answer rates; `rate` is that of the one more. The claim decides the same
    within its script (claim.lua): there, nobody can come in between.
    """
    return answers_to_expect([*ringing, (1, rate)]) <= warm - taken


# --- how did it end? --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DialAnswer:
    """What became of the one POST, as the worker that sent it saw it."""

    call_sid: str = ""
    refused: Disposition | None = None  # the carrier said no: this is how the attempt ended
    unconfirmed: bool = False  # no usable answer: a phone may be ringing
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that has been heard about an attempt so far, from any witness, in any order."""

    begun_at: datetime
    lease_until: datetime
    dial: DialAnswer | None = None
    told: tuple[tuple[datetime, CallEvent], ...] = ()  # by callback, and when we heard it
    found: tuple[tuple[datetime, FoundCall], ...] = ()  # by asking the carrier
    detected: tuple[Detection, ...] = ()
    joined: Joined | None = None
    joined_at: datetime | None = None
    opt_out: OptOut | None = None
    report: Report | None = None
    reported_at: datetime | None = None
    asked_at: datetime | None = None  # when the carrier was last asked
    not_found_at: datetime | None = None  # when it last answered that it knows of no such call
    hung_up_at: datetime | None = None  # when we ended the call ourselves
    ours: str = ""  # the call's sid as we knew it from the start: somebody rang us

    @property
    def events(self) -> list[tuple[datetime, CallEvent]]:
        """Every step of the call that anyone told of; a callback counts before the carrier's list."""
        return [*self.told, *((at, call.event) for at, call in self.found)]

    @property
    def call_sid(self) -> str:
        """The carrier's id of the call, from whoever named it first."""
        named = [self.ours, self.dial.call_sid if self.dial else "", *(event.call_sid for _, event in self.events)]
        named += [witness.call_sid for witness in (self.joined, self.opt_out, self.report) if witness]
        return next((sid for sid in named if sid), "")

    @property
    def answered_at(self) -> datetime | None:
        """When we heard that somebody, or something, had picked up."""
        return min((at for at, event in self.events if event.state is CallState.ANSWERED), default=None)

    @property
    def bot_came(self) -> bool:
        """True if the bot has spoken up from the call, in whatever matter."""
        return bool(self.joined or self.opt_out)

    @property
    def recording_url(self) -> str:
        """Where the carrier said that the recording is, if it made one."""
        return next((event.recording_url for _, event in self.told if event.recording_url), "")


@dataclass(frozen=True, slots=True)
class Settled:
    """How an attempt ended. A guess rests on silence or hearsay, and gives way to later evidence."""

    disposition: Disposition
    reason: str
    guess: bool = False
    duration_s: int | None = None
    answers: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])
    callback_at: datetime | None = None


class Step(StrEnum):
    """What is done about an attempt of which too little is known."""

    WAIT = "wait"
    ASK = "ask"  # the carrier what it knows of the call
    HANG_UP = "hang_up"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Not enough is known yet: take the step, and look again at `look_at`."""

    look_at: datetime
    step: Step = Step.WAIT


def settle(evidence: Evidence, now: datetime) -> Settled | Waiting:
    """Decide how an attempt ended from all that was heard, whatever the order in which it came.

    The person's own word counts most: who asked not to be called again is not called again, whatever else is heard,
    or never is. Then the bot's report: it was there. Then the carrier's own word, then its list, then silence. What
    rests on less than a report or a definite word of the carrier's is a guess.
    """
    decided = _by_the_others(evidence, now)
    if isinstance(decided, Waiting) or not evidence.opt_out:
        return decided
    reason = evidence.opt_out.reason or "asked not to be called again"
    return replace(decided, disposition=Disposition.DO_NOT_CALL, reason=reason, callback_at=None)


def _by_the_others(evidence: Evidence, now: datetime) -> Settled | Waiting:
    end = _the_end(evidence)
    if evidence.report and evidence.reported_at:
        if end is None and now < evidence.reported_at + END_GRACE:
            return Waiting(evidence.reported_at + END_GRACE)
        return _by_report(evidence.report, end.duration_s if end else None)
    if evidence.dial and evidence.dial.refused:
        return Settled(evidence.dial.refused, evidence.dial.reason)
    if end is None:
        return _while_silent(evidence, now)
    if end.disposition is Disposition.COMPLETED:
        return _without_report(evidence, end, now)
    assert end.disposition is not None
    # "failed" only says that something broke: it may have been in the middle of a talk that is still to be reported.
    told = any(event == end for _, event in evidence.told)
    return Settled(end.disposition, end.cause, guess=not told or end.disposition is Disposition.FAILED)


def _the_end(evidence: Evidence) -> CallEvent | None:
    ends = [event for _, event in evidence.told if event.disposition] or [
        call.event for _, call in evidence.found if call.event.disposition
    ]
    # Two ends that contradict each other: the one that says that somebody answered counts, then a fixed order.
    return min(
        ends,
        key=lambda end: (end.disposition is not Disposition.COMPLETED, str(end.disposition), end.cause),
        default=None,
    )


def _without_report(evidence: Evidence, end: CallEvent, now: datetime) -> Settled | Waiting:
    heard_at = min(at for at, event in evidence.events if event == end)
    if now < heard_at + REPORT_GRACE:
        return Waiting(heard_at + REPORT_GRACE)
    if any(detection.answered_by in _MACHINES for detection in evidence.detected):
        return Settled(Disposition.VOICEMAIL, "a machine answered, and the bot reported nothing", True, end.duration_s)
    came = "no report came from the bot" if evidence.bot_came else "no bot came"
    reason = f"the call was answered, but {came}"
    return Settled(Disposition.FAILED, reason, guess=True, duration_s=end.duration_s)


def _by_report(report: Report, duration_s: int | None) -> Settled:
    if duration_s is None:
        duration_s = max(0, round((report.ended_at - report.started_at).total_seconds()))  # its clock may be set back
    return Settled(
        report.disposition,
        report.reason,
        duration_s=duration_s,
        answers=report.answers,
        callback_at=report.callback_at,
    )


def _while_silent(evidence: Evidence, now: datetime) -> Settled | Waiting:
    """Nobody has told of an end: ask on a schedule, hang up if nobody is there, and at last give up hope of more."""
    if evidence.hung_up_at or now >= evidence.lease_until:
        return _at_the_last(evidence, now)
    asked = evidence.asked_at or evidence.begun_at
    if evidence.answered_at and not evidence.bot_came:
        if asked >= evidence.answered_at + BOT_GRACE:
            return _then(Step.HANG_UP, asked + HANG_UP_AFTER, now)
        return _then(Step.ASK, evidence.answered_at + BOT_GRACE, now)
    if evidence.bot_came:
        patience = TALK_LOOK
    elif evidence.events:
        patience = RING_LOOK
    else:
        patience = FIRST_LOOK
        known = evidence.dial and not evidence.dial.unconfirmed
        if evidence.not_found_at and not known and now >= evidence.begun_at + NOT_PLACED:
            return _unheard(evidence)
    last_heard = max((at for at, _ in evidence.events), default=evidence.begun_at)
    ask_at = max(last_heard, asked) + patience
    return _then(Step.ASK, min(ask_at, evidence.lease_until), now)


def _at_the_last(evidence: Evidence, now: datetime) -> Settled | Waiting:
    over_at = (evidence.hung_up_at or evidence.lease_until) + HANG_UP_GRACE
    if not evidence.call_sid or now >= over_at:
        return _unheard(evidence)
    if evidence.hung_up_at is None:
        return _then(Step.HANG_UP, now, now)
    asked = max(evidence.hung_up_at, evidence.asked_at or evidence.hung_up_at)
    return _then(Step.ASK, min(asked + ASK_AGAIN, over_at), now)


def _then(step: Step, at: datetime, now: datetime) -> Waiting:
    return Waiting(now + ASK_AGAIN, step) if now >= at else Waiting(at)


def _unheard(evidence: Evidence) -> Settled:
    if evidence.answered_at or evidence.bot_came:
        reason = "the call was answered, and nothing was heard of it since"
        return Settled(Disposition.FAILED, reason, guess=True)
    if evidence.events or (evidence.dial and evidence.dial.call_sid):
        return Settled(
            Disposition.UNCONFIRMED, "the carrier took the call, and nothing was heard of it since", guess=True
        )
    why = evidence.dial.reason if evidence.dial else "the worker died while it was dialing"
    return Settled(Disposition.UNCONFIRMED, f"we do not know whether it rang: {why}", guess=True)


# --- when again? ------------------------------------------------------------------------------------------------------


def next_attempt(
    campaign: Campaign, settled: Settled, attempts_made: int, zones: Sequence[str], now: datetime
) -> datetime | None:
    """Return when the contact is to be rung again, or None if this was the last time.

    The only function that decides that somebody is rung again. `attempts_made` counts the one just settled.
    """
    if attempts_made >= campaign.retry.max_attempts:
        return None
    if settled.disposition is Disposition.CALLBACK and settled.callback_at:
        return next_opening(campaign.calling_window, zones, max(settled.callback_at, now))
    delay = campaign.retry.delay_after(settled.disposition, attempts_made)
    return None if delay is None else next_opening(campaign.calling_window, zones, now + delay)


@dataclass(frozen=True, slots=True)
class Before:
    """How a contact stood when it rang us."""

    due: datetime | None = None  # an attempt was waiting
    disposition: Disposition | None = None
    reason: str = ""


_CAME_TO_NOTHING: Final = frozenset({Disposition.FAILED, Disposition.REJECTED, Disposition.UNCONFIRMED})


def after_inbound(settled: Settled, before: Before, now: datetime) -> tuple[Settled, datetime | None]:
    """Decide what follows when a contact has rung us: a talk withdraws the waiting attempt, anything less restores it."""
    if settled.disposition not in _CAME_TO_NOTHING:
        later = settled.callback_at if settled.disposition is Disposition.CALLBACK else None
        return settled, max(later, now) if later else None
    if before.due:
        return settled, max(before.due, now)
    if before.disposition:
        return replace(settled, disposition=before.disposition, reason=before.reason), None
    return settled, None


def lease(campaign: Campaign) -> timedelta:
    """How long an attempt may hold its line: as long as its call can last, and a little more."""
    return timedelta(seconds=campaign.call.ring_timeout_s + campaign.call.time_limit_s) + LINGER


def open_now(campaign: Campaign, zone_sets: Iterable[tuple[str, ...]], now: datetime) -> list[tuple[str, ...]]:
    """Return those sets of zones in which contacts may be rung at `now`."""
    return [zones for zones in zone_sets if next_opening(campaign.calling_window, zones, now) == now]


def in_zone_of(zones: Sequence[str], moment: datetime) -> datetime:
    """Return a moment as a contact in these zones would tell it: by the first of them, or by UTC."""
    return moment.astimezone(ZoneInfo(zones[0]) if zones else UTC)
