"""Media streaming over a WebSocket: the person's voice goes out in frames of 20 ms, and the bot's sound is played to them."""

import asyncio
import base64
import binascii
import contextlib
import json
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from sandbox.audio import FRAME, law_tables
from sandbox.telnyx.earpiece import TICK_S, Earpiece, Mouthpiece, is_voice
from sandbox.telnyx.records import timestamp
from sandbox.telnyx.timeline import Arrivals, StreamTimeline, VoiceTrack

LONGEST_MESSAGE: Final = 30 * 8000
"""Bytes of PCMU in one message. Telnyx takes 20 ms to 30 s of sound."""


class MediaStream:
    """One stream: it opens the WebSocket, sends `start`, and carries sound until one side ends it.

    `start` names the codec of the person's voice; `bot_codec` is the codec of the bot's sound. A mute stream carries no sound
    at all, so that a benchmark can have many.
    """

    def __init__(
        self,
        url: str,
        start: dict[str, Any],
        stream_id: str,
        ear: Earpiece,
        mouth: Mouthpiece,
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
        self.timeline = StreamTimeline()
        self.record["timeline"] = self.timeline.entries
        self.ended = asyncio.Event()
        self._url, self._start, self._stream_id = url, start, stream_id
        self._ear, self._mouth = ear, mouth
        self._person, self._bot = VoiceTrack("person", self.timeline), VoiceTrack("bot", self.timeline)
        self._arrivals = Arrivals(self.timeline)
        self._socket: ClientConnection | None = None
        to_alaw, from_alaw = law_tables()
        codec = start.get("media_format", {}).get("encoding", "PCMU")
        self._sent_as = to_alaw if codec == "PCMA" else None  # tables for `bytes.translate`; None changes nothing
        self._taken_as = from_alaw if bot_codec == "PCMA" else None
        self._sequence = 0
        self._chunk = 0
        self._stopping = False
        self._mute = mute

    async def run(self) -> None:
        """Carry the stream until the bot closes it or `stop` is called."""
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
                # By an absolute clock: the next tick makes up for a late one, so that the stream does not drift.
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
        """Tell the bot that the person pressed a key."""
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
            with contextlib.suppress(WebSocketException):
                await self._send("stop", stop=stop)
            await socket.close()

    async def _error(self, code: int, title: str) -> None:
        await self._send("error", payload={"code": code, "title": title, "detail": title})

    async def _send(self, event: str, **content: Any) -> None:
        self._sequence += 1
        frame = {"event": event, "sequence_number": str(self._sequence), "stream_id": self._stream_id, **content}
        if self._socket:
            await self._socket.send(json.dumps(frame))
