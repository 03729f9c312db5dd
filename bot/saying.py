"""How the bot speaks: the processors that note what it is to say and what has been heard, and the speaker on top of them."""

import asyncio
import time
from contextlib import suppress
from typing import Final

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FunctionCallsStartedFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    LLMUpdateSettingsFrame,
    MetricsFrame,
    OutputAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.metrics.metrics import LLMUsageMetricsData, STTUsageMetricsData, TTSUsageMetricsData
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.openai.llm import OpenAILLMService

from bot.floor import Floor
from bot.hearing import Signals
from bot.services import RATE

PLAYOUT_S: Final = 6.0
"""How long to wait for the echo of a mark, beyond the length of the words before it."""

_SILENCED_S: Final = 0.5
"""How long an interruption may take through the pipeline. It takes milliseconds, unless a processor hangs."""


class WordsToSay(FrameProcessor):
    """Stands between the model and the voice, and notes what is to be said."""

    def __init__(self, floor: Floor) -> None:
        super().__init__()
        self._floor = floor

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note the frame, and pass it on."""
        await super().process_frame(frame, direction)
        now = time.monotonic()
        match frame:
            case InterruptionFrame():
                if direction is FrameDirection.DOWNSTREAM:
                    self._floor.interrupted()
            case LLMFullResponseStartFrame():
                self._floor.unsaid.begin_answer()
            case LLMFullResponseEndFrame() | FunctionCallsStartedFrame():
                self._floor.model_ends()
            case LLMTextFrame() if frame.text:
                self._floor.model_writes(frame.text, now)
            case TTSSpeakFrame():
                self._floor.say(frame.text, now)
            case BotStartedSpeakingFrame():
                self._floor.bot_starts(now)
            case BotStoppedSpeakingFrame():
                self._floor.bot_stops()
            case _:
                pass
        await self.push_frame(frame, direction)


class WordsHeard(FrameProcessor):
    """Stands behind the output, and notes which of the bot's words have been heard, and what they cost."""

    def __init__(self, floor: Floor, usage: dict[str, float]) -> None:
        super().__init__()
        self._floor, self._usage = floor, usage
        self.silenced = asyncio.Event()  # an interruption has come through the whole pipeline

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note the frame, and pass it on, except sound: that has gone out already."""
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputAudioRawFrame):
            return
        if isinstance(frame, TTSTextFrame):
            self._floor.unsaid.heard(frame.text)
        elif isinstance(frame, TTSStoppedFrame):
            self._floor.utterance_over()
        elif isinstance(frame, InterruptionFrame):
            self.silenced.set()
        elif isinstance(frame, MetricsFrame):
            self._count(frame)
        await self.push_frame(frame, direction)

    def _count(self, frame: MetricsFrame) -> None:
        for data in frame.data:
            match data:
                case LLMUsageMetricsData():
                    self._add("openai.prompt_tokens", data.value.prompt_tokens)
                    self._add("openai.completion_tokens", data.value.completion_tokens)
                case TTSUsageMetricsData():
                    self._add("cartesia.characters", data.value)
                case STTUsageMetricsData():
                    self._add("deepgram.seconds", data.value.audio_seconds)
                case _:
                    pass

    def _add(self, name: str, amount: float) -> None:
        self._usage[name] = round(self._usage.get(name, 0.0) + amount, 2)


class PipelineSpeaker:
    """The `Speaker` of one talk: it hands each frame to the first processor that needs it.

    So what the bot says without the model does not wait for the model, and a recording not for the voice: either may hang.
    """

    def __init__(
        self,
        floor: Floor,
        context: LLMContext,
        *,
        signals: Signals,
        mind: OpenAILLMService,
        to_say: WordsToSay,
        output: FrameProcessor,
        heard: WordsHeard,
    ) -> None:
        self._floor, self._context, self._signals, self._mind = floor, context, signals, mind
        self._to_say, self._output, self._heard = to_say, output, heard

    async def say(self, words: str) -> None:  # noqa: D102 - as Speaker says
        if words:
            self._floor.voice_asked(time.monotonic())
            await self._to_say.queue_frame(TTSSpeakFrame(words))

    async def until_heard(self, last_words: str) -> bool:  # noqa: D102 - as Speaker says
        return await self._signals.playout(self._to_say.queue_frame, within_s=PLAYOUT_S + len(last_words) / 10)

    async def play(self, sound: bytes) -> None:  # noqa: D102 - as Speaker says
        await self._output.queue_frame(OutputAudioRawFrame(sound, RATE, 1))
        await self._signals.playout(self._output.queue_frame, within_s=PLAYOUT_S + len(sound) / 2 / RATE)

    async def fall_silent(self) -> None:  # noqa: D102 - as Speaker says
        self._heard.silenced.clear()
        await self._signals.broadcast_interruption()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._heard.silenced.wait(), _SILENCED_S)

    async def answer(self) -> None:  # noqa: D102 - as Speaker says
        self._floor.unsaid.drop_rest()
        await self.think()

    async def think(self) -> None:  # noqa: D102 - as Speaker says
        self._floor.model_asked(time.monotonic())
        await self._mind.queue_frame(LLMContextFrame(context=self._context))

    async def speak_with(self, voice: str) -> None:  # noqa: D102 - as Speaker says
        await self._to_say.queue_frame(TTSUpdateSettingsFrame(delta=CartesiaTTSService.Settings(voice=voice)))

    async def think_with(self, model: str) -> None:  # noqa: D102 - as Speaker says
        await self._mind.queue_frame(LLMUpdateSettingsFrame(delta=OpenAILLMService.Settings(model=model)))
