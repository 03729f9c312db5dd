"""What witnesses say about an attempt, as the record keeps it: JSON in the fields of the attempt's hash, and back."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pydantic import TypeAdapter

from campaigns.call import Disposition, Joined, OptOut, Report
from worker.rules.evidence import CallEvent, CallState, Detection, FoundCall
from worker.rules.settlement import DialAnswer, Evidence
from worker.store.times import moment, moment_or_none

_HEARD: Final = "heard:"
_DIAL = TypeAdapter(DialAnswer)
_EVENT = TypeAdapter(CallEvent)
_FOUND = TypeAdapter(FoundCall)
_DETECTION = TypeAdapter(Detection)


class BotNeed(StrEnum):
    """What a witness's word means for the warm bots."""

    NONE = ""  # nothing
    ANSWERED = "answered"  # the call was answered: it takes a bot
    JOINED = "joined"  # the bot has come
    RUNG_OUT = "rung_out"  # the phone rang and nobody answered: the call takes no bot


@dataclass(frozen=True, slots=True)
class Testimony:
    """A witness's word, ready to be kept. Of two with the same kind, the record keeps the first."""

    kind: str
    text: str  # JSON
    call_is_over: bool = False
    can_wait: bool = False  # nothing follows from it before the attempt's next look
    bot: BotNeed = BotNeed.NONE


def dialed(answer: DialAnswer) -> Testimony:
    """Testify for the worker: what became of its POST."""
    over = answer.refused is not None
    return Testimony("dial", _DIAL.dump_json(answer).decode(), call_is_over=over, can_wait=not over)


def told(event: CallEvent) -> Testimony:
    """Testify for the carrier, which told us of an event by a status callback."""
    over, answered = event.state is CallState.ENDED, event.state is CallState.ANSWERED
    kept = _EVENT.dump_json(event).decode()
    can_wait = not over and not answered
    return Testimony(f"call:{_step(event)}", kept, call_is_over=over, can_wait=can_wait, bot=_bot(event))


def found(call: FoundCall) -> Testimony:
    """Testify for the carrier, whose list of calls shows this one."""
    over = call.event.state is CallState.ENDED
    return Testimony(f"found:{_step(call.event)}", _FOUND.dump_json(call).decode(), over, bot=_bot(call.event))


def detected(detection: Detection) -> Testimony:
    """Testify for the carrier's answering-machine detection."""
    kept = _DETECTION.dump_json(detection).decode()
    return Testimony(f"detected:{detection.answered_by}", kept, can_wait=True, bot=BotNeed.ANSWERED)


def joined(bot: Joined) -> Testimony:
    """Testify for the bot: it is on the call."""
    return Testimony("joined", bot.model_dump_json(), can_wait=True, bot=BotNeed.JOINED)


def opted_out(asked: OptOut) -> Testimony:
    """Testify for the person, who told the bot that they want no more calls."""
    return Testimony("opt_out", asked.model_dump_json(), bot=BotNeed.JOINED)


def reported(report: Report) -> Testimony:
    """Testify for the bot: what came of the call."""
    return Testimony("report", report.model_dump_json(), bot=BotNeed.JOINED)


def hung_up(reason: str) -> Testimony:
    """Testify for ourselves: we ended the call."""
    return Testimony("hung_up", json.dumps(reason))


def _bot(event: CallEvent) -> BotNeed:
    if event.state is CallState.ANSWERED or event.disposition is Disposition.COMPLETED:
        return BotNeed.ANSWERED
    return BotNeed.RUNG_OUT if event.disposition is Disposition.NO_ANSWER else BotNeed.NONE


def _step(event: CallEvent) -> str:
    return f"{event.state}:{event.disposition}" if event.disposition else event.state.value


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "dial": _DIAL.validate_json,
    "call": _EVENT.validate_json,
    "found": _FOUND.validate_json,
    "detected": _DETECTION.validate_json,
    "joined": Joined.model_validate_json,
    "opt_out": OptOut.model_validate_json,
    "report": Report.model_validate_json,
    "hung_up": json.loads,
}
"""How the words of each kind are read back."""


def read_evidence(attempt: Mapping[str, str]) -> Evidence:
    """Read an attempt's hash back into the evidence that `settlement.settle` decides from.

    The attempt must have been begun: before that, its hash is empty. A word of a kind that only a newer version knows stays
    in the record and is left out here.
    """
    heard: dict[str, list[tuple[datetime, Any]]] = defaultdict(list)
    for name, kept in attempt.items():
        if name.startswith(_HEARD):
            at_ms, _, text = kept.partition(" ")
            kind = name.removeprefix(_HEARD).partition(":")[0]
            if read := _READERS.get(kind):
                heard[kind].append((moment(at_ms), read(text)))

    def only(kind: str) -> tuple[datetime | None, Any]:
        return heard[kind][0] if kind in heard else (None, None)

    (joined_at, bot), (reported_at, report) = only("joined"), only("report")
    return Evidence(
        begun_at=moment(attempt["begun_at"]),
        lease_until=moment(attempt["lease_until"]),
        dial=only("dial")[1],
        told=tuple(heard["call"]),
        found=tuple(heard["found"]),
        detected=tuple(detection for _, detection in heard["detected"]),
        joined=bot,
        joined_at=joined_at,
        opt_out=only("opt_out")[1],
        report=report,
        reported_at=reported_at,
        asked_at=moment_or_none(attempt.get("asked_at")),
        not_found_at=moment_or_none(attempt.get("not_found_at")),
        hung_up_at=only("hung_up")[0],
        ours=attempt["call_sid"] if attempt.get("direction") == "inbound" else "",
    )
