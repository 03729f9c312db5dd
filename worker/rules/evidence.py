"""What witnesses say about a call, in no vendor's dialect.

The carrier's module translates at the door; what is stored, settled and explained later is this.
"""

from dataclasses import dataclass
from enum import StrEnum

from campaigns.call import Disposition


class CallState(StrEnum):
    """How far a call has come, in the only order in which it can."""

    INITIATED = "initiated"  # the carrier has begun to dial
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"


class AnsweredBy(StrEnum):
    """Who picked up, as far as the carrier can hear."""

    HUMAN = "human"  # also when it is not sure: nobody is greeted by silence because of a guess
    MACHINE = "machine"  # a voicemail greeting has begun
    MACHINE_READY = "machine_ready"  # the greeting is over, by beep or silence: a message can be left now
    FAX = "fax"


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One step of one call, told by the carrier."""

    call_sid: str
    state: CallState
    at: float | None = None  # Unix seconds by the carrier's clock
    disposition: Disposition | None = None  # with ENDED: what the carrier's cause means; COMPLETED: it was answered
    cause: str = ""  # with ENDED: the carrier's own words, e.g. "busy: user_busy, SIP 486"
    duration_s: int | None = None
    recording_url: str = ""  # with ENDED: where the call's recording is, while the carrier lets one fetch it


@dataclass(frozen=True, slots=True)
class Detection:
    """What the carrier's answering-machine detection heard."""

    call_sid: str
    answered_by: AnsweredBy


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call as the carrier's own list shows it."""

    call_sid: str
    to: str  # E.164
    caller_id: str  # E.164
    created_at: float | None  # Unix seconds
    event: CallEvent  # its latest step
    answered_by: AnsweredBy | None = None
    inbound: bool = False  # somebody rang us: then `to` is ours, and `caller_id` theirs
