"""How the bot leaves a call: the last word is heard, an opt-out is a fact before it is confirmed, a hand-over survives us."""

import asyncio
import time
from typing import TYPE_CHECKING, Final

from pipecat.frames.frames import EndFrame

from bot import dialer
from bot.clips import apology
from bot.telnyx import Line
from campaigns.call import Disposition

if TYPE_CHECKING:
    from bot.talk import Talk

OPT_OUT_S: Final = 2.0
"""How long the do-not-call list may take before we confirm anyway: the wish is sent again until it is there."""

UNBRIEFED_OPT_OUT_S: Final = 3.0
"""How long it may take, and the carrier's word on who is calling, before we say that it could not be noted now."""

_LAST_WORDS_S: Final = 1.5
"""How much longer the voice may take to begin a goodbye: without one, they are hung up on in silence."""

_OPTED_OUT_S: Final = 7.0
"""How long the confirmation may take at most, heard or not: the call must be over within ten seconds of the wish
(Washington, HB 1497 of 2022), and of these two or three were spent on understanding it."""

_TICK_S: Final = 0.1


class Parting:
    """What is done to the call itself, by tools, keys and the watch; it ends here and nowhere else."""

    def __init__(self, talk: "Talk", line: Line) -> None:
        self._talk, self._line = talk, line
        self._opted_out: asyncio.Task[bool] | None = None
        self._clip = False  # the last words are the recorded apology
        self._over_by = float("inf")  # by the monotonic clock

    async def opt_out(self, reason: str) -> None:
        """Put their number onto the do-not-call list: a fact first, then confirmed aloud, and the end."""
        conversation, settings = self._talk.conversation, self._talk.settings
        brief, noted, asked_at = conversation.brief, False, time.monotonic()
        if dialer.report_url(brief, settings):
            # A task that outlives the call: it goes on until the number is on the list.
            self._opted_out = self._opted_out or asyncio.create_task(
                dialer.opt_out(brief, conversation.call_sid, reason, settings)
            )
            await asyncio.wait({self._opted_out}, timeout=OPT_OUT_S if brief else UNBRIEFED_OPT_OUT_S)
            # Who has briefed us will be back; whether who has not can list them, only its answer tells.
            noted = self._opted_out.result() if self._opted_out.done() else brief is not None
        words = None if noted else conversation.phrases.not_noted  # nothing is promised that nobody was told
        if noted:
            self._over_by = min(self._over_by, asked_at + _OPTED_OUT_S)
        conversation.conclude(Disposition.DO_NOT_CALL, reason or "asked not to be called again", words)

    async def hand_over(self, name: str, number: str) -> bool:
        """Connect them with somebody else; the call goes on without us."""
        talk, conversation = self._talk, self._talk.conversation
        words = conversation.phrases.handing_over
        await talk.say(words)
        await talk.until_heard(words)
        conversation.handed_over = name  # from now on the stream's end is not the contact's
        if not await self._line.hand_over(number):
            conversation.handed_over = ""
        return bool(conversation.handed_over)

    async def send_digits(self, digits: str) -> bool:
        """Press keys."""
        return await self._line.send_digits(digits)

    def fail(self, why: str) -> None:
        """End the call honestly: nobody is to listen to nothing, and the contact is rung again."""
        self._clip = not self._talk.answering.machine
        self._talk.conversation.problem(why)
        self._talk.conversation.conclude(Disposition.FAILED, why, "")

    async def say_goodbye(self, words: str) -> None:
        """Speak the last words, wait until the carrier says that they were heard, and hang up."""
        talk, conversation = self._talk, self._talk.conversation
        if self._clip:
            await self._apologize()
        elif not conversation.handed_over:
            if words:
                await talk.fall_silent()  # nothing else is to be said any more
                await talk.say(words)
            heard = asyncio.create_task(talk.until_heard(words))
            while not heard.done() and time.monotonic() < self._over_by:
                if talk.floor.voice_is_late(time.monotonic() - _LAST_WORDS_S):
                    break
                await asyncio.wait({heard}, timeout=_TICK_S)
            heard.cancel()
        if not conversation.handed_over:
            conversation.hung_up = await self._line.hang_up()
        await talk.session.queue_frame(EndFrame())

    async def _apologize(self) -> None:
        talk, conversation = self._talk, self._talk.conversation
        await talk.fall_silent()
        conversation.said(conversation.phrases.apology)
        await talk.play(apology(conversation.brief.voice.language if conversation.brief else "en"))

    async def settled(self) -> None:
        """Wait for what must not be lost with the call."""
        if self._opted_out:
            await self._opted_out
