"""A mailbox has picked up: wait until it records, leave the campaign's message, and hang up."""

import asyncio
import time
from typing import Final

from bot import silence
from bot.conversation import Conversation
from bot.floor import Floor
from bot.speaker import Speaker
from campaigns.call import Disposition

QUIET_S: Final = 1.8
"""A mailbox that has been quiet for this long records: the pauses within a greeting are shorter."""

GREETING_S: Final = 45.0
"""The longest greeting that we wait for. They last 10 s, rarely 30 s."""

TALKED_OVER_S: Final = 0.8
"""This much voice over our message means that the greeting was not over."""

_ATTEMPTS: Final = 3
_TONE: Final = "its tone"
_TONE_BY_THE_CARRIER: Final = "its tone, by the carrier's ear"
_TICK_S: Final = 0.05


class Mailbox:
    """The mailbox that one call may reach."""

    def __init__(self, conversation: Conversation, floor: Floor, speaker: Speaker) -> None:
        self._conversation, self._impression = conversation, conversation.impression
        self._floor, self._speaker = floor, speaker

    async def leave_message(self) -> None:
        """Leave the message, and end the call. If the mailbox goes on speaking, begin the message again."""
        conversation = self._conversation
        await self._speaker.fall_silent()
        message = conversation.script.voicemail if conversation.script else ""
        if not message:
            conversation.conclude(Disposition.VOICEMAIL, "a mailbox answered; the campaign leaves no message", "")
            return
        seen = set[str]()
        for _ in range(_ATTEMPTS):
            if not (sign := await self._recording(seen)):
                break
            seen.add(sign)
            if await self._speak(message, sure=sign == _TONE):
                conversation.message_left = True
                conversation.conclude(
                    Disposition.VOICEMAIL, f"a mailbox answered; the message was left after {sign}", ""
                )
                return
        conversation.conclude(Disposition.VOICEMAIL, "a mailbox answered, and never let us leave a message", "")

    async def _recording(self, seen: set[str]) -> str:
        """Wait until the mailbox records; returns the sign of it, or "" if none came. The carrier is believed only once."""
        until = time.monotonic() + GREETING_S
        while (now := time.monotonic()) < until:
            if self._impression.beeped:
                return _TONE
            if self._impression.detected == "machine_ready" and _TONE_BY_THE_CARRIER not in seen:
                return _TONE_BY_THE_CARRIER
            if silence.contact_quiet_s(self._floor, now) > QUIET_S and not self._floor.bot_speaking:
                return "its silence"
            await asyncio.sleep(_TICK_S)
        return ""

    async def _speak(self, message: str, *, sure: bool) -> bool:
        """Speak the message; False if the mailbox goes on speaking meanwhile. `sure`: it records, whatever we hear."""
        await self._speaker.say(message)
        talked_over_since = 0.0
        until = time.monotonic() + 10 + len(message) / 8
        while time.monotonic() < until:
            await asyncio.sleep(_TICK_S)
            if self._floor.contact_speaking and not sure:
                talked_over_since = talked_over_since or time.monotonic()
                if time.monotonic() - talked_over_since > TALKED_OVER_S:
                    await self._speaker.fall_silent()
                    return False
            else:
                talked_over_since = 0.0
            if silence.all_is_said(self._floor):
                return True
        return True
