"""One call: its state, the callbacks about it, and its detail record. `life` runs it, and `document` follows its TeXML."""

import asyncio
import random
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import quote

from sandbox.people import Person, Town
from sandbox.telnyx.callbacks import Courier
from sandbox.telnyx.detection import Greeting
from sandbox.telnyx.earpiece import Earpiece, Mouthpiece, silences
from sandbox.telnyx.handset import Handset
from sandbox.telnyx.records import Records, timestamp

TERMINAL: Final = ("completed", "busy", "no-answer", "canceled", "failed")
"""The statuses that end a call."""


class Surroundings(Protocol):
    """What a call needs of the network around it."""

    courier: Courier
    records: Records
    town: Town
    account: str
    organization: str
    base_url: str
    codec: str
    jitter_s: float
    mute: bool
    ring_scale: float

    def has_ended(self, call: "PhoneCall") -> None:
        """Keep the sound of a call that is over, if recordings are kept."""


@dataclass
class PhoneCall:
    """The state of a call. "Caller" is the side that asked for the call, "callee" the person who is called."""

    net: Surroundings
    to: str
    caller_id: str
    person: Person
    ring: int  # how often this number has rung by now; 1 is the first time
    random: random.Random
    texml: str = ""
    url: str = ""
    fallback_url: str = ""
    direction: str = "outbound"
    connection_id: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])  # the fields of the request that created it
    sid: str = field(default_factory=lambda: f"v3:{secrets.token_urlsafe(36)}")
    status: str = "queued"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.record: dict[str, Any] = {"verbs": [], "said": [], "callbacks": [], "digits": ""}
        self.greeting = Greeting()
        ear, mouth = Earpiece(self.net.jitter_s), Mouthpiece()
        self.handset = Handset(self.random, self.record, self.greeting, ear, mouth)
        self.times: dict[str, datetime] = {}  # status -> when the call got it
        self.cause = self.sip = self.source = ""
        self.session = str(uuid.uuid4())
        self.over = asyncio.Event()  # somebody has hung up, or is about to
        self.ended = asyncio.Event()  # the last callback is on its way
        self.redirected = asyncio.Event()
        self._bridged_at: float | None = None
        self._sequence = 0

    @property
    def is_over(self) -> bool:
        """True once the call has ended, or is ending."""
        return self.over.is_set() or self.ended.is_set()

    @property
    def seconds(self) -> int:
        """How long the call has been, or was, answered."""
        if (answered := self.times.get("in-progress")) is None:
            return 0
        return round((self.times.get("completed", datetime.now(UTC)) - answered).total_seconds())

    def hang_up(self, source: str, cause: str = "normal_clearing") -> bool:
        """End the call; False if it is over already."""
        if self.over.is_set():
            return False
        self.source, self.cause = source, cause
        self.over.set()
        return True

    def redirect(self, *, texml: str = "", url: str = "") -> None:
        """Replace the document that the call follows."""
        self.texml, self.url = texml, url
        self.redirected.set()

    def sends_digits(self, digits: str) -> None:
        """Note the keys that the bot pressed."""
        self.record["dtmf_sent"] = self.record.get("dtmf_sent", "") + digits
        if self.handset.stream:
            self.handset.stream.sends_digits(digits)

    def bridge(self, to: str) -> None:
        """Connect the person with somebody else, and count `bridged_s` from now."""
        self.record |= {"bridged_to": to, "bridged_s": 0.0}
        self._bridged_at = asyncio.get_running_loop().time()

    def unbridge(self) -> None:
        """End the connection with somebody else, if there is one."""
        if self._bridged_at is not None:
            self.record["bridged_s"] = round(asyncio.get_running_loop().time() - self._bridged_at, 2)
            self._bridged_at = None

    def finish(self, status: str, cause: str, sip: str, source: str) -> None:
        """End the call with this status, send the last callback, and write the detail record."""
        self.unbridge()
        self.cause, self.sip, self.source = cause, sip, source
        self.over.set()
        self.step(status)
        self.net.records.write("call", **self.detail())

    def step(self, status: str) -> None:
        """Take on a status, and send the callback for it if the request asked for one."""
        self.status = status
        now = self.times[status] = datetime.now(UTC)
        event = {"in-progress": "answered"}.get(status, status)
        event = event if event in {"initiated", "ringing", "answered"} else "completed"
        if event not in str(self.options.get("StatusCallbackEvent") or "completed").split():
            return
        form = self.form() | {
            "CallStatus": status,
            "CallbackSource": "call-progress-events",
            "Timestamp": timestamp(now),
            "SequenceNumber": str(self._sequence),
        }
        self._sequence += 1
        if event == "completed":
            form |= {"SipHangupCause": self.sip, "HangupSource": self.source, "CallDuration": str(self.seconds)}
            if status == "completed":
                # Telnyx gives the cause only for calls that were answered.
                form |= {"HangupCause": self.cause, "CallSessionId": self.session, "EndTime": timestamp(now)}
                if str(self.options.get("Record")).lower() == "true":
                    form |= {"RecordingUrl": self.recording_url, "RecordingDuration": str(self.seconds)}
        self.net.courier.send(str(self.options.get("StatusCallback") or ""), form, self.record["callbacks"])

    def form(self) -> dict[str, str]:
        """Return the fields that every callback about this call has."""
        return {
            "AccountSid": self.net.account,
            "CallInitiatedAt": timestamp(self.created_at),
            "CallSid": self.sid,
            "CallSidLegacy": self.sid,
            "CallerId": self.caller_id,
            "ConnectionId": self.connection_id,
            "From": self.caller_id,
            "To": self.to,
        }

    @property
    def recording_url(self) -> str:
        """Where both sides of the call can be listened to afterwards."""
        return f"{self.net.base_url}/sandbox/recordings/{quote(self.sid, safe='')}.wav"

    def detail(self) -> dict[str, Any]:
        """Return the call detail record."""
        terminal = self.status if self.status in TERMINAL else None
        return {
            "call_sid": self.sid,
            "direction": self.direction,
            "from": self.caller_id,
            "to": self.to,
            "person": self.person.name,
            "ring": self.ring,
            "status": self.status,
            "created_at": timestamp(self.created_at),
            "initiated_at": self._when("initiated"),
            "ringing_at": self._when("ringing"),
            "answered_at": self._when("in-progress"),
            "ended_at": self._when(terminal) if terminal else None,
            "hangup_cause": self.cause or None,
            "sip_hangup_cause": self.sip or None,
            "hangup_source": self.source or None,
            "answered_by": self.person.answered_by if "in-progress" in self.times else None,
            "duration_s": self.seconds,
            "stream": self.handset.stream.record if self.handset.stream else None,
            **silences(bytes(self.handset.ear.heard)),
            **self.record,
        }

    def _when(self, status: str) -> str | None:
        return timestamp(self.times[status]) if status in self.times else None
