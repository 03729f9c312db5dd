"""Whose turn it is: when the contact's voice stops the bot, when their turn is over, and whether it needs an answer."""

import time
from collections.abc import Awaitable, Callable
from typing import Final

from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMContextFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.turns.types import ProcessFrameResult
from pipecat.turns.user_start import BaseUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy, TurnAnalyzerUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from bot.floor import Floor
from bot.machines import is_backchannel
from bot.services import Senses
from campaigns.call import Listening

WORDS_TO_INTERRUPT: Final = 3
"""Three words over the greeting are more than a "hello?": the contact wants the floor."""

_NEARLY_ALL: Final = 4
"""With this few words left to say, a "yes" answers what was said, and is no "mm-hm" that asks us to go on."""


def strategies(
    listening: Listening, senses: Senses, floor: Floor, *, takes_turns: Callable[[], bool]
) -> UserTurnStrategies:
    """Return how the contact's turns begin and end. No turn begins while `takes_turns()` is False."""
    stop = (
        TurnAnalyzerUserTurnStopStrategy(turn_analyzer=senses.turn)
        if listening.turn_end == "smart"
        else SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=max(0.0, listening.pause_s - 0.2))
    )
    return UserTurnStrategies(start=[ContactTurnStart(listening, floor, takes_turns)], stop=[stop])


class ContactTurnStart(BaseUserTurnStartStrategy):
    """Begins the contact's turn. Their voice stops the bot at once, except over the greeting, which three words stop.

    Most people say "hello?" into the first second. Their words are kept in both cases. When the turn is over, the
    `AnswerGate` looks at them, and resumes what was cut off if they were a mere "mm-hm".
    """

    def __init__(self, listening: Listening, floor: Floor, takes_turns: Callable[[], bool]) -> None:
        super().__init__()
        self._listening, self._floor, self._takes_turns = listening, floor, takes_turns

    @property
    def _greeting(self) -> bool:
        return self._floor.opening and self._listening.opening == "plays_on"

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Begin a turn if this frame is the contact's voice or words."""
        if not self._takes_turns():
            return ProcessFrameResult.CONTINUE
        if isinstance(frame, VADUserStartedSpeakingFrame):
            await self.trigger_user_turn_started(enable_interruptions=not self._greeting)
            return ProcessFrameResult.STOP
        if isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame):
            interim = isinstance(frame, InterimTranscriptionFrame)  # a final one is left to the gate
            if interim and self._greeting and self._floor.bot_speaking and _wants_the_floor(frame.text):
                await self.broadcast_frame(InterruptionFrame)
            # The voice may have been too soft or too short to be noticed, and yet have had words.
            await self.trigger_user_turn_started(enable_interruptions=not self._greeting)
        return ProcessFrameResult.CONTINUE


class AnswerGate(FrameProcessor):
    """Stands before the model: it lets turns through that want an answer, and resumes what the others cut off.

    `takes_over(text)` is asked first, and is True if the turn is answered without the model: a machine's is.
    """

    def __init__(self, floor: Floor, takes_over: Callable[[str], Awaitable[bool]]) -> None:
        super().__init__()
        self._floor, self._takes_over = floor, takes_over

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Stop turns that want no answer, and the contact's sound: no processor behind this one needs it. Pass on the rest."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            return
        if isinstance(frame, LLMContextFrame) and direction is FrameDirection.DOWNSTREAM:
            text = _last_words(frame)
            if await self._takes_over(text) or await self.needs_no_answer(text):
                return
            self._floor.unsaid.drop_rest()
            self._floor.model_asked(time.monotonic())
        await self.push_frame(frame, direction)

    async def needs_no_answer(self, text: str) -> bool:
        """Return True if these words need no answer. If they are a mere "mm-hm", or none, the bot resumes what they cut off."""
        if text and not is_backchannel(text):
            return False
        if self._floor.opening and not self._floor.unsaid.rest:
            return True  # the greeting plays on, and answers their "hello?"
        rest = self._floor.unsaid.rest
        if len(rest.split()) > _NEARLY_ALL:
            self._floor.unsaid.drop_rest()
            await self.push_frame(TTSSpeakFrame(rest))
            return True
        return False


def _wants_the_floor(text: str) -> bool:
    return len(text.split()) >= WORDS_TO_INTERRUPT


def _last_words(frame: LLMContextFrame) -> str:
    message = frame.context.get_messages()[-1]
    content = message.get("content") if isinstance(message, dict) and message.get("role") == "user" else ""
    return content if isinstance(content, str) else ""
