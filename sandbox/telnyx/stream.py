"""Media streaming over a WebSocket: what the person says goes out in 20 ms frames, what the bot sends is played to them."""

import asyncio
import base64
import binascii
import json
from collections import deque
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from sandbox.audio import FRAME, law_tables
from sandbox.telnyx.records import timestamp
from sandbox.telnyx.timeline import QUIET_S, SAME_BURST_S, Arrivals, Timeline, Voice

SILENCE: Final = b"\xff" * FRAME
TICK_S: Final = 0.02
LONGEST_MESSAGE: Final = 30 * 8000
"""Bytes of PCMU in one message: Telnyx takes 20 ms to 30 s of audio."""

# PCMU byte -> loudness, 0 to 127, so that a frame's peak is one `translate` and one `max`.
_LOUD: Final = bytes(127 - (code & 0x7F) for code in range(256))
AUDIBLE: Final = 40


def is_voice(sound: bytes) -> bool:
    """True if PCMU sound is loud enough somewhere to be somebody speaking."""
    return sound != SILENCE and max(sound.translate(_LOUD), default=0) > AUDIBLE


class Ear:
    """What the callee hears: the bot's audio, queued, paced, and preceded by a jitter buffer."""

    def __init__(self, jitter_s: float) -> None:
        self.heard = bytearray()  # all of it, PCMU, from the stream's start
        self.voiced_at: int | None = None  # the last tick with a voice in it
        self.ticks = 0
        self.late_frames = 0  # ticks that found nothing to play in the middle of the bot's speech
        self.longest_hole = 0  # the longest silence that this made, in ticks, with the filling of the jitter buffer
        self._queue = bytearray()
        self._marks: deque[tuple[int, str]] = deque()  # after how many bytes of the queue, which mark
        self._jitter = round(jitter_s / TICK_S)
        self._hold = 0
        self._dry = self._dry_at = 0  # ticks that found nothing since the queue ran out in mid-speech, and when it did
        self._cleared_at = 0

    def play(self, audio: bytes) -> None:
        """Queue audio to be played."""
        if not self._queue:
            self._hold = self._jitter
        if self._dry and is_voice(audio):
            if (self.ticks - self._dry_at) * TICK_S <= SAME_BURST_S:
                self.late_frames += self._dry
                self.longest_hole = max(self.longest_hole, self._dry + self._hold)
            self._dry = 0
        self._queue += audio

    def mark(self, name: str) -> list[str]:
        """Remember a mark behind what is queued; returns those that are due at once."""
        if not self._queue:
            return [name]
        self._marks.append((len(self._queue), name))
        return []

    def clear(self) -> list[str]:
        """Forget what is queued; returns its marks."""
        self._queue.clear()
        self._hold = self._dry = 0
        self._cleared_at = self.ticks  # what was said before is over: silence now is no hole
        marks = [name for _, name in self._marks]
        self._marks.clear()
        return marks

    def tick(self) -> list[str]:
        """Play 20 ms; returns the marks that playout has reached."""
        if self._hold:
            self._hold -= 1
            frame = SILENCE
        else:
            if not self._queue and (self._dry or self._spoke_just_now()):
                self._dry_at = self._dry_at if self._dry else self.ticks
                self._dry += 1
            frame = bytes(self._queue[:FRAME]).ljust(FRAME, b"\xff")
            del self._queue[:FRAME]
            self._marks = deque((left - FRAME, name) for left, name in self._marks)
        self.heard += frame
        if is_voice(frame):
            self.voiced_at = self.ticks
        self.ticks += 1
        reached = []
        while self._marks and self._marks[0][0] <= 0:
            reached.append(self._marks.popleft()[1])
        return reached

    @property
    def hears_voice(self) -> bool:
        """True if the last tick played a voice."""
        return self.voiced_at == self.ticks - 1

    def _spoke_just_now(self) -> bool:
        voiced_at = self.voiced_at
        return voiced_at is not None and self._cleared_at <= voiced_at > self.ticks - QUIET_S / TICK_S


class Mouth:
    """What the callee says: frames waiting to be sent."""

    def __init__(self) -> None:
        self._queue = bytearray()
        self.spoken = bytearray()  # all of it, silence too
        self.quiet = asyncio.Event()
        self.quiet.set()

    def say(self, audio: bytes) -> None:
        """Queue PCMU to be said."""
        self._queue += audio
        self.quiet.clear()

    def tick(self) -> bytes:
        """Return the next 20 ms."""
        if not self._queue:
            self.quiet.set()
            self.spoken += SILENCE
            return SILENCE
        frame = bytes(self._queue[:FRAME]).ljust(FRAME, b"\xff")
        del self._queue[:FRAME]
        self.spoken += frame
        return frame


class MediaStream:
    """One stream: opens the WebSocket, tells `start`, and carries sound until either side ends it.

    `start` names the codec of what the person says; `bot_codec` is that of what the bot sends.
    """

    def __init__(
        self,
        url: str,
        start: dict[str, Any],
        stream_id: str,
        ear: Ear,
        mouth: Mouth,
        *,
        bot_codec: str = "PCMU",
        mute: bool = False,
    ) -> None:
        self.record: dict[str, Any] = {
            "url": url,
            "custom_parameters": start["custom_parameters"],
            "connected_at": None,
            "started_at": None,
            "start_sent_at": None,
            "first_bot_audio_at": None,
            "ended_at": None,
            "frames_sent": 0,
            "messages_received": 0,
            "clears": 0,
            "marks": [],
            "error": None,
            "late_frames": 0,
            "longest_hole_s": 0.0,
            "timeline": [],
        }
        self.timeline = Timeline()
        self.record["timeline"] = self.timeline.entries
        self.ended = asyncio.Event()
        self._url, self._start, self._stream_id = url, start, stream_id
        self._ear, self._mouth = ear, mouth
        self._person, self._bot = Voice("person", self.timeline), Voice("bot", self.timeline)
        self._arrivals = Arrivals(self.timeline)
        self._socket: ClientConnection | None = None
        to_alaw, from_alaw = law_tables()
        codec = start.get("media_format", {}).get("encoding", "PCMU")
        self._sent_as = to_alaw if codec == "PCMA" else None  # for `bytes.translate`; None changes nothing
        self._taken_as = from_alaw if bot_codec == "PCMA" else None
        self._sequence = 0
        self._chunk = 0
        self._stopping = False
        self._mute = mute

    async def run(self) -> None:
        """Carry the stream until the bot closes it, or `stop` is called."""
        try:
            async with connect(
                self._url, open_timeout=10, ping_interval=None, compression=None, max_size=1 << 20
            ) as socket:
                self._socket = socket
                self.record["connected_at"] = timestamp()
                await socket.send(json.dumps({"event": "connected", "version": "1.0.0"}))
                self.record["start_sent_at"] = timestamp()
                self.timeline.begin()
                await self._send("start", start=self._start)
                self.record["started_at"] = timestamp()
                await self._carry(socket)
        except (OSError, WebSocketException, TimeoutError) as error:
            self.record["error"] = f"{type(error).__name__}: {error}"
        finally:
            self.record["ended_at"] = timestamp()
            self._person.end()
            self._bot.end()
            self._socket = None
            self.ended.set()

    async def _carry(self, socket: ClientConnection) -> None:
        pace = asyncio.create_task(asyncio.Event().wait() if self._mute else self._pace())
        try:
            async for message in socket:
                await self._receive(message)
            if not self._stopping:
                self.timeline.note("bot_closes")
        finally:
            pace.cancel()

    async def _pace(self) -> None:
        clock = asyncio.get_running_loop()
        begun = clock.time()
        tick = 0
        try:
            while True:
                # Against an absolute clock: a late tick is made up for, so that minutes do not drift.
                tick += 1
                await asyncio.sleep(max(0.0, begun + tick * TICK_S - clock.time()))
                await self._speak()
                await self._listen()
        except WebSocketException:
            return

    async def _speak(self) -> None:
        frame = self._mouth.tick()
        self._person.frame(self.timeline.now(), TICK_S, loud=is_voice(frame))
        await self._send_frame(frame)

    async def _listen(self) -> None:
        marks = self._ear.tick()
        self._bot.frame(self.timeline.now(), TICK_S, loud=self._ear.hears_voice)
        self.record["late_frames"] = self._ear.late_frames
        self.record["longest_hole_s"] = round(self._ear.longest_hole * TICK_S, 2)
        for name in marks:
            await self._return_mark(name)

    async def _send_frame(self, frame: bytes) -> None:
        self._chunk += 1
        payload = base64.b64encode(frame.translate(self._sent_as)).decode()
        media = {
            "track": "inbound",
            "chunk": str(self._chunk),
            "timestamp": str(self._chunk * 20),
            "payload": payload,
        }
        await self._send("media", media=media)
        self.record["frames_sent"] += 1

    async def _receive(self, message: str | bytes) -> None:
        try:
            frame = json.loads(message)
            event = frame["event"]
        except (ValueError, KeyError, TypeError):
            await self._error(100003, "malformed_frame")
            return
        match event:
            case "media":
                await self._hear(frame)
            case "mark":
                name = str(frame.get("mark", {}).get("name", ""))
                for reached in self._ear.mark(name):
                    await self._return_mark(reached)
            case "clear":
                self.record["clears"] += 1
                self.timeline.note("clear")
                self._bot.end()
                self._arrivals.end()
                for name in self._ear.clear():
                    await self._return_mark(name)
            case _:
                await self._error(100002, "unknown_error")

    async def _hear(self, frame: dict[str, Any]) -> None:
        try:
            audio = base64.b64decode(frame["media"]["payload"], validate=True).translate(self._taken_as)
        except (KeyError, TypeError, binascii.Error, ValueError):
            await self._error(100004, "invalid_media")
            return
        if not FRAME <= len(audio) <= LONGEST_MESSAGE:
            await self._error(100004, "invalid_media")
        self.record["messages_received"] += 1
        self.record["first_bot_audio_at"] = self.record["first_bot_audio_at"] or timestamp()
        if is_voice(audio):
            self._arrivals.audible()
        self._ear.play(audio)

    async def _return_mark(self, name: str) -> None:
        self.record["marks"].append({"name": name, "at": timestamp()})
        self.timeline.note(f"mark {name}")
        await self._send("mark", mark={"name": name})

    async def press(self, digit: str) -> None:
        """Tell the bot that a key was pressed."""
        self.timeline.note(f"key {digit}")
        await self._send("dtmf", occurred_at=timestamp(), dtmf={"digit": digit})

    def sends_digits(self, digits: str) -> None:
        """Note that the bot pressed keys."""
        self.timeline.note(f"dtmf {digits}")

    async def stop(self) -> None:
        """End the stream because the call is over."""
        if socket := self._socket:
            start = self._start
            stop = {"user_id": start["user_id"], "call_control_id": start["call_control_id"]}
            self.timeline.note("stop")
            self._stopping = True
            try:
                await self._send("stop", stop=stop)
            except WebSocketException:
                pass
            await socket.close()

    async def _error(self, code: int, title: str) -> None:
        await self._send("error", payload={"code": code, "title": title, "detail": title})

    async def _send(self, event: str, **content: Any) -> None:
        self._sequence += 1
        frame = {"event": event, "sequence_number": str(self._sequence), "stream_id": self._stream_id, **content}
        if self._socket:
            await self._socket.send(json.dumps(frame))
