"""What a dial tells Telnyx, and what it learns: `POST /v2/texml/calls/{connection_id}`, by Telnyx's OpenAPI file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

EVENTS: Final = "initiated ringing answered completed"


@dataclass(frozen=True, slots=True)
class DialOrder:
    """One call to place."""

    to: str  # E.164
    caller_id: str  # E.164, ours
    texml: str
    status_url: str  # carries the attempt id
    amd_url: str | None  # None: no answering-machine detection
    ring_timeout_s: int
    time_limit_s: int
    record: bool = False


@dataclass(frozen=True, slots=True)
class Dialed:
    """What is known of a dial that the carrier has taken."""

    call_sid: str  # "" if the carrier named none
    left_at: float | None
    """When the dial must have been with the carrier, by the monotonic clock (s).

    That is when its last byte was written; and if the answer took longer than nearly all do, so much later, for the
    request may have been held up on its way.
    """


def body_of(order: DialOrder) -> dict[str, Any]:
    """Return what the request's body says besides the SDK's own parameters, under Telnyx's names."""
    # Only From, To, Texml and Url are typed parameters of this endpoint; the rest goes into the body as it is.
    options: dict[str, Any] = {
        "StatusCallback": order.status_url,
        "StatusCallbackMethod": "POST",
        "StatusCallbackEvent": EVENTS,
        "Timeout": order.ring_timeout_s,
        "TimeLimit": order.time_limit_s,
    }
    if order.amd_url:
        # Asynchronous: the synchronous kind leaves the callee in silence until it has decided.
        options |= {
            "MachineDetection": "DetectMessageEnd",
            "DetectionMode": "Regular",
            "AsyncAmd": True,
            "AsyncAmdStatusCallback": order.amd_url,
            "AsyncAmdStatusCallbackMethod": "POST",
        }
    if order.record:
        options |= {"Record": True, "RecordingChannels": "dual"}
    return options


def call_sid_of(answer: Mapping[str, Any]) -> str:
    """Return the call's sid wherever Telnyx puts it, "" if it names none."""
    inner = answer.get("data")
    for place in (answer, inner if isinstance(inner, Mapping) else {}):
        for name in ("call_sid", "sid", "CallSid", "call_control_id"):
            if sid := place.get(name):
                return str(sid)
    return ""
