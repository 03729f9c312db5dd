"""How testimony and outcomes are written down: JSON in the fields of an attempt's hash, and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from campaigns.call import Disposition, Joined, OptOut, Report
from worker.rules.evidence import CallEvent, CallState, Detection, FoundCall
from worker.rules.settlement import DialAnswer, Evidence

_HEARD: Final = "heard:"
_DIAL = TypeAdapter(DialAnswer)
_EVENT = TypeAdapter(CallEvent)
_FOUND = TypeAdapter(FoundCall)
_DETECTION = TypeAdapter(Detection)


BotNeed = Literal["answered", "joined", "rung_out", ""]
"""What a word means for the bots: one is wanted, one is there, none will be (it rang and nobody answered), or nothing."""


@dataclass(frozen=True, slots=True)
class Testimony:
    """A witness's word, ready to be kept. Two of one kind say the same thing: the first stays."""

    kind: str
    text: str
    call_is_over: bool = False
    can_wait: bool = False  # for the attempt's next look: nothing follows from it at once
    bot: BotNeed = ""


def dialed(answer: DialAnswer) -> Testimony:
    """The worker's own word on its POST."""
    over = answer.refused is not None
    return Testimony("dial", _DIAL.dump_json(answer).decode(), call_is_over=over, can_wait=not over)


def told(event: CallEvent) -> Testimony:
    """A status callback's."""
    over, answered = event.state is CallState.ENDED, event.state is CallState.ANSWERED
    kept = _EVENT.dump_json(event).decode()
    can_wait = not over and not answered
    return Testimony(f"call:{_step(event)}", kept, call_is_over=over, can_wait=can_wait, bot=_bot(event))


def found(call: FoundCall) -> Testimony:
    """The carrier's list's."""
    over = call.event.state is CallState.ENDED
    return Testimony(f"found:{_step(call.event)}", _FOUND.dump_json(call).decode(), over, bot=_bot(call.event))


def detected(detection: Detection) -> Testimony:
    """The answering-machine detection's."""
    kept = _DETECTION.dump_json(detection).decode()
    return Testimony(f"detected:{detection.answered_by}", kept, can_wait=True, bot="answered")


def joined(bot: Joined) -> Testimony:
    """The bot's, that it is on the call."""
    return Testimony("joined", bot.model_dump_json(), can_wait=True, bot="joined")


def opted_out(asked: OptOut) -> Testimony:
    """The person's, as the bot passes it on, that they want no more calls."""
    return Testimony("opt_out", asked.model_dump_json(), bot="joined")


def reported(report: Report) -> Testimony:
    """The bot's, of what came of the call."""
    return Testimony("report", report.model_dump_json(), bot="joined")


def hung_up(reason: str) -> Testimony:
    """Ours, that we ended the call."""
    return Testimony("hung_up", json.dumps(reason))


def _bot(event: CallEvent) -> BotNeed:
    if event.state is CallState.ANSWERED or event.disposition is Disposition.COMPLETED:
        return "answered"
    return "rung_out" if event.disposition is Disposition.NO_ANSWER else ""


def _step(event: CallEvent) -> str:
    return f"{event.state}:{event.disposition}" if event.disposition else event.state.value


def read_evidence(attempt: Mapping[str, str]) -> Evidence:
    """Read an attempt's hash back into what `settlement.settle` decides from. An attempt never begun gives no evidence."""
    dial: DialAnswer | None = None
    bot: Joined | None = None
    opt_out: OptOut | None = None
    report: Report | None = None
    reported_at = hung_up_at = joined_at = None
    events: list[tuple[datetime, CallEvent]] = []
    calls: list[tuple[datetime, FoundCall]] = []
    detections: list[Detection] = []
    for name, kept in attempt.items():
        if not name.startswith(_HEARD):
            continue
        at_ms, _, text = kept.partition(" ")
        at, kind = moment(at_ms), name.removeprefix(_HEARD).partition(":")[0]
        match kind:
            case "dial":
                dial = _DIAL.validate_json(text)
            case "call":
                events.append((at, _EVENT.validate_json(text)))
            case "found":
                calls.append((at, _FOUND.validate_json(text)))
            case "detected":
                detections.append(_DETECTION.validate_json(text))
            case "report":
                report, reported_at = Report.model_validate_json(text), at
            case "joined":
                bot, joined_at = Joined.model_validate_json(text), at
            case "opt_out":
                opt_out = OptOut.model_validate_json(text)
            case "hung_up":
                hung_up_at = at
            case _:  # pragma: no cover - a newer version wrote it; it is kept, and not understood
                continue
    return Evidence(
        begun_at=moment(attempt["begun_at"]),
        lease_until=moment(attempt["lease_until"]),
        dial=dial,
        told=tuple(events),
        found=tuple(calls),
        detected=tuple(detections),
        joined=bot,
        joined_at=joined_at,
        opt_out=opt_out,
        report=report,
        reported_at=reported_at,
        asked_at=_moment_or_none(attempt.get("asked_at")),
        not_found_at=_moment_or_none(attempt.get("not_found_at")),
        hung_up_at=hung_up_at,
        ours=attempt["call_sid"] if attempt.get("direction") == "inbound" else "",
    )


def outcome(
    state: str, contact: Mapping[str, str], attempt: Mapping[str, str], columns: Mapping[str, str]
) -> dict[str, Any]:
    """Return a contact's row of `dialout results`: ours first, then the row's own columns.

    A column with the name of one of ours comes as `row_<name>`.
    """
    evidence = read_evidence(attempt) if attempt else None
    report = evidence.report if evidence else None
    ours: dict[str, Any] = {
        "phone": contact["phone"],
        "state": state,
        "disposition": contact.get("disposition") or None,
        "reason": contact.get("reason") or contact.get("postponed") or ("not rung yet" if state == "due" else ""),
        "attempts": int(contact.get("made", "0")),
        "call_sid": (evidence.call_sid if evidence else "") or attempt.get("call_sid") or None,
        "duration_s": int(attempt["duration_s"]) if attempt.get("duration_s") else None,
        "answers": json.loads(attempt.get("answers") or "{}"),
        "answered_by": report.answered_by if report else None,
        "ended_by": report.ended_by if report else None,
        "first_audio_ms": report.first_audio_ms if report else None,
        "recording_url": (evidence.recording_url if evidence else "") or None,
        "usage": dict(report.usage) if report else {},
        "problems": list(report.problems) if report else [],
        "transcript": [turn.model_dump(mode="json") for turn in report.transcript] if report else [],
        "line": int(contact["line"]),
    }
    return ours | {(f"row_{name}" if name in ours else name): value for name, value in columns.items()}


def _moment_or_none(milliseconds: str | None) -> datetime | None:
    return moment(milliseconds) if milliseconds else None


def moment(milliseconds: float | str) -> datetime:
    """Read the store's milliseconds."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)
