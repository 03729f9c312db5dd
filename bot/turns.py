"""Whose turn it is: what of the contact's voice stops the bot, when their turn is over, and what of it needs no answer."""

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
"""So many words over the greeting are more than a "hello?": whoever says them wants the floor."""

_NEARLY_ALL: Final = 4
"""With so few words left to say, a "yes" is an answer to what was said."""


def strategies(
    listening: Listening, senses: Senses, floor: Floor, *, takes_turns: Callable[[], bool]
) -> UserTurnStrategies:
    """Return how turns begin and end. While `takes_turns()` is False a machine speaks, and nobody's turn begins."""
    stop = (
        TurnAnalyzerUserTurnStopStrategy(turn_analyzer=senses.turn)
        if listening.turn_end == "smart"
        else SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=max(0.0, listening.pause_s - 0.2))
    )
    return UserTurnStrategies(start=[ContactTurnStart(listening, floor, takes_turns)], stop=[stop])


class ContactTurnStart(BaseUserTurnStartStrategy):
    """A voice stops the bot at once, but not the greeting: that plays on, unless it is really talked over.

    Most people say "hello?" into the first second. Their words are kept either way; what they were is judged when the
    turn is over, and what was cut off for a mere "mm-hm" is then resumed (see `AnswerGate`).
    """

    def __init__(self, listening: Listening, floor: Floor, takes_turns: Callable[[], bool]) -> None:
        super().__init__()
        self._listening, self._floor, self._takes_turns = listening, floor, takes_turns

    @property
    def _greeting(self) -> bool:
        return self._floor.opening and self._listening.opening == "plays_on"

    async def process_frame(self, frame: Frame) -> ProcessFrameResult:
        """Begin a turn, with or without an interruption."""
        if not self._takes_turns():
            return ProcessFrameResult.CONTINUE
        if isinstance(frame, VADUserStartedSpeakingFrame):
            await self.trigger_user_turn_started(enable_interruptions=not self._greeting)
            return ProcessFrameResult.STOP
        if isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame):
            interim = isinstance(frame, InterimTranscriptionFrame)  # what a final one ends is for the gate
            if interim and self._greeting and self._floor.bot_speaking and _takes_the_floor(frame.text):
                await self.broadcast_frame(InterruptionFrame)
            # Words of a voice that was too soft or too short to be noticed as one.
            await self.trigger_user_turn_started(enable_interruptions=not self._greeting)
        return ProcessFrameResult.CONTINUE


class AnswerGate(FrameProcessor):
    """Stands before the model: lets through what wants an answer, resumes what was cut off for nothing.

    `answers(text)` may take a turn over: a machine's is answered without the model.
    """

    def __init__(self, floor: Floor, answers: Callable[[str], Awaitable[bool]]) -> None:
        super().__init__()
        self._floor, self._answers = floor, answers

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Judge turns; pass all else on, but for the contact's sound: nobody behind the turns listens to it."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            return
        if isinstance(frame, LLMContextFrame) and direction is FrameDirection.DOWNSTREAM:
            text = _last_words(frame)
            if await self._answers(text) or await self.needs_no_answer(text):
                return
            self._floor.unsaid.drop_rest()
            self._floor.model_asked(time.monotonic())
        await self.push_frame(frame, direction)

    async def needs_no_answer(self, text: str) -> bool:
        """Resume what was cut off by a mere "mm-hm", or by nothing that had words; True if there is nothing to answer."""
        if text and not is_backchannel(text):
            return False
        if self._floor.opening and not self._floor.unsaid.rest:
            return True  # the greeting, which plays on, is the answer to "hello?"
        rest = self._floor.unsaid.rest
        if len(rest.split()) > _NEARLY_ALL:
            self._floor.unsaid.drop_rest()
            await self.push_frame(TTSSpeakFrame(rest))
            return True
        return False


def _takes_the_floor(text: str) -> bool:
    return len(text.split()) >= WORDS_TO_INTERRUPT


def _last_words(frame: LLMContextFrame) -> str:
    message = frame.context.get_messages()[-1]
    content = message.get("content") if isinstance(message, dict) and message.get("role") == "user" else ""
    return content if isinstance(content, str) else ""
