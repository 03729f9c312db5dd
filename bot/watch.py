"""What watches over a talk, so that nobody hears nothing: the length cap, dead air, and providers that are late or fail."""

import asyncio
import time
from typing import TYPE_CHECKING, Final

from loguru import logger
from pipecat.frames.frames import ErrorFrame
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.openai.llm import OpenAILLMService

from bot.floor import SILENCE_S, WORDS_WITHIN_S
from bot.services import Ears
from campaigns.call import Disposition

if TYPE_CHECKING:
    from bot.talk import Talk

_TICK_S: Final = 0.1


class Watch:
    """Sees to it that neither side is left waiting. A provider is asked twice; silence is asked after once."""

    def __init__(self, talk: "Talk") -> None:
        self._talk = talk
        self._not_heard = self._nudged = False
        self._voice_again = self._model_again = False

    async def keep(self) -> None:
        """Look ten times a second, until the last words begin."""
        conversation = self._talk.conversation
        while conversation.disposition is None:
            await asyncio.sleep(_TICK_S)
            if conversation.disposition is None:
                await self._look()

    async def _look(self) -> None:
        talk, floor, now = self._talk, self._talk.floor, time.monotonic()
        if talk.conversation.seconds > self._limit_s:
            words = talk.conversation.phrases.out_of_time
            talk.conversation.conclude(Disposition.COMPLETED, "the call reached its time limit", words)
        elif floor.voice_is_late(now):
            await self._voice_failed("no sound came from it")
        elif talk.answering.machine:
            return
        elif floor.model_is_late(now):
            await self._model_failed("no answer came from it")
        elif floor.cut_short(now):
            await self._voice_failed("it broke off")
        elif floor.spoke_since and not floor.contact_speaking and now - floor.contact_heard_at > WORDS_WITHIN_S:
            await self._not_understood()
        elif (screen := talk.answering.screen) is not None:
            if screen.overdue:
                why = "a call screen kept us waiting, and nobody came"
                talk.conversation.conclude(Disposition.REJECTED, why, "")
        elif not floor.owed_since and floor.silent_s(now) > talk.listening.patience_s:
            await self._nudge()
        elif floor.owed_since and now - max(floor.owed_since, floor.bot_heard_at) > SILENCE_S:
            talk.parting.fail("dead air: a provider did not answer")

    @property
    def _limit_s(self) -> float:
        conversation, settings = self._talk.conversation, self._talk.settings
        if conversation.brief is None:
            return settings.unbriefed_call_s
        return conversation.script.time_limit_s if conversation.script else settings.max_call_s

    # --- the contact is silent, or not understood ---------------------------------------------------------------------

    def relax(self) -> None:
        """Words of theirs have come: begin to count anew."""
        self._not_heard = self._nudged = False

    async def _nudge(self) -> None:
        conversation = self._talk.conversation
        if not self._nudged:
            self._nudged = True
            await self._talk.say(conversation.phrases.still_there)
        elif any(turn.role == "contact" for turn in conversation.turns):
            words = conversation.phrases.fell_silent
            conversation.conclude(Disposition.COMPLETED, "the contact fell silent", words)
        else:
            words = conversation.phrases.nobody_there
            conversation.conclude(Disposition.NO_ANSWER, "answered, but nobody spoke", words)

    async def _not_understood(self) -> None:
        """There was a voice, and no words came of it."""
        floor = self._talk.floor
        floor.spoke_since = 0.0
        if floor.bot_speaking or floor.owed_since:
            return
        if self._not_heard:
            self._talk.parting.fail("nothing of what was said could be understood")
            return
        self._not_heard = True
        await self._talk.say(self._talk.conversation.phrases.not_heard)

    # --- a provider fails ---------------------------------------------------------------------------------------------

    async def on_error(self, frame: ErrorFrame) -> None:
        """Something in the pipeline says that it has failed."""
        conversation, floor, processor = self._talk.conversation, self._talk.floor, frame.processor
        conversation.problem(f"{type(processor).__name__}: {frame.error}")
        if conversation.disposition is not None:
            return
        if isinstance(processor, CartesiaTTSService):
            if floor.pending:
                await self._voice_failed(frame.error)
        elif isinstance(processor, OpenAILLMService):
            if not floor.bot_speaking and not floor.to_say:  # or they have an answer, if not all of it
                await self._model_failed(frame.error)
        elif isinstance(processor, Ears) and not processor.is_usable:
            self._talk.parting.fail("the ears failed: Deepgram cannot be reached")

    async def _voice_failed(self, why: str) -> None:
        """Say it once more, with the fallback voice if there is one; then let the recording apologize."""
        talk, brief, words = self._talk, self._talk.conversation.brief, self._talk.floor.pending
        logger.warning("the voice failed: {}", why)
        if self._voice_again or not words:
            talk.parting.fail(f"the voice failed: {why}"[:200])
            return
        self._voice_again = True
        await talk.fall_silent()
        talk.floor.answered()
        if brief and brief.voice.fallback:
            await talk.speak_with(brief.voice.fallback)
            talk.conversation.problem("went on with the fallback voice")
        await talk.say(words)

    async def _model_failed(self, why: str) -> None:
        """Ask once more, the fallback model if there is one; meanwhile they are told that it takes a moment."""
        talk, script = self._talk, self._talk.conversation.script
        logger.warning("the model failed: {}", why)
        if self._model_again:
            talk.parting.fail(f"the model failed: {why}"[:200])
            return
        self._model_again = True
        await talk.fall_silent()
        talk.floor.answered()
        if script and script.model.fallback:
            await talk.think_with(script.model.fallback)
            talk.conversation.problem("went on with the fallback model")
        await talk.say(talk.conversation.phrases.one_moment)
        await talk.think()
