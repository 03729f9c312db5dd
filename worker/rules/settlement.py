"""Settlement: how an attempt ended, decided from all the evidence about it, in whatever order it came.

What follows for the contact is decided in retries.py. Times are zone-aware datetimes, durations are timedeltas.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from campaigns.call import Disposition, Joined, OptOut, Report
from campaigns.campaign import Campaign
from worker.rules.evidence import AnsweredBy, CallEvent, CallState, Detection, FoundCall
from worker.rules.timing import (
    ASK_AGAIN,
    BOT_GRACE,
    END_GRACE,
    FIRST_LOOK,
    HANG_UP_AFTER,
    HANG_UP_GRACE,
    LINGER,
    NOT_PLACED,
    REPORT_GRACE,
    RING_LOOK,
    TALK_LOOK,
)

_MACHINES: Final = frozenset({AnsweredBy.MACHINE, AnsweredBy.MACHINE_READY, AnsweredBy.FAX})


@dataclass(frozen=True, slots=True)
class DialAnswer:
    """What the carrier answered to the attempt's one POST, as the worker that sent it saw it."""

    call_sid: str = ""
    refused: Disposition | None = None  # the carrier said no, and the attempt ended like this
    unconfirmed: bool = False  # there was no usable answer: a phone may be ringing
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that has been heard about an attempt so far, from any witness, in whatever order."""

    begun_at: datetime
    lease_until: datetime
    dial: DialAnswer | None = None
    told: tuple[tuple[datetime, CallEvent], ...] = ()  # what the carrier's callbacks told, and when we heard it
    found: tuple[tuple[datetime, FoundCall], ...] = ()  # what the carrier's list showed when we asked, and when
    detected: tuple[Detection, ...] = ()
    joined: Joined | None = None
    joined_at: datetime | None = None
    opt_out: OptOut | None = None
    report: Report | None = None
    reported_at: datetime | None = None
    asked_at: datetime | None = None  # when the carrier was last asked
    not_found_at: datetime | None = None  # when it last answered that it knows no such call
    hung_up_at: datetime | None = None  # when we ended the call ourselves
    ours: str = ""  # the call's sid if the contact rang us: then it is known from the start

    @property
    def events(self) -> list[tuple[datetime, CallEvent]]:
        """Every step of the call that the carrier told: its callbacks first, then its list."""
        return [*self.told, *((at, call.event) for at, call in self.found)]

    @property
    def call_sid(self) -> str:
        """The carrier's id of the call, from the first witness that named it."""
        named = [self.ours, self.dial.call_sid if self.dial else "", *(event.call_sid for _, event in self.events)]
        named += [witness.call_sid for witness in (self.joined, self.opt_out, self.report) if witness]
        return next((sid for sid in named if sid), "")

    @property
    def answered_at(self) -> datetime | None:
        """When we heard that a person or a machine had picked up."""
        return min((at for at, event in self.events if event.state is CallState.ANSWERED), default=None)

    @property
    def bot_came(self) -> bool:
        """True if we have heard from the bot during the call."""
        return bool(self.joined or self.opt_out)

    @property
    def recording_url(self) -> str:
        """The address of the recording, if the carrier has named one."""
        return next((event.recording_url for _, event in self.told if event.recording_url), "")


@dataclass(frozen=True, slots=True)
class Settled:
    """How an attempt ended. A guess rests on silence or on the carrier's list, and later evidence may correct it."""

    disposition: Disposition
    reason: str
    guess: bool = False
    duration_s: int | None = None
    answers: Mapping[str, str | int | bool] = field(default_factory=dict[str, str | int | bool])
    callback_at: datetime | None = None
    message_left: bool = False  # on a machine


class Step(StrEnum):
    """What to do about an attempt about which too little is known."""

    WAIT = "wait"
    ASK = "ask"  # ask the carrier what it knows of the call
    HANG_UP = "hang_up"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Too little is known yet: take the step, and look again at `look_at`."""

    look_at: datetime
    step: Step = Step.WAIT


def lease(campaign: Campaign) -> timedelta:
    """Return how long an attempt may hold its line: as long as its call can last, and LINGER."""
    return timedelta(seconds=campaign.call.ring_timeout_s + campaign.call.time_limit_s) + LINGER


def settle(evidence: Evidence, now: datetime) -> Settled | Waiting:
    """Decide how an attempt ended from all the evidence, in whatever order it came; Waiting, if too little is known.

    The witnesses count in this order. First the person: somebody who asked not to be called again is not called again,
    whatever else is heard or is missing. Then the bot's report, for the bot was there. Then the carrier's callbacks, then the
    carrier's list, and last silence. A decision that rests on less than a report or a definite callback is a guess.
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
    # "failed" only says that something broke. It may have broken a talk about which the bot will still report.
    told = any(event == end for _, event in evidence.told)
    return Settled(end.disposition, end.cause, guess=not told or end.disposition is Disposition.FAILED)


def _the_end(evidence: Evidence) -> CallEvent | None:
    ends = [event for _, event in evidence.told if event.disposition] or [
        call.event for _, call in evidence.found if call.event.disposition
    ]
    # Where two ends contradict each other, the one that says that somebody answered counts; else a fixed order decides.
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
        return Settled(
            Disposition.VOICEMAIL,
            "a machine answered, and the bot reported nothing",
            guess=True,
            duration_s=end.duration_s,
        )
    came = "no report came from the bot" if evidence.bot_came else "no bot came"
    reason = f"the call was answered, but {came}"
    return Settled(Disposition.FAILED, reason, guess=True, duration_s=end.duration_s)


def _by_report(report: Report, duration_s: int | None) -> Settled:
    if duration_s is None:
        duration_s = max(
            0, round((report.ended_at - report.started_at).total_seconds())
        )  # the bot's clock may have been set back
    return Settled(
        report.disposition,
        report.reason,
        duration_s=duration_s,
        answers=report.answers,
        callback_at=report.callback_at,
        message_left=report.message_left,
    )


def _while_silent(evidence: Evidence, now: datetime) -> Settled | Waiting:
    """Decide while no witness has told an end: ask on a schedule, hang up if no bot is there, and at last stop waiting."""
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
