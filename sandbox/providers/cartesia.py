"""Cartesia's speech over a WebSocket: one connection, many contexts, and audio that comes faster than real time."""

import asyncio
import base64
import contextlib
import json
import time
from functools import lru_cache
from typing import Any, Final

import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from sandbox.audio import RATE, Samples, alaw_encode, ulaw_encode
from sandbox.providers.state import Providers, forever, refused
from sandbox.speech import synthesize, word_times

_CHUNK_S: Final = 0.1
_DIES_AFTER: Final = 3
"""In the mode die_mid, the connection ends after this many chunks of an utterance."""


def router(providers: Providers) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.websocket("/tts/websocket")
    async def speak(socket: WebSocket) -> None:
        key = socket.headers.get("x-api-key") or socket.query_params.get("api_key")
        if key != providers.key:
            await refused(socket, 401)
        elif struck := providers.cartesia.strikes({"refuse", "500"}):
            await refused(socket, 403 if struck == "refuse" else 500)
        else:
            await socket.accept()
            await _Voice(providers, socket).serve()

    return routes


class _Voice:
    """One connection."""

    def __init__(self, providers: Providers, socket: WebSocket) -> None:
        self._providers, self._socket = providers, socket
        self._contexts: dict[str, asyncio.Queue[dict[str, Any] | None]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        try:
            while True:
                await self._request(json.loads(await self._socket.receive_text()))
        except (WebSocketDisconnect, RuntimeError):
            pass
        except ValueError:
            await self._socket.close(1007)
        finally:
            for task in self._tasks.values():
                task.cancel()

    async def _request(self, request: dict[str, Any]) -> None:
        context = str(request.get("context_id") or "")
        if request.get("cancel"):
            if task := self._tasks.pop(context, None):
                task.cancel()
            self._contexts.pop(context, None)
            for entry in self._providers.spoken:
                if entry["context_id"] == context:
                    entry["cancelled"] = True
            return
        if "transcript" not in request or "voice" not in request:
            await self._send(context, "error", error="transcript and voice are required", status_code=400, done=True)
            return
        if context not in self._contexts:
            self._contexts[context] = asyncio.Queue()
            self._tasks[context] = asyncio.create_task(self._speak(context, self._contexts[context]))
        self._contexts[context].put_nowait(request)
        if not request.get("continue"):
            self._contexts[context].put_nowait(None)

    async def _speak(self, context: str, queue: asyncio.Queue[dict[str, Any] | None]) -> None:
        offset, first = 0.0, True
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while (request := await queue.get()) is not None:
                text = str(request["transcript"])
                if not text.strip():
                    continue
                if first:
                    await self._providers.cartesia.delay()
                    first = False
                offset += await self._say(context, request, text, offset)
            await self._send(context, "done", done=True, status_code=200)
        self._contexts.pop(context, None)
        self._tasks.pop(context, None)

    async def _say(self, context: str, request: dict[str, Any], text: str, offset: float) -> float:
        """Speak one request's text, which begins `offset` seconds into its context; return its length in seconds."""
        voice, model = str(request["voice"].get("id", "")), str(request.get("model_id", ""))
        struck = await self._fault(context, voice, model)
        entry = {"at": time.time(), "text": text, "voice": voice, "model": model, "context_id": context}
        self._providers.spoken.append(entry | {"cancelled": False})
        if request.get("add_timestamps"):
            words = word_times(text)
            times = {
                "words": [word for word, _, _ in words],
                "start": [offset + start for _, start, _ in words],
                "end": [offset + end for _, _, end in words],
            }
            await self._send(context, "timestamps", word_timestamps=times, done=False, status_code=206)
        wanted: dict[str, Any] = request.get("output_format") or {}
        chunks = _chunks(text, voice, int(wanted.get("sample_rate") or RATE), str(wanted.get("encoding", "pcm_s16le")))
        for number, data in enumerate(chunks):
            if self._providers.cartesia.after == 0 and self._providers.cartesia.strikes(
                {"hang"}, voice, model, counts=False
            ):
                await forever()
            if struck == "die_mid" and number == _DIES_AFTER:
                break
            await self._send(context, "chunk", data=data, done=False, status_code=206, step_time=1.0)
            await asyncio.sleep(_CHUNK_S / 20)
        if struck == "die_mid":
            await self._socket.close(1011)
            await forever()
        return len(synthesize(text, voice)) / RATE

    async def _fault(self, context: str, voice: str, model: str) -> str:
        """Count an utterance, and apply the fault that concerns it; return the mode, or ""."""
        conduct = self._providers.cartesia
        modes = {"hang", "die_mid"}
        if conduct.only:
            modes |= {
                "refuse",
                "500",
            }  # a handshake names no voice, so a voice can be refused only when it has to speak
        struck = conduct.strikes(modes, voice, model)
        if struck in {"refuse", "500"}:
            status = 403 if struck == "refuse" else 500
            await self._send(context, "error", error=f"no voice {voice} with {model}", status_code=status, done=True)
        if struck in {"refuse", "500", "hang"}:
            await forever()
        return struck

    async def _send(self, context: str, kind: str, **content: Any) -> None:
        await self._socket.send_text(json.dumps({"type": kind, "context_id": context, **content}))


@lru_cache(maxsize=512)
def _chunks(text: str, voice: str, rate: int, encoding: str) -> tuple[str, ...]:
    """Return the sound of a text as it goes over the wire, in pieces of a tenth of a second."""
    sound, step = synthesize(text, voice), int(_CHUNK_S * RATE)
    pieces = (_encoded(sound[start : start + step], rate, encoding) for start in range(0, len(sound), step))
    return tuple(base64.b64encode(piece).decode() for piece in pieces)


def _encoded(samples: Samples, rate: int, encoding: str) -> bytes:
    if rate != RATE:
        at = np.arange(int(len(samples) * rate / RATE)) * RATE / rate
        samples = np.interp(at, np.arange(len(samples)), samples).astype(np.int16)
    match encoding:
        case "pcm_mulaw":
            return ulaw_encode(samples)
        case "pcm_alaw":
            return alaw_encode(samples)
        case "pcm_f32le":
            return (samples / 32768).astype("<f4").tobytes()
        case _:
            return samples.astype("<i2").tobytes()
