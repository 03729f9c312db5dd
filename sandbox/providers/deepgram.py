"""Deepgram's live transcription. The words come from the sound: each stretch of speech is compared with every clip."""

import asyncio
import json
import time
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect
from numpy.typing import NDArray

from sandbox.audio import RATE, Samples, alaw_decode, loudness, ulaw_decode
from sandbox.clips import CLIPS, clip
from sandbox.providers.state import State

_FRAME: Final = 160
_SPEECH_LEVEL: Final = 300.0
"""Root mean square above which 20 ms count as speech: line noise is far below, a quiet voice above."""

_END_FRAMES: Final = 22
"""Quiet frames that end a stretch of speech: above the pauses within the clips."""

_SURE: Final = 0.55
"""Correlation from which a stretch of speech is taken to be a clip. The right one scores above 0.9, others below 0.3."""

_LONGEST_S: Final = 16


def router(state: State) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.websocket("/v1/listen")
    async def listen(socket: WebSocket) -> None:
        if socket.headers.get("authorization") != f"Token {state.key}" or state.deepgram.mode in {"refuse", "500"}:
            await socket.close(1008)
            return
        await socket.accept()
        await _Listener(state, socket).serve()

    return routes


class _Listener:
    """One connection."""

    def __init__(self, state: State, socket: WebSocket) -> None:
        self._state, self._socket = state, socket
        query = socket.query_params
        self._encoding = query.get("encoding", "linear16")
        self._rate = int(query.get("sample_rate", RATE))
        self._interim = query.get("interim_results") == "true"
        self._segments = Segmenter()
        self._id = str(uuid.uuid4())
        self._rest = b""

    async def serve(self) -> None:
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if data := message.get("bytes"):
                    await self._hear(data)
                elif not await self._command(json.loads(message.get("text") or "{}")):
                    return
        except (WebSocketDisconnect, RuntimeError, ValueError):
            return

    async def _hear(self, data: bytes) -> None:
        for stretch in self._segments.feed(self._samples(data)):
            if stretch.ended:
                await self._tell(stretch.samples, final=True, finalize=False)
            elif self._interim:
                await self._tell(stretch.samples, final=False, finalize=False)

    async def _command(self, command: dict[str, Any]) -> bool:
        match command.get("type"):
            case "Finalize":
                stretch = self._segments.flush()
                await self._tell(stretch, final=True, finalize=True)
            case "CloseStream":
                await self._tell(self._segments.flush(), final=True, finalize=False)
                await self._socket.send_text(json.dumps({"type": "Metadata", "request_id": self._id, "channels": 1}))
                await self._socket.close(1000)
                return False
            case _:
                pass  # KeepAlive, and whatever a newer client sends
        return True

    async def _tell(self, samples: Samples, *, final: bool, finalize: bool) -> None:
        words = await asyncio.to_thread(recognize, samples, partial=not final)
        if not words and not finalize:
            return
        if self._state.deepgram.mode == "die_mid" and words:
            await self._socket.close(1011)
            return
        await self._state.deepgram.delay()
        if final and words:
            self._state.heard.append({"at": time.time(), "text": words})
        spoken = words.split()
        step = len(samples) / RATE / max(1, len(spoken))
        said = [
            {
                "word": w.strip(".,?!").lower(),
                "punctuated_word": w,
                "start": i * step,
                "end": (i + 1) * step,
                "confidence": 0.97,
            }
            for i, w in enumerate(spoken)
        ]
        result = {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": len(samples) / RATE,
            "start": 0.0,
            "is_final": final,
            "speech_final": final,
            "from_finalize": finalize,
            "channel": {"alternatives": [{"transcript": words, "confidence": 0.97 if words else 0.0, "words": said}]},
            "metadata": {"request_id": self._id, "model_info": {"name": "sandbox", "version": "1", "arch": "clips"}},
        }
        await self._socket.send_text(json.dumps(result))

    def _samples(self, data: bytes) -> Samples:
        if self._encoding == "mulaw":
            samples = ulaw_decode(data)
        elif self._encoding == "alaw":
            samples = alaw_decode(data)
        else:
            data, odd = self._rest + data, (len(self._rest) + len(data)) % 2
            data, self._rest = (data[:-1], data[-1:]) if odd else (data, b"")
            samples = np.frombuffer(data, "<i2").astype(np.int16)
        if self._rate != RATE:
            at = np.arange(int(len(samples) * RATE / self._rate)) * self._rate / RATE
            samples = np.interp(at, np.arange(len(samples)), samples).astype(np.int16)
        return samples


@dataclass(frozen=True, slots=True)
class Stretch:
    """Sound with speech in it: so far, or to its end."""

    samples: Samples
    ended: bool


class Segmenter:
    """Cuts a stream of samples into stretches of speech, by loudness alone: silence costs next to nothing."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.int16)
        self._frames: list[Samples] = []
        self._before = np.zeros(0, np.int16)
        self._quiet = 0
        self._told = 0

    def feed(self, samples: Samples) -> list[Stretch]:
        """Take samples; return each stretch that ended with them, or that half a second was added to."""
        stretches: list[Stretch] = []
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // _FRAME * _FRAME
        self._rest = samples[whole:]
        for frame in samples[:whole].reshape(-1, _FRAME):
            loud = loudness(frame) > _SPEECH_LEVEL
            if not self._frames:
                if not loud:
                    self._before = frame
                    continue
                self._frames = [self._before, frame]
                self._quiet = self._told = 0
                continue
            self._frames.append(frame)
            self._quiet = 0 if loud else self._quiet + 1
            if self._quiet >= _END_FRAMES or len(self._frames) * _FRAME > _LONGEST_S * RATE:
                stretches.append(Stretch(self.flush(), ended=True))
            elif loud and len(self._frames) - self._told >= 25:
                self._told = len(self._frames)
                stretches.append(Stretch(np.concatenate(self._frames), ended=False))
        return stretches

    def flush(self) -> Samples:
        """Return the stretch so far, and begin anew."""
        samples = np.concatenate(self._frames) if self._frames else np.zeros(0, np.int16)
        self._frames = []
        return samples


@lru_cache(maxsize=1)
def _spectra() -> tuple[int, list[tuple[str, int, NDArray[np.complex64], float]]]:
    size = 1 << (int(_LONGEST_S * RATE) - 1).bit_length()
    known = []
    for name, words in CLIPS.items():
        if not words:
            continue
        samples = ulaw_decode(clip(name)).astype(np.float32)
        known.append(
            (
                words,
                len(samples),
                np.conj(np.fft.rfft(samples, size)).astype(np.complex64),
                float(np.linalg.norm(samples)),
            )
        )
    return size, known


def recognize(samples: Samples, *, partial: bool = False) -> str:
    """Return the words of the clip that this sound is, or "" if it is none. `partial`: its beginning will do."""
    if len(samples) < RATE // 10:
        return ""
    size, known = _spectra()
    sound = samples[: size // 2].astype(np.float32)
    spectrum = np.fft.rfft(sound, size)
    energy = float(np.linalg.norm(sound)) or 1.0
    best, words = _SURE, ""
    for candidate, length, conjugate, norm in known:
        score = float(np.abs(np.fft.irfft(spectrum * conjugate, size)).max()) / (energy * norm)
        if partial:
            # The beginning of a clip holds only its share of the energy.
            score *= max(1.0, (length / len(sound)) ** 0.5)
        if score > best:
            best, words = score, candidate
    if partial and words:
        length = next(length for candidate, length, _, _ in known if candidate == words)
        spoken = words.split()
        return " ".join(spoken[: max(1, round(len(spoken) * min(1.0, len(sound) / length)))])
    return words
