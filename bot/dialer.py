"""The dialer as the bot knows it: where the script is fetched from, and where the report goes."""

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
_UNBRIEFED_GIVE_UP_S: Final = 600.0  # a restart, a deployment; and Pipecat Cloud ends a session after 900 s
_LONGEST_PAUSE_S: Final = 10.0
_JOINED_PAUSE_S: Final = 2.0  # well below what the dialer waits after it asked the carrier, and before it hangs up


class NoScript(RuntimeError):
    """The script could not be fetched: go on with the house's instructions."""


async def fetch_script(brief: Brief, secret: str) -> Script:
    """Fetch the long part of a brief; raises NoScript after a few tries."""
    why = "no brief_url"
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for attempt in range(_FETCHES if brief.brief_url else 0):
            now = time.time()
            signature = sign_message(brief.attempt_id.encode(), secret, purpose="script", now=now)
            try:
                async with session.get(brief.brief_url, headers={SIGNATURE_HEADER: signature}) as answer:
                    body = await answer.read()
                    if answer.status == 200:  # noqa: PLR2004
                        given = answer.headers.get(SIGNATURE_HEADER, "")
                        verify_message(body, given, secret, purpose="script", now=now)
                        return Script.model_validate_json(body)
                    why = f"HTTP {answer.status}"
            except (aiohttp.ClientError, TimeoutError, MessageRefused, ValidationError) as error:
                why = type(error).__name__
            await asyncio.sleep(0.3 * 2**attempt)
    raise NoScript(f"the script could not be fetched: {why}")


async def say_joined(brief: Brief, call_sid: str, secret: str) -> bool:
    """Tell the dialer that somebody is on the call, or it would hang up for the contact's sake."""
    joined = Joined(attempt_id=brief.attempt_id, call_sid=call_sid)
    return await _deliver(joined, brief.report_url + JOINED_PATH, secret, "joined", longest_pause_s=_JOINED_PAUSE_S)


def report_url(brief: Brief | None, settings: BotSettings) -> str:
    """Return where a call is reported on; "" if nobody says."""
    if brief:
        return brief.report_url
    return settings.public_url.rstrip("/") + REPORTS_PATH if settings.public_url else ""


async def opt_out(brief: Brief | None, call_sid: str, reason: str, settings: BotSettings) -> bool:
    """Have the number put onto the do-not-call list; True once it is there.

    Without a brief the dialer was away when the call began, and finds the number by the call: it is told for longer.
    """
    wish = OptOut(attempt_id=brief.attempt_id if brief else "", call_sid=call_sid, reason=reason[:500])
    url, secret = report_url(brief, settings) + OPT_OUT_PATH, settings.brief_secret.get_secret_value()
    pause_s, give_up_s = (_JOINED_PAUSE_S, _GIVE_UP_S) if brief else (_LONGEST_PAUSE_S, _UNBRIEFED_GIVE_UP_S)
    return await _deliver(wish, url, secret, "opt-out", longest_pause_s=pause_s, give_up_s=give_up_s)


async def ask_detection(brief: Brief, known: str, secret: str) -> str:
    """Wait for what the carrier's detection has heard beyond `known`; "" if it is nothing, or cannot be learnt now."""
    body = DetectionQuery(attempt_id=brief.attempt_id, known=known).model_dump_json().encode()
    now = time.time()
    headers = {
        SIGNATURE_HEADER: sign_message(body, secret, purpose="detection", now=now),
        "content-type": "application/json",
    }
    try:
        async with (
            aiohttp.ClientSession(timeout=_LONG_POLL) as session,
            session.post(brief.report_url + DETECTION_PATH, data=body, headers=headers) as answer,
        ):
            text = await answer.read()
            if answer.status != 200:  # noqa: PLR2004
                return ""
            given = answer.headers.get(SIGNATURE_HEADER, "")
            verify_message(text, given, secret, purpose="detection", now=time.time())
            return DetectionAnswer.model_validate_json(text).answered_by
    except (aiohttp.ClientError, TimeoutError, MessageRefused, ValidationError):
        return ""


async def send_report(report: Report, url: str, secret: str) -> bool:
    """Deliver a report, the same one until it is acknowledged; False if nobody took it within a minute."""
    return await _deliver(report, url, secret, "report", longest_pause_s=_LONGEST_PAUSE_S)


async def _deliver(
    word: Joined | OptOut | Report,
    url: str,
    secret: str,
    purpose: str,
    *,
    longest_pause_s: float,
    give_up_s: float = _GIVE_UP_S,
) -> bool:
    about = word.attempt_id or word.call_sid
    body = word.model_dump_json().encode()
    deadline = time.monotonic() + give_up_s
    pause = 0.5
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        while True:
            signature = sign_message(body, secret, purpose=purpose, now=time.time())
            headers = {SIGNATURE_HEADER: signature, "content-type": "application/json"}
            try:
                async with session.post(url, data=body, headers=headers) as answer:
                    if answer.status < 300:  # noqa: PLR2004
                        return True
                    if answer.status in {403, 404, 413, 422}:
                        logger.error("{} of {} was refused: HTTP {}", purpose, about, answer.status)
                        return False
            except (aiohttp.ClientError, TimeoutError) as error:
                logger.warning("{} of {} was not taken: {}", purpose, about, type(error).__name__)
            if time.monotonic() + pause > deadline:
                logger.error("{} of {} was never taken", purpose, about)
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest_pause_s)
