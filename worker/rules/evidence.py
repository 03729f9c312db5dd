"""Evidence: what witnesses say about a call, in no vendor's words.

worker/telnyx translates what the carrier says into these classes. They are what is stored, settled and explained later.
"""

from dataclasses import dataclass
from enum import StrEnum

from campaigns.call import Disposition


class CallState(StrEnum):
    """How far a call has come. Its steps have this order, and may be left out but not reversed."""

    INITIATED = "initiated"  # the carrier has begun to dial
    RINGING = "ringing"
    ANSWERED = "answered"
    ENDED = "ended"


class AnsweredBy(StrEnum):
    """Who picked up, as far as the carrier can hear."""

    HUMAN = "human"  # also where the carrier is not sure, so that no person is greeted by silence because of a guess
    MACHINE = "machine"  # a voicemail greeting has begun
    MACHINE_READY = "machine_ready"  # the greeting has ended with a beep or with silence: a message can be left now
    FAX = "fax"


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One step of one call, as the carrier tells it."""

    call_sid: str
    state: CallState
    at: float | None = None  # Unix seconds by the carrier's clock
    disposition: Disposition | None = (
        None  # with ENDED: what the carrier's cause means. COMPLETED: the call was answered
    )
    cause: str = ""  # with ENDED: the carrier's own words, e.g. "busy: user_busy, SIP 486"
    duration_s: int | None = None
    recording_url: str = ""  # with ENDED: the address of the recording, which is valid for a limited time


@dataclass(frozen=True, slots=True)
class Detection:
    """What the carrier's answering-machine detection has heard."""

    call_sid: str
    answered_by: AnsweredBy


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call as the carrier's list of calls shows it."""

    call_sid: str
    to: str  # E.164
    caller_id: str  # E.164
    created_at: float | None  # Unix seconds
    event: CallEvent  # its latest step
    answered_by: AnsweredBy | None = None
    inbound: bool = False  # somebody rang us: then `to` is our number, and `caller_id` is theirs
