"""Watches a talk so that nobody listens to silence: time limit, dead air, and providers that are late or fail."""

import asyncio
import time
from typing import Final

from loguru import logger
from pipecat.frames.frames import ErrorFrame
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.openai.llm import OpenAILLMService

from bot import silence
from bot.callee import Callee
from bot.conversation import Conversation
from bot.floor import Floor
from bot.parting import Parting
from bot.services import Ears
from bot.settings import BotSettings
from bot.speaker import Speaker
from campaigns.call import Disposition, Listening

_TICK_S: Final = 0.1


class Watchdog:
    """Looks ten times a second at who keeps whom waiting. A late provider is asked twice, a silent contact once."""

    def __init__(
        self,
        conversation: Conversation,
        floor: Floor,
        speaker: Speaker,
        *,
        callee: Callee,
        parting: Parting,
        settings: BotSettings,
    ) -> None:
        self._conversation, self._floor, self._speaker = conversation, floor, speaker
        self._callee, self._parting, self._settings = callee, parting, settings
        self._patience_s = (conversation.brief.listening if conversation.brief else Listening()).patience_s
        self._asked_to_repeat = self._asked_if_there = False
        self._voice_failed_before = self._model_failed_before = False

    async def keep(self) -> None:
        """Watch until the call is concluded."""
        while not self._conversation.concluded:
            await asyncio.sleep(_TICK_S)
            if not self._conversation.concluded:
                await self._look()

    async def _look(self) -> None:
        conversation, floor, now = self._conversation, self._floor, time.monotonic()
        if conversation.seconds > conversation.time_limit_s(self._settings):
            words = conversation.phrases.out_of_time
            conversation.conclude(Disposition.COMPLETED, "the call reached its time limit", words)
        elif silence.voice_is_late(floor, now):
            await self._voice_failed("no sound came from it")
        elif self._callee.is_machine:
            return
        elif silence.model_is_late(floor, now):
            await self._model_failed("no answer came from it")
        elif silence.voice_broke_off(floor, now):
            await self._voice_failed("it broke off")
        elif silence.words_are_missing(floor, now):
            await self._not_understood()
        elif self._callee.screen is not None:
            if self._callee.screen.is_overdue:
                why = "a call screen kept us waiting, and nobody came"
                conversation.conclude(Disposition.REJECTED, why, "")
        elif silence.contact_is_silent(floor, now, self._patience_s):
            await self._contact_is_silent()
        elif silence.is_dead_air(floor, now):
            self._fail("dead air: a provider did not answer")

    def _fail(self, why: str) -> None:
        self._parting.fail(why, apologize=not self._callee.is_machine)

    # --- the contact is silent, or not understood ---------------------------------------------------------------------

    def contact_understood(self) -> None:
        """Note that the contact's words have come: if they are silent or not understood again, we ask again."""
        self._asked_to_repeat = self._asked_if_there = False

    async def _contact_is_silent(self) -> None:
        conversation = self._conversation
        if not self._asked_if_there:
            self._asked_if_there = True
            await self._speaker.say(conversation.phrases.still_there)
        elif conversation.contact_has_spoken:
            words = conversation.phrases.fell_silent
            conversation.conclude(Disposition.COMPLETED, "the contact fell silent", words)
        else:
            words = conversation.phrases.nobody_there
            conversation.conclude(Disposition.NO_ANSWER, "answered, but nobody spoke", words)

    async def _not_understood(self) -> None:
        """Ask the contact to repeat what we have not understood, unless the bot is about to speak anyway."""
        self._floor.expect_no_words()
        if silence.bot_is_busy(self._floor):
            return
        if self._asked_to_repeat:
            self._fail("nothing of what was said could be understood")
            return
        self._asked_to_repeat = True
        await self._speaker.say(self._conversation.phrases.not_heard)

    # --- a provider fails ---------------------------------------------------------------------------------------------

    async def on_error(self, frame: ErrorFrame) -> None:
        """Act on an error that a processor reports."""
        conversation, floor, processor = self._conversation, self._floor, frame.processor
        conversation.problem(f"{type(processor).__name__}: {frame.error}")
        if conversation.concluded:
            return
        if isinstance(processor, CartesiaTTSService):
            if floor.unsaid.pending:
                await self._voice_failed(frame.error)
        elif isinstance(processor, OpenAILLMService):
            if not floor.bot_speaking and floor.unsaid.is_empty:  # else the contact hears an answer, if not all of it
                await self._model_failed(frame.error)
        elif isinstance(processor, Ears) and not processor.is_usable:
            self._fail("the transcription failed: Deepgram cannot be reached")

    async def _voice_failed(self, why: str) -> None:
        """Say it once more, with the fallback voice if there is one. The second time, a recording apologizes."""
        words, fallback = self._floor.unsaid.pending, self._conversation.fallback_voice
        logger.warning("the voice failed: {}", why)
        if self._voice_failed_before or not words:
            self._fail(f"the voice failed: {why}"[:200])
            return
        self._voice_failed_before = True
        await self._drop_what_was_begun()
        if fallback:
            await self._speaker.speak_with(fallback)
            self._conversation.problem("continued with the fallback voice")
        await self._speaker.say(words)

    async def _model_failed(self, why: str) -> None:
        """Ask once more, the fallback model if there is one, and tell the contact meanwhile that it takes a moment."""
        fallback = self._conversation.fallback_model
        logger.warning("the model failed: {}", why)
        if self._model_failed_before:
            self._fail(f"the model failed: {why}"[:200])
            return
        self._model_failed_before = True
        await self._drop_what_was_begun()
        if fallback:
            await self._speaker.think_with(fallback)
            self._conversation.problem("continued with the fallback model")
        await self._speaker.say(self._conversation.phrases.one_moment)
        await self._speaker.think()

    async def _drop_what_was_begun(self) -> None:
        await self._speaker.fall_silent()
        self._floor.unsaid.drop_rest()
