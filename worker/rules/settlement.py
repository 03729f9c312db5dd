"""How an attempt ended: decided from all that was heard of it, in any order. Pure functions of their arguments.

What follows for the contact, policy decides. Times are zone-aware datetimes, durations are timedeltas.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from campaigns.call import Disposition, Joined, OptOut, Report
from worker.rules.evidence import AnsweredBy, CallEvent, CallState, Detection, FoundCall
from worker.rules.timing import (
    ASK_AGAIN,
    BOT_GRACE,
    END_GRACE,
    FIRST_LOOK,
    HANG_UP_AFTER,
    HANG_UP_GRACE,
    NOT_PLACED,
    REPORT_GRACE,
    RING_LOOK,
    TALK_LOOK,
)

_MACHINES: Final = frozenset({AnsweredBy.MACHINE, AnsweredBy.MACHINE_READY, AnsweredBy.FAX})


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
    message_left: bool = False  # on a machine


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
        message_left=report.message_left,
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
