"""The bot's side of Telnyx: the messages of its stream, and the API that hangs up, presses keys and hands over."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape

import aiohttp
from loguru import logger
from pipecat.frames.frames import AudioRawFrame, Frame, InputAudioRawFrame, InputTransportMessageFrame
from pipecat.serializers.telnyx import TelnyxFrameSerializer

from bot.settings import BotSettings
from bot.stream import Start

_ENDED_ALREADY: Final = "90018"
"""Telnyx's error code for a call that is over."""

_HANG_UP_TRIES: Final = 3
_OK: Final = 200
_TIMEOUT: Final = aiohttp.ClientTimeout(total=3)
_PIECE: Final = 2 * 320
"""Bytes of 40 ms of 16-bit sound at 8 kHz."""

_LONGEST_PAYLOAD: Final = 16_000
"""Base64 characters of 1.5 s of sound. Telnyx sends 20 ms at a time; a longer message would hold up the conversation."""


class TelnyxStream(TelnyxFrameSerializer):
    """Pipecat's serializer, and what it leaves out: it passes marks on, and skips our own track and broken audio.

    Pipecat's hang-up is off: its address cannot be set, it tries only once, and it cuts sound that is not played yet.
    """

    def __init__(self, start: Start) -> None:
        super().__init__(
            stream_id=start.stream_id,
            outbound_encoding=start.encoding,  # "outbound" as Telnyx means it: from the call to us
            inbound_encoding="PCMU",
            params=TelnyxFrameSerializer.InputParams(auto_hang_up=False),
        )
        self._early = b""  # sound that is shorter than a piece
        self.on_sound: Callable[[float], None] = lambda _at: None

    async def serialize(self, frame: Frame) -> str | bytes | None:
        """Tell when sound that is not silence leaves; Pipecat does the rest."""
        if isinstance(frame, AudioRawFrame) and frame.audio.count(0) < len(frame.audio):
            self.on_sound(time.monotonic())
        return await super().serialize(frame)

    async def deserialize(self, data: str | bytes) -> Frame | None:
        """Read one message. A malformed one is skipped, and never ends the call."""
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
                    raise ValueError("more sound in one message than Telnyx sends")  # noqa: TRY301 - malformed, like the others
            frame = await super().deserialize(data)
            return self._gathered(frame) if isinstance(frame, InputAudioRawFrame) else frame
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            logger.warning("skipped a malformed message: {}", type(error).__name__)
            return None

    def _gathered(self, frame: InputAudioRawFrame) -> InputAudioRawFrame | None:
        """Gather sound into pieces of 40 ms. Each piece costs the same CPU, so Telnyx's 20 ms would cost twice as much."""
        self._early += frame.audio
        if len(self._early) < _PIECE:
            return None
        frame.audio, self._early = self._early, b""
        frame.num_frames = len(frame.audio) // 2
        return frame


class CallControl:
    """What the bot can do to one call through Telnyx's API. Without an API key it can do nothing."""

    def __init__(self, call_sid: str, settings: BotSettings) -> None:
        self._sid = call_sid
        self._base = settings.telnyx_base_url.rstrip("/")
        self._key = settings.telnyx_api_key.get_secret_value()

    async def hang_up(self) -> bool:
        """End the call; True if it is over. Without a key, Telnyx ends it when the stream closes."""
        for attempt in range(_HANG_UP_TRIES):
            status, text = await self._post(self._action("hangup"), {})
            if status == _OK or _ENDED_ALREADY in text:
                return True
            if not self._key:
                return False
            logger.warning("Telnyx did not hang up: HTTP {}", status or "none")
            await asyncio.sleep(0.3 * 2**attempt)
        return False

    async def send_digits(self, digits: str) -> bool:
        """Press keys; True if Telnyx has taken them. `w` waits half a second."""
        status, _ = await self._post(self._action("send_dtmf"), {"digits": digits})
        return status == _OK

    async def hand_over(self, number: str) -> bool:
        """Connect the contact with somebody else; True once Telnyx has taken the request. The call goes on without us.

        This sends a new TeXML document. The transfer action would keep the old one, and what follows `<Connect>` in it
        would hang up on the contact as soon as our stream is closed (pipecat-ai/docs#986).
        """
        status, text = await self._get(f"{self._base}/whoami")
        if status != _OK:
            return False
        account = _organization(text)
        document = f"<Response><Dial><Number>{escape(number)}</Number></Dial><Hangup/></Response>"
        url = f"{self._base}/texml/Accounts/{quote(account, safe='')}/Calls/{quote(self._sid, safe=':')}"
        for form in (True, False):  # Telnyx's reference says form data, its SDK sends JSON
            status, text = await self._post(url, {"Texml": document}, form=form)
            if status == _OK:
                return True
            logger.warning("Telnyx did not hand over: HTTP {}", status or "none")
        return False

    def _action(self, name: str) -> str:
        return f"{self._base}/calls/{quote(self._sid, safe=':')}/actions/{name}"

    async def _get(self, url: str) -> tuple[int, str]:
        return await self._request("GET", url)

    async def _post(self, url: str, body: dict[str, str], *, form: bool = False) -> tuple[int, str]:
        return await self._request("POST", url, **{"data" if form else "json": body})

    async def _request(self, method: str, url: str, **body: Any) -> tuple[int, str]:
        """Return the status and the text of the answer; status 0 if there was no answer, or no key to ask with."""
        if not self._key:
            return 0, ""
        headers = {"Authorization": f"Bearer {self._key}"}
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, headers=headers) as session,
                session.request(method, url, **body) as answer,
            ):
                return answer.status, await answer.text()
        except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
            logger.warning("Telnyx did not answer: {}", type(error).__name__)
            return 0, ""


def _organization(text: str) -> str:
    try:
        told = json.loads(text)
    except ValueError:
        return ""
    data = told.get("data", told) if isinstance(told, dict) else {}
    return str(data.get("organization_id", "")) if isinstance(data, dict) else ""
