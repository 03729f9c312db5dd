"""HTTP client of the dialer's callbacks server: where a call's script comes from, and where its report goes."""

import asyncio
import time
from typing import Final

import aiohttp
from loguru import logger
from pydantic import ValidationError

from bot.settings import BotSettings
from campaigns.call import (
    DETECTION_PATH,
    JOINED_PATH,
    OPT_OUT_PATH,
    REPORTS_PATH,
    SIGNATURE_HEADER,
    Brief,
    DetectionAnswer,
    DetectionQuery,
    Joined,
    MessageRefused,
    OptOut,
    Report,
    Script,
    sign_message,
    verify_message,
)

_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_LONG_POLL: Final = aiohttp.ClientTimeout(total=15)
_FETCHES: Final = 3
_GIVE_UP_S: Final = 60.0
_UNBRIEFED_GIVE_UP_S: Final = 600.0
"""Long enough for the dialer to restart or to be deployed, and below the 900 s after which Pipecat Cloud ends a session."""

_LONGEST_PAUSE_S: Final = 10.0
_URGENT_PAUSE_S: Final = 2.0
"""Longest pause between two attempts of a message that is urgent: the dialer hangs up if the bot does not say it joined."""

_REFUSED: Final = frozenset({403, 404, 413, 422})
"""HTTP statuses that another attempt would get again."""


class NoScript(RuntimeError):
    """The script could not be fetched: the call goes on with the house's instructions."""


class DialerClient:
    """What one call asks of the dialer and tells it. Without a brief there is nothing to tell but an opt-out."""

    def __init__(self, brief: Brief | None, call_sid: str, settings: BotSettings) -> None:
        self._brief, self._call_sid = brief, call_sid
        self._secret = settings.brief_secret.get_secret_value()
        without_brief = settings.public_url.rstrip("/") + REPORTS_PATH if settings.public_url else ""
        self._url = brief.report_url if brief else without_brief  # "" if no address is known
        self._opting_out: asyncio.Task[bool] | None = None

    @property
    def takes_reports(self) -> bool:
        """True if the dialer wants to know that the call has begun, and what came of it."""
        return bool(self._brief and self._brief.report_url)

    @property
    def takes_opt_outs(self) -> bool:
        """True if there is an address to tell an opt-out to."""
        return bool(self._url)

    async def fetch_script(self) -> Script:
        """Fetch the long part of the brief. Raises NoScript after three attempts."""
        brief, why = self._brief, ""
        if not (brief and brief.brief_url):
            raise NoScript("the script could not be fetched: no brief_url")
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            for attempt in range(_FETCHES):
                now = time.time()
                signature = sign_message(brief.attempt_id.encode(), self._secret, purpose="script", now=now)
                try:
                    async with session.get(brief.brief_url, headers={SIGNATURE_HEADER: signature}) as answer:
                        body = await answer.read()
                        if answer.status == 200:  # noqa: PLR2004
                            given = answer.headers.get(SIGNATURE_HEADER, "")
                            verify_message(body, given, self._secret, purpose="script", now=now)
                            return Script.model_validate_json(body)
                        why = f"HTTP {answer.status}"
                except (aiohttp.ClientError, TimeoutError, MessageRefused, ValidationError) as error:
                    why = type(error).__name__
                await asyncio.sleep(0.3 * 2**attempt)
        raise NoScript(f"the script could not be fetched: {why}")

    async def say_joined(self) -> bool:
        """Tell the dialer that the bot is on the call. If it is not told, it hangs up: the contact would hear nothing."""
        assert self._brief
        joined = Joined(attempt_id=self._brief.attempt_id, call_sid=self._call_sid)
        return await self._deliver(joined, JOINED_PATH, "joined", longest_pause_s=_URGENT_PAUSE_S)

    def opt_out(self, reason: str) -> asyncio.Task[bool]:
        """Have the number put on the do-not-call list. The task ends with True once it is there.

        The task outlives the call (see `settled`), and asking again returns the same one. Without a brief, the dialer
        must have been away when the call began, and has to find the number by the call: it is tried for longer then.
        """
        if self._opting_out is None:
            attempt_id = self._brief.attempt_id if self._brief else ""
            wish = OptOut(attempt_id=attempt_id, call_sid=self._call_sid, reason=reason[:500])
            pause_s, give_up_s = (
                (_URGENT_PAUSE_S, _GIVE_UP_S) if self._brief else (_LONGEST_PAUSE_S, _UNBRIEFED_GIVE_UP_S)
            )
            self._opting_out = asyncio.create_task(
                self._deliver(wish, OPT_OUT_PATH, "opt-out", longest_pause_s=pause_s, give_up_s=give_up_s)
            )
        return self._opting_out

    async def settled(self) -> None:
        """Wait until an opt-out has been delivered or given up: it must not be lost with the call."""
        if self._opting_out:
            await self._opting_out

    async def ask_detection(self, known: str) -> str:
        """Wait up to 15 s for the carrier's detection to tell more than `known`; "" if it tells nothing, or cannot be asked."""
        assert self._brief
        body = DetectionQuery(attempt_id=self._brief.attempt_id, known=known).model_dump_json().encode()
        try:
            async with (
                aiohttp.ClientSession(timeout=_LONG_POLL) as session,
                session.post(self._url + DETECTION_PATH, data=body, headers=self._headers(body, "detection")) as answer,
            ):
                text = await answer.read()
                if answer.status != 200:  # noqa: PLR2004
                    return ""
                given = answer.headers.get(SIGNATURE_HEADER, "")
                verify_message(text, given, self._secret, purpose="detection", now=time.time())
                return DetectionAnswer.model_validate_json(text).answered_by
        except (aiohttp.ClientError, TimeoutError, MessageRefused, ValidationError):
            return ""

    async def send_report(self, report: Report) -> bool:
        """Send the report again and again until it is acknowledged; False if it was refused, or not taken within a minute."""
        return await self._deliver(report, "", "report", longest_pause_s=_LONGEST_PAUSE_S)

    def _headers(self, body: bytes, purpose: str) -> dict[str, str]:
        signature = sign_message(body, self._secret, purpose=purpose, now=time.time())
        return {SIGNATURE_HEADER: signature, "content-type": "application/json"}

    async def _deliver(
        self,
        message: Joined | OptOut | Report,
        path: str,
        purpose: str,
        *,
        longest_pause_s: float,
        give_up_s: float = _GIVE_UP_S,
    ) -> bool:
        about = message.attempt_id or message.call_sid
        body = message.model_dump_json().encode()
        deadline = time.monotonic() + give_up_s
        pause_s = 0.5
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            while True:
                try:
                    async with session.post(
                        self._url + path, data=body, headers=self._headers(body, purpose)
                    ) as answer:
                        if answer.status < 300:  # noqa: PLR2004
                            return True
                        if answer.status in _REFUSED:
                            logger.error("the {} of {} was refused: HTTP {}", purpose, about, answer.status)
                            return False
                except (aiohttp.ClientError, TimeoutError) as error:
                    logger.warning("the {} of {} was not taken: {}", purpose, about, type(error).__name__)
                if time.monotonic() + pause_s > deadline:
                    logger.error("the {} of {} was given up after {:.0f} s", purpose, about, give_up_s)
                    return False
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, longest_pause_s)
