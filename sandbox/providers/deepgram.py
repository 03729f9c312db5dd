"""Deepgram's live transcription. The words come from the sound, which `recognizer` compares with every clip."""

import asyncio
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from sandbox.audio import FRAME, RATE, Samples, alaw_decode, ulaw_decode
from sandbox.providers.recognizer import Hearing
from sandbox.providers.state import Providers, refused

_FRAME_S: Final = FRAME / RATE
_SPEECH_LEVEL: Final = 300.0
"""The root mean square above which 20 ms count as speech. Noise is far below it, a quiet voice above."""

_END_FRAMES: Final = 22
"""Quiet frames that end a stretch of speech if the client asks for no `endpointing`. Pauses within the clips are shorter."""

_FEWEST_END_FRAMES: Final = 5
"""Quiet frames that any stretch needs at its end, because words have short pauses inside."""

_INTERIM_FRAMES: Final = 15
_LONGEST_FRAMES: Final = 800


def router(providers: Providers) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.websocket("/v1/listen")
    async def listen(socket: WebSocket) -> None:
        if socket.headers.get("authorization") != f"Token {providers.key}":
            await refused(socket, 401)
        elif struck := providers.deepgram.strikes({"refuse", "500"}, socket.query_params.get("model", "")):
            await refused(socket, 403 if struck == "refuse" else 500)
        else:
            await socket.accept()
            await _Transcriber(providers, socket).serve()

    return routes


class _Transcriber:
    """One connection. It hears all sound at once; results wait for their latency in a queue, which delays no hearing."""

    def __init__(self, providers: Providers, socket: WebSocket) -> None:
        self._providers, self._socket = providers, socket
        query = socket.query_params
        self._encoding = query.get("encoding", "linear16")
        self._rate = int(query.get("sample_rate", RATE))
        self._interim = query.get("interim_results") == "true"
        self._model = query.get("model", "")
        self._segments = Segmenter(_end_frames(query.get("endpointing", "")))
        self._id = str(uuid.uuid4())
        self._rest = b""
        self._out: asyncio.Queue[tuple[float, dict[str, Any] | int]] = asyncio.Queue()  # when to send, and what
        self._clock = asyncio.get_running_loop().time

    async def serve(self) -> None:
        telling = asyncio.create_task(self._tell())
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if data := message.get("bytes"):
                    self._hear(data)
                elif not self._command(json.loads(message.get("text") or "{}")):
                    await telling
                    return
        except (WebSocketDisconnect, RuntimeError, ValueError):
            return
        finally:
            telling.cancel()

    def _hear(self, data: bytes) -> None:
        now = self._clock()
        for stretch in self._segments.feed(self._samples(data)):
            if stretch.ended or self._interim:
                # The quiet at the end of a stretch has taken time already, and the latency counts from the sound before it.
                self._put(stretch, now - stretch.quiet_s, final=stretch.ended)

    def _command(self, command: dict[str, Any]) -> bool:
        match command.get("type"):
            case "Finalize":
                self._put(self._segments.flush(), self._clock(), final=True, finalize=True)
            case "CloseStream":
                self._put(self._segments.flush(), self._clock(), final=True)
                self._out.put_nowait((0.0, {"type": "Metadata", "request_id": self._id, "channels": 1}))
                self._out.put_nowait((0.0, 1000))
                return False
            case _:
                pass  # KeepAlive, and commands of newer clients
        return True

    def _put(self, stretch: "Stretch", sound_ended: float, *, final: bool, finalize: bool = False) -> None:
        """Queue a result, to be sent `latency_ms` after the end of the sound that it is about."""
        conduct = self._providers.deepgram
        if stretch.words:
            struck = conduct.strikes({"hang", "die_mid"}, self._model, counts=final)
        else:
            struck = conduct.strikes({"hang"}, self._model, counts=False)
        if struck == "hang" or not (stretch.words or finalize):
            return
        result = 1011 if struck == "die_mid" else self._result(stretch, final=final, finalize=finalize)
        self._out.put_nowait((sound_ended + conduct.latency_ms / 1000, result))

    async def _tell(self) -> None:
        """Send the queued results in order; a number closes the connection with that code."""
        try:
            while True:
                due, result = await self._out.get()
                await asyncio.sleep(due - self._clock())
                if isinstance(result, int):
                    await self._socket.close(result)
                    return
                words = result["channel"]["alternatives"][0]["transcript"] if result["type"] == "Results" else ""
                if words and result["is_final"]:
                    self._providers.heard.append({"at": time.time(), "text": words, "model": self._model})
                await self._socket.send_text(json.dumps(result))
        except (WebSocketDisconnect, RuntimeError):
            return

    def _result(self, stretch: "Stretch", *, final: bool, finalize: bool) -> dict[str, Any]:
        spoken = stretch.words.split()
        step = stretch.seconds / max(1, len(spoken))
        said = [
            {
                "word": word.strip(".,?!").lower(),
                "punctuated_word": word,
                "start": stretch.start_s + i * step,
                "end": stretch.start_s + (i + 1) * step,
                "confidence": 0.97,
            }
            for i, word in enumerate(spoken)
        ]
        heard = {"transcript": stretch.words, "confidence": 0.97 if spoken else 0.0, "words": said}
        return {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": stretch.seconds,
            "start": stretch.start_s,
            "is_final": final,
            "speech_final": final,
            "from_finalize": finalize,
            "channel": {"alternatives": [heard]},
            "metadata": {"request_id": self._id, "model_info": {"name": "sandbox", "version": "1", "arch": "clips"}},
        }

    def _samples(self, data: bytes) -> Samples:
        if self._encoding == "mulaw":
            samples = ulaw_decode(data)
        elif self._encoding == "alaw":
            samples = alaw_decode(data)
        else:
            data, odd = self._rest + data, (len(self._rest) + len(data)) % 2
            data, self._rest = (data[:-1], data[-1:]) if odd else (data, b"")
            samples = np.frombuffer(data, "<i2").astype(np.int16)
        if self._rate == 2 * RATE and len(samples) % 2 == 0:
            samples = samples.reshape(-1, 2).mean(axis=1).astype(np.int16)
        elif self._rate != RATE:
            at = np.arange(int(len(samples) * RATE / self._rate)) * self._rate / RATE
            samples = np.interp(at, np.arange(len(samples)), samples).astype(np.int16)
        return samples


def _end_frames(endpointing: str) -> int:
    if endpointing == "false":
        return _LONGEST_FRAMES
    return max(_FEWEST_END_FRAMES, round(int(endpointing) / 20)) if endpointing.isdecimal() else _END_FRAMES


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of speech, so far or whole. Times are in seconds since the first sample of the connection."""

    words: str
    start_s: float
    seconds: float
    quiet_s: float  # since the last loud frame
    ended: bool


class Segmenter:
    """Cuts a stream of samples into stretches of speech, by loudness alone, so that silence costs almost no time."""

    def __init__(self, end_frames: int = _END_FRAMES) -> None:
        self._end_frames = end_frames
        self._rest = self._before = np.zeros(0, np.int16)
        self._hearing: Hearing | None = None
        self._frames = 0  # since the first sample
        self._begun = self._quiet = self._told = 0

    def feed(self, samples: Samples) -> Iterator[Stretch]:
        """Take samples; yield each stretch that they end, and the open stretch each time that it has grown by 0.3 s."""
        samples = np.concatenate([self._rest, samples]) if len(self._rest) else samples
        whole = len(samples) // FRAME * FRAME
        self._rest = samples[whole:]
        frames = samples[:whole].reshape(-1, FRAME)
        for frame, level in zip(frames, np.sqrt((frames.astype(np.float32) ** 2).mean(axis=1)), strict=True):
            self._frames += 1
            if stretch := self._take(frame, loud=bool(level > _SPEECH_LEVEL)):
                yield stretch

    def _take(self, frame: Samples, *, loud: bool) -> Stretch | None:
        if self._hearing is None:
            if not loud:
                self._before = frame
                return None
            self._hearing = Hearing()
            self._begun, self._quiet, self._told = self._frames - 1, 0, self._frames - 1
            if len(self._before):
                self._hearing.frame(self._before)
        self._hearing.frame(frame, loud=loud)
        self._quiet = 0 if loud else self._quiet + 1
        if self._quiet >= self._end_frames or self._frames - self._begun > _LONGEST_FRAMES:
            return self.flush()
        if loud and self._frames - self._told >= _INTERIM_FRAMES:
            self._told = self._frames
            return self._stretch(ended=False)
        return None

    def flush(self) -> Stretch:
        """End the stretch here; return it."""
        stretch = self._stretch(ended=True)
        self._hearing = None
        self._before = np.zeros(0, np.int16)
        return stretch

    def _stretch(self, *, ended: bool) -> Stretch:
        begun = self._begun if self._hearing else self._frames
        return Stretch(
            words=self._hearing.words() if self._hearing else "",
            start_s=round(begun * _FRAME_S, 3),
            seconds=round((self._frames - begun) * _FRAME_S, 3),
            quiet_s=self._quiet * _FRAME_S if self._hearing else 0.0,
            ended=ended,
        )
