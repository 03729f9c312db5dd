"""Telnyx as the bot knows it: the frames of its stream, and the one place that hangs up."""

import asyncio
import json
import time
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from loguru import logger
from pipecat.frames.frames import AudioRawFrame, Frame, InputTransportMessageFrame
from pipecat.serializers.telnyx import TelnyxFrameSerializer

from bot.settings import BotSettings
from bot.stream import Start

_ENDED_ALREADY: Final = "90018"
_HANG_UP_TRIES: Final = 3
_LONGEST_PAYLOAD: Final = 16_000
"""Base64 of 1.5 s of sound. Telnyx sends 20 ms at a time; what is longer would hold up the conversation to be heard."""


class TelnyxStream(TelnyxFrameSerializer):
    """Pipecat's serializer, and what it leaves out: marks come back, our own track and broken audio are skipped.

    Its own hang-up is off: it cannot be pointed elsewhere, tries once, and cuts what has not been played yet.
    """

    def __init__(self, start: Start) -> None:
        super().__init__(
            stream_id=start.stream_id,
            outbound_encoding=start.encoding,  # Telnyx's point of view: what comes out of the call
            inbound_encoding="PCMU",
            params=TelnyxFrameSerializer.InputParams(auto_hang_up=False),
        )
        self.started_at = time.monotonic()
        self.first_audio_at: float | None = None
        self.last_audio_at: float | None = None

    async def serialize(self, frame: Frame) -> str | bytes | None:
        """Note when sound leaves; the rest is Pipecat's."""
        if isinstance(frame, AudioRawFrame) and frame.audio.count(0) < len(frame.audio):
            self.last_audio_at = time.monotonic()
            self.first_audio_at = self.first_audio_at or self.last_audio_at
        return await super().serialize(frame)

    async def deserialize(self, data: str | bytes) -> Frame | None:
        """Read one message. None of them may end the call by being malformed."""
        try:
            message: Any = json.loads(data)
            if not isinstance(message, dict):
                return None
            match message.get("event"):
                case "mark" | "error":
                    return InputTransportMessageFrame(message=message)
                case "media" if message["media"].get("track", "inbound") not in {"inbound", "inbound_track"}:
                    return None
                case "media" if len(message["media"].get("payload", "")) > _LONGEST_PAYLOAD:
                    raise ValueError("more sound at once than a line carries")
            return await super().deserialize(data)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            logger.warning("skipped a malformed message: {}", type(error).__name__)
            return None


async def hang_up(call_sid: str, settings: BotSettings) -> bool:
    """End the call; True if it is over. Without a key, closing the stream ends it."""
    key = settings.telnyx_api_key.get_secret_value()
    if not key:
        return False
    url = f"{settings.telnyx_base_url.rstrip('/')}/calls/{quote(call_sid, safe=':')}/actions/hangup"
    timeout = aiohttp.ClientTimeout(total=3)
    async with aiohttp.ClientSession(timeout=timeout, headers={"Authorization": f"Bearer {key}"}) as session:
        for attempt in range(_HANG_UP_TRIES):
            try:
                async with session.post(url, json={}) as answer:
                    if answer.status == 200 or _ENDED_ALREADY in await answer.text():  # noqa: PLR2004
                        return True
                    logger.warning("hang-up was answered {}", answer.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                logger.warning("hang-up failed: {}", type(error).__name__)
            await asyncio.sleep(0.3 * 2**attempt)
    return False
