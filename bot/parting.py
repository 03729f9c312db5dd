"""How a call ends: the last word is heard, an opt-out is listed before it is confirmed, a hand-over goes on without us."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from bot import silence
from bot.clips import apology
from bot.conversation import Conversation
from bot.dialer_client import DialerClient
from bot.floor import Floor
from bot.speaker import Speaker
from bot.telnyx import CallControl
from campaigns.call import Disposition

OPT_OUT_S: Final = 2.0
"""How long the do-not-call list may take before we confirm anyway: the wish is sent again until it is listed."""

UNBRIEFED_OPT_OUT_S: Final = 3.0
"""The same without a brief: the dialer first asks the carrier who is calling. After it we say that it was not noted."""

_LAST_WORDS_S: Final = 1.5
"""How much longer the voice may take to begin a goodbye: without one, we would hang up on the contact in silence."""

_OPTED_OUT_S: Final = 7.0
"""How long the confirmation may take at most, heard or not. The call must be over within ten seconds of the wish
(Washington, HB 1497 of 2022), and two or three of them went by until it was understood."""

_TICK_S: Final = 0.1


class Parting:
    """What tools, keys and the watchdog do to the call itself. Every call that the bot ends is ended here."""

    def __init__(
        self,
        conversation: Conversation,
        floor: Floor,
        speaker: Speaker,
        *,
        control: CallControl,
        dialer: DialerClient,
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self._conversation, self._floor, self._speaker = conversation, floor, speaker
        self._control, self._dialer = control, dialer
        self._end = end  # closes the pipeline
        self._apologizes = False  # the last words are the recorded apology
        self._over_by = float("inf")  # on the monotonic clock

    async def opt_out(self, reason: str) -> None:
        """Put the number on the do-not-call list, then confirm it aloud, and end the call."""
        conversation, asked_at, noted = self._conversation, time.monotonic(), False
        if self._dialer.takes_opt_outs:
            listed, is_briefed = self._dialer.opt_out(reason), conversation.brief is not None
            await asyncio.wait({listed}, timeout=OPT_OUT_S if is_briefed else UNBRIEFED_OPT_OUT_S)
            # The dialer that sent the brief knows the number, and will take the wish when it is back. Without a brief,
            # only its answer tells whether it could find the number.
            noted = listed.result() if listed.done() else is_briefed
        words = None if noted else conversation.phrases.not_noted  # we promise only what somebody was told
        if noted:
            self._over_by = min(self._over_by, asked_at + _OPTED_OUT_S)
        conversation.conclude(Disposition.DO_NOT_CALL, reason or "asked not to be called again", words)

    async def hand_over(self, name: str, number: str) -> bool:
        """Connect the contact with somebody else; the call goes on without us. False if the carrier refuses."""
        conversation = self._conversation
        words = conversation.phrases.handing_over
        await self._speaker.say(words)
        await self._speaker.until_heard(words)
        conversation.handed_over = name  # from now on, the end of the stream does not mean that the contact hung up
        if not await self._control.hand_over(number):
            conversation.handed_over = ""
        return bool(conversation.handed_over)

    async def send_digits(self, digits: str) -> bool:
        """Press keys; True if the carrier has taken them."""
        return await self._control.send_digits(digits)

    def fail(self, why: str, *, apologize: bool) -> None:
        """End the call as our failure, so that nobody listens to silence, and the contact is rung again."""
        self._apologizes = apologize
        self._conversation.problem(why)
        self._conversation.conclude(Disposition.FAILED, why, "")

    async def say_goodbye(self, words: str) -> None:
        """Speak the last words, wait until the carrier says that they were heard, and hang up."""
        conversation = self._conversation
        if self._apologizes:
            await self._apologize()
        elif not conversation.handed_over:
            await self._speak_to_the_end(words)
        if not conversation.handed_over:
            conversation.hung_up = await self._control.hang_up()
        await self._end()

    async def _speak_to_the_end(self, words: str) -> None:
        if words:
            await self._speaker.fall_silent()  # nothing else is to be said
            await self._speaker.say(words)
        heard = asyncio.create_task(self._speaker.until_heard(words))
        while not heard.done() and time.monotonic() < self._over_by:
            if silence.voice_is_late(self._floor, time.monotonic(), silence.VOICE_WITHIN_S + _LAST_WORDS_S):
                break
            await asyncio.wait({heard}, timeout=_TICK_S)
        heard.cancel()

    async def _apologize(self) -> None:
        await self._speaker.fall_silent()
        self._conversation.said(self._conversation.phrases.apology)
        await self._speaker.play(apology(self._conversation.language))
