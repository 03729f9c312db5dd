"""One call, from the request to its last callback: the ring, the person, and the document that says what happens."""

import asyncio
import contextlib
import random
import secrets
import uuid
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import quote
from xml.etree.ElementTree import Element, ParseError

import httpx
import numpy as np
from defusedxml.ElementTree import fromstring

from sandbox.audio import ulaw_encode
from sandbox.clips import CLIPS, clip
from sandbox.people import Person, Town
from sandbox.speech import synthesize
from sandbox.telnyx.callbacks import Courier
from sandbox.telnyx.detection import Greeting, detect
from sandbox.telnyx.records import Records, timestamp
from sandbox.telnyx.stream import AUDIBLE, TICK_S, Ear, MediaStream, Mouth

_END_OF_SPEECH_S: Final = 0.9
"""How long the caller must be quiet before a person takes their turn."""

_NOT_ANSWERED: Final[Mapping[str, tuple[str, str, str]]] = {
    "busy": ("busy", "user_busy", "486"),
    "no-answer": ("no-answer", "no_answer", "480"),
    "rejected": ("failed", "call_rejected", "603"),
    "not-found": ("failed", "not_found", "404"),
    "unreachable": ("failed", "unspecified", "503"),
}
"""What the network says of a ring that nobody answers: status, cause, SIP code."""

TERMINAL: Final = ("completed", "busy", "no-answer", "canceled", "failed")
"""The statuses that end a call."""

_BRIDGED_S: Final = (3.0, 6.0)
"""How long people talk with whom they have been put through to."""


class Network(Protocol):
    """What a call needs of the world around it."""

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

    def over(self, call: "Call") -> None: ...


@dataclass
class Call:
    """A call's state. `run` is its life."""

    network: Network
    to: str
    caller_id: str
    person: Person
    ring: int
    random: random.Random
    texml: str = ""
    url: str = ""
    fallback_url: str = ""
    direction: str = "outbound"
    connection_id: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    sid: str = field(default_factory=lambda: f"v3:{secrets.token_urlsafe(36)}")
    status: str = "queued"
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        self.ear, self.mouth = Ear(self.network.jitter_s), Mouth()
        self.stream: MediaStream | None = None
        self.record: dict[str, Any] = {"verbs": [], "said": [], "callbacks": [], "digits": ""}
        self.times: dict[str, datetime] = {}
        self.ended = asyncio.Event()
        self.cause = self.sip = self.source = ""
        self.session = str(uuid.uuid4())
        self._greeting = Greeting()
        self._bridged_at: float | None = None
        self._over = asyncio.Event()
        self._redirect = asyncio.Event()
        self._sequence = 0

    # --- its life -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ring, be answered or not, and end; then tell the last callback and write the record."""
        try:
            await self._live()
        except Exception as error:
            self.record["error"] = repr(error)
            self._finish("failed", "unspecified", "500", "caller")
            raise
        finally:
            self.ended.set()
            self.network.over(self)

    async def _live(self) -> None:
        if self.direction == "outbound":
            await asyncio.sleep(0.05)
            self._step("initiated")
            if not await self._ring():
                return
        self._step("in-progress")
        detecting = asyncio.create_task(by) if (by := self._detection()) else None
        person = asyncio.create_task(self._hold())
        document = asyncio.create_task(self._follow_document())
        limit = float(self.options.get("TimeLimit") or 14_400)
        over = asyncio.create_task(self._over.wait())
        done, _ = await asyncio.wait({person, document, over}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            self.hang_up("caller", "time_limit")
        elif person in done and not self._over.is_set():
            self.hang_up("callee")
        else:
            self.hang_up("caller")
        if self.stream:
            await self.stream.stop()
        for task in filter(None, (person, document, over, detecting)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._finish("completed", self.cause, "200", self.source)

    async def _ring(self) -> bool:
        """Ring; True if it is answered."""
        await asyncio.sleep(0.1)
        if self.person.ring in {"not-found", "unreachable", "rejected", "busy"}:
            if self.person.ring in {"rejected", "busy"}:
                self._step("ringing")
                await asyncio.sleep(self.random.uniform(0.2, 0.8))
            return self._finish(*_NOT_ANSWERED[self.person.ring], "callee")
        self._step("ringing")
        limit = float(self.options.get("Timeout") or 30) * self.network.ring_scale
        rings = limit if self.person.ring == "no-answer" else min(self.random.uniform(*self.person.rings_s), limit)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), rings)
        if self._over.is_set():
            return self._finish("canceled", "originator_cancel", "487", "caller")
        if self.person.ring == "no-answer":
            return self._finish(*_NOT_ANSWERED["no-answer"], "caller")
        return True

    def hang_up(self, source: str, cause: str = "normal_clearing") -> bool:
        """End the call; False if it is over already."""
        if self._over.is_set():
            return False
        self.source, self.cause = source, cause
        self._over.set()
        return True

    def redirect(self, *, texml: str = "", url: str = "") -> None:
        """Replace the document that the call follows."""
        self.texml, self.url = texml, url
        self._redirect.set()

    @property
    def is_over(self) -> bool:
        """True once the call has ended, or is ending."""
        return self._over.is_set() or self.ended.is_set()

    def sends_digits(self, digits: str) -> None:
        """Let them hear the keys that the bot pressed."""
        self.record["dtmf_sent"] = self.record.get("dtmf_sent", "") + digits
        if self.stream:
            self.stream.sends_digits(digits)

    def bridge(self, to: str) -> None:
        """Connect them with somebody else: `bridged_s` begins."""
        self.record |= {"bridged_to": to, "bridged_s": 0.0}
        self._bridged_at = asyncio.get_running_loop().time()

    def _unbridge(self) -> None:
        if self._bridged_at is not None:
            self.record["bridged_s"] = round(asyncio.get_running_loop().time() - self._bridged_at, 2)
            self._bridged_at = None

    @property
    def is_put_through(self) -> bool:
        """True once they have been connected with somebody else."""
        return "bridged_to" in self.record

    def _finish(self, status: str, cause: str, sip: str, source: str) -> bool:
        self._unbridge()
        self.cause, self.sip, self.source = cause, sip, source
        self._over.set()
        self._step(status)
        self.network.records.write("call", **self.detail())
        return False

    # --- callbacks ----------------------------------------------------------------------------------------------------

    def _step(self, status: str) -> None:
        self.status = status
        now = self.times[status] = datetime.now(UTC)
        event = {"in-progress": "answered"}.get(status, status)
        event = event if event in {"initiated", "ringing", "answered"} else "completed"
        if event not in str(self.options.get("StatusCallbackEvent") or "completed").split():
            return
        form = self._form() | {
            "CallStatus": status,
            "CallbackSource": "call-progress-events",
            "Timestamp": timestamp(now),
            "SequenceNumber": str(self._sequence),
        }
        self._sequence += 1
        if event == "completed":
            form |= {"SipHangupCause": self.sip, "HangupSource": self.source, "CallDuration": str(self.seconds)}
            if status == "completed":
                # Telnyx tells the cause of calls that were answered only.
                form |= {"HangupCause": self.cause, "CallSessionId": self.session, "EndTime": timestamp(now)}
                if str(self.options.get("Record")).lower() == "true":
                    form |= {"RecordingUrl": self.recording_url, "RecordingDuration": str(self.seconds)}
        self.network.courier.send(str(self.options.get("StatusCallback") or ""), form, self.record["callbacks"])

    def _form(self) -> dict[str, str]:
        return {
            "AccountSid": self.network.account,
            "CallInitiatedAt": timestamp(self.created_at),
            "CallSid": self.sid,
            "CallSidLegacy": self.sid,
            "CallerId": self.caller_id,
            "ConnectionId": self.connection_id,
            "From": self.caller_id,
            "To": self.to,
        }

    def _detection(self) -> Coroutine[Any, Any, None] | None:
        url = str(self.options.get("AsyncAmdStatusCallback") or "")
        wanted = str(self.options.get("MachineDetection") or "Disable")
        if not url or wanted == "Disable":
            return None

        def tell(answer: str) -> None:
            after_ms = int((datetime.now(UTC) - self.times["in-progress"]).total_seconds() * 1000)
            form = self._form() | {"AnsweredBy": answer, "MachineDetectionDuration": str(after_ms)}
            self.network.courier.send(url, form, self.record["callbacks"])

        return detect(self.person.answered_by, wanted, self._greeting, tell)

    # --- the document -------------------------------------------------------------------------------------------------

    async def _follow_document(self) -> None:
        while True:
            self._redirect.clear()
            following = asyncio.create_task(self._follow(await self._fetch()))
            redirected = asyncio.create_task(self._redirect.wait())
            await asyncio.wait({following, redirected}, return_when=asyncio.FIRST_COMPLETED)
            redirected.cancel()
            if not self._redirect.is_set():
                await following
                return
            following.cancel()
            if self.stream:
                await self.stream.stop()

    async def _fetch(self) -> str:
        if self.texml:
            return self._filled(self.texml, {})
        form = self._form() | {"CallStatus": "in-progress", "CallingPartyType": "pstn"}
        for url in filter(None, (self.url, self.fallback_url)):
            try:
                answer = await self.network.courier.post(url, form)
                if answer.status_code == 200:
                    return self._filled(answer.text, form)
                self.record["verbs"].append(f"fetch failed: {answer.status_code}")
            except httpx.HTTPError as error:
                self.record["verbs"].append(f"fetch failed: {type(error).__name__}")
        return ""

    @staticmethod
    def _filled(document: str, form: Mapping[str, str]) -> str:
        # Telnyx takes {{Name}} for a variable; an unknown one becomes nothing.
        while (start := document.find("{{")) >= 0 and (end := document.find("}}", start)) >= 0:
            document = document[:start] + form.get(document[start + 2 : end].strip(), "") + document[end + 2 :]
        return document

    async def _follow(self, document: str) -> None:
        try:
            root = fromstring(document)
        except (ParseError, ValueError) as error:
            self.record["verbs"].append(f"unreadable document: {error}")
            return
        for verb in root:
            if self.is_over:
                return
            self.record["verbs"].append(verb.tag)
            if not await self._do(verb):
                return

    async def _do(self, verb: Element) -> bool:
        """Do one verb; False if the document ends with it."""
        text = (verb.text or "").strip()
        match verb.tag:
            case "Connect" | "Start":
                await self._connect(verb)
            case "Pause":
                await asyncio.sleep(float(verb.get("length", "1")))
            case "Say":
                await self._say_to_them(text)
            case "Redirect":
                self.redirect(url=text)
                await asyncio.Event().wait()
            case "Dial":
                number = verb.find("Number")
                await self._dial(((number.text if number is not None else None) or text).strip())
            case "Hangup" | "Reject":
                return False
            case _:
                self.record["verbs"].append(f"{verb.tag} is not known here: skipped")
        return True

    async def _dial(self, number: str) -> None:
        """Ring somebody of the town, and let them talk for a while."""
        answers = self.network.town.person(number, 1).ring
        self.record["dial_status"] = "completed" if answers == "answered" else answers
        if answers == "answered":
            self.bridge(number)
            await asyncio.sleep(self.random.uniform(*_BRIDGED_S))
            self._unbridge()

    async def _connect(self, verb: Element) -> None:
        stream = verb.find("Stream")
        if stream is None:
            return
        self.record["stream_attributes"] = dict(stream.attrib)
        if stream.get("bidirectionalMode", "mp3") != "rtp":
            self.record["verbs"].append("Stream: mp3 mode is not played here")
        codec = stream.get("codec", "default")
        codec = codec if codec in {"PCMU", "PCMA"} else self.network.codec
        parameters = {p.get("name", ""): p.get("value", "") for p in stream.iter("Parameter")}
        start = {
            "user_id": self.network.organization,
            "call_control_id": self.sid,
            "call_session_id": self.session,
            "from": self.caller_id,
            "to": self.to,
            "client_state": None,
            "custom_parameters": parameters,
            "media_format": {"encoding": codec, "sample_rate": 8000, "channels": 1},
        }
        url, bot_codec = stream.get("url", ""), stream.get("bidirectionalCodec", "PCMU")
        self.stream = MediaStream(
            url, start, str(uuid.uuid4()), self.ear, self.mouth, bot_codec=bot_codec, mute=self.network.mute
        )
        await self.stream.run()

    async def _say_to_them(self, text: str) -> None:
        self.record["said"].append({"at": timestamp(), "by": "carrier", "words": text})
        sound = ulaw_encode(synthesize(text, "carrier"))
        self.ear.heard += sound
        await asyncio.sleep(len(sound) / 8000)

    # --- the person's telephone -------------------------------------------------------------------------------------------

    async def _hold(self) -> None:
        await asyncio.sleep(self.random.uniform(0.2, 0.5))
        if self.person.script:
            await self.person.script(self)

    async def say(self, name: str) -> None:
        """Speak a clip to its end."""
        audio = clip(name)
        self.record["said"].append({"at": timestamp(), "by": "person", "words": CLIPS[name] or name})
        self._greeting.begins()
        self.mouth.say(audio)
        # Without a stream nobody carries the sound, but saying it takes as long.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.mouth.quiet.wait(), len(audio) / 8000 + 1)
        self._greeting.has_said(name)

    async def pause(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def press(self, digit: str) -> None:
        """Press a key."""
        self.record["digits"] += digit
        if self.stream:
            await self.stream.press(digit)

    async def caller_speaks(self, within: float = 12.0) -> bool:
        """Wait for the caller's voice."""
        since = self.ear.ticks
        return await self._until(lambda: self.ear.voiced_at is not None and self.ear.voiced_at >= since, within)

    async def caller_finishes(self, within: float = 30.0) -> bool:
        """Wait until the caller has spoken and then been quiet."""
        if self._silence_s() > _END_OF_SPEECH_S and not await self.caller_speaks(within):
            return False
        await self._until(lambda: self._silence_s() > _END_OF_SPEECH_S, within)
        await asyncio.sleep(self.random.uniform(0.0, 0.3))
        return True

    async def until_hung_up(self, patience: float = 12.0) -> None:
        """Stay on the line while the caller says something now and then."""
        since = self.ear.ticks
        await self._until(lambda: (self.ear.ticks - max(since, self.ear.voiced_at or 0)) * TICK_S > patience, 600)

    def _silence_s(self) -> float:
        if self.ear.voiced_at is None:
            return float("inf")
        return (self.ear.ticks - self.ear.voiced_at) * TICK_S

    async def _until(self, condition: Any, within: float) -> bool:
        deadline = asyncio.get_running_loop().time() + within
        while not condition():
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.04)
        return True

    # --- what is told about it ------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> int:
        """How long it has been, or was, answered."""
        if (answered := self.times.get("in-progress")) is None:
            return 0
        return round((self.times.get("completed", datetime.now(UTC)) - answered).total_seconds())

    @property
    def recording_url(self) -> str:
        """Where both sides can be listened to afterwards."""
        return f"{self.network.base_url}/sandbox/recordings/{quote(self.sid, safe='')}.wav"

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
            "stream": self.stream.record if self.stream else None,
            **silences(bytes(self.ear.heard)),
            **self.record,
        }

    def _when(self, status: str) -> str | None:
        return timestamp(self.times[status]) if status in self.times else None


def silences(heard: bytes) -> dict[str, float]:
    """Measure what a callee heard: seconds of voice, seconds until the first, and the longest pause between two."""
    frames = np.frombuffer(heard[: len(heard) // 160 * 160], np.uint8).reshape(-1, 160)
    voiced = np.flatnonzero((127 - (frames & 0x7F)).max(axis=1) > AUDIBLE) if len(frames) else np.zeros(0, int)
    gaps = np.diff(voiced) * TICK_S if len(voiced) > 1 else np.zeros(1)
    return {
        "heard_s": round(len(voiced) * TICK_S, 2),
        "silent_at_first_s": round(float(voiced[0] if len(voiced) else len(frames)) * TICK_S, 2),
        "longest_pause_s": round(float(gaps.max()), 2),
    }
