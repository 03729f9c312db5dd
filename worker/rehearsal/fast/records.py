"""What the network of a fast rehearsal records of requests and calls, and how the dialer reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from campaigns.call import Disposition
from worker.rehearsal.fast.odds import PostAnswer
from worker.rules.evidence import CallEvent, CallState, FoundCall

_ENDS: Final[Mapping[str, Disposition]] = {
    "busy": Disposition.BUSY,
    "no-answer": Disposition.NO_ANSWER,
    "rejected": Disposition.REJECTED,
    "invalid": Disposition.INVALID_NUMBER,
    "completed": Disposition.COMPLETED,
    "canceled": Disposition.CANCELED,
}
"""How a call ends by the network's records -> the disposition in the carrier's callback."""


@dataclass(slots=True)
class Post:
    """One request to place a call, as the carrier saw it. Milliseconds of Unix time."""

    attempt_id: str
    to: str
    caller_id: str
    at_ms: int
    answer: PostAnswer
    call_sid: str = ""  # empty: no phone rang


@dataclass(slots=True)
class NetworkCall:
    """One call, as the network saw it, and what the person on it wanted. Milliseconds of Unix time; 0: never."""

    call_sid: str
    attempt_id: str  # empty for a call to us until its attempt is known
    number: str  # the person's
    caller_id: str
    inbound: bool
    created_ms: int
    answered_ms: int = 0
    joined_ms: int = 0  # the bot spoke
    cold: bool = False  # no bot was warm when it was answered
    ended_ms: int = 0
    status: str = ""  # once it has ended: busy, no-answer, rejected, invalid, completed or canceled
    opted_out_ms: int = 0  # they asked never to be rung again
    says: str = ""  # the disposition that the bot reported, if its report arrived
    wanted_ms: int = 0  # when they asked to be rung again


def event(call: NetworkCall, state: CallState) -> CallEvent:
    """Return the carrier's word that a call has reached a state."""
    if state is not CallState.ENDED:
        return CallEvent(call.call_sid, state)
    talked_s = (call.ended_ms - call.answered_ms) // 1000 if call.answered_ms else None
    return CallEvent(call.call_sid, state, None, _ENDS[call.status], call.status, talked_s)


def found(call: NetworkCall) -> FoundCall:
    """Return a call as the carrier's list shows it now."""
    state = CallState.ENDED if call.ended_ms else CallState.ANSWERED if call.answered_ms else CallState.RINGING
    return FoundCall(call.call_sid, call.number, call.caller_id, call.created_ms / 1000, event(call, state))


def moment(at_ms: float) -> datetime:
    """Return an instant of Unix time (ms)."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)
