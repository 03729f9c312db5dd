"""The processors that listen: what the contact presses and whistles, and what of the bot's words has been heard."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FunctionCallsStartedFrame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterimTranscriptionFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    TranscriptionFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.metrics.metrics import LLMUsageMetricsData, STTUsageMetricsData, TTSUsageMetricsData
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from bot.floor import Floor
from bot.machines import ToneEar

OPT_OUT_KEY: Final = KeypadEntry.NINE


class Ear(FrameProcessor):
    """Hears what is not speech: keys, tones, and the marks that tell how far the carrier has played us."""

    def __init__(self, on_key: Callable[[str], None], on_tone: Callable[[str], None], left: asyncio.Event) -> None:
        super().__init__()
        self._on_key, self._on_tone, self._left = on_key, on_tone, left
        self._tones = ToneEar()
        self._marks: dict[str, asyncio.Event] = {}

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything on, marks excepted."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            if found := self._tones.feed(frame.audio):
                self._on_tone(found)
        elif isinstance(frame, InputDTMFFrame):
            self._on_key(frame.button.value)
        elif isinstance(frame, InputTransportMessageFrame):
            mark = frame.message.get("mark")
            name = str(mark.get("name", "")) if isinstance(mark, dict) else ""
            if reached := self._marks.get(name):
                reached.set()
            return
        await self.push_frame(frame, direction)

    async def playout(self, queue: Callable[[Frame], Awaitable[None]], *, within: float) -> bool:
        """Wait until the contact has heard all that was queued; False if no mark came back in time, or they left."""
        name = f"heard-{len(self._marks)}"
        reached = self._marks[name] = asyncio.Event()
        await queue(OutputTransportMessageFrame(message={"event": "mark", "mark": {"name": name}}))
        waits = [asyncio.create_task(event.wait()) for event in (reached, self._left)]
        await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return reached.is_set()


class Words(FrameProcessor):
    """Stands between the ears and the turns: notes whose voice and which words are heard."""

    def __init__(self, floor: Floor, on_words: Callable[[str, bool], None]) -> None:
        super().__init__()
        self._floor, self._on_words = floor, on_words

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note it, and pass it on."""
        await super().process_frame(frame, direction)
        now = time.monotonic()
        if isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame) and frame.text.strip():
            self._floor.contact_words(now)
            self._on_words(frame.text, isinstance(frame, TranscriptionFrame))
        elif isinstance(frame, VADUserStartedSpeakingFrame):  # comes upstream from the turns
            self._floor.contact_starts(now)
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._floor.contact_stops(now)
        await self.push_frame(frame, direction)


class Lines(FrameProcessor):
    """Stands between the model and the voice: notes what is to be said."""

    def __init__(self, floor: Floor) -> None:
        super().__init__()
        self._floor = floor

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note it, and pass it on."""
        await super().process_frame(frame, direction)
        now = time.monotonic()
        match frame:
            case InterruptionFrame():
                if direction is FrameDirection.DOWNSTREAM:
                    self._floor.interrupted()
            case LLMFullResponseStartFrame():
                self._floor.model_begins()
            case LLMFullResponseEndFrame():
                self._floor.model_ends()
            case LLMTextFrame() if frame.text:
                self._floor.write(frame.text, now)
            case TTSSpeakFrame():
                self._floor.say(frame.text, now)
            case FunctionCallsStartedFrame():
                self._floor.model_ends()
            case BotStartedSpeakingFrame():
                self._floor.bot_starts(now)
            case BotStoppedSpeakingFrame():
                self._floor.bot_stops()
            case _:
                pass
        await self.push_frame(frame, direction)


class Heard(FrameProcessor):
    """Stands behind the output: notes what has been said, and what it cost."""

    def __init__(self, floor: Floor, usage: dict[str, float]) -> None:
        super().__init__()
        self._floor, self._usage = floor, usage
        self.silenced = asyncio.Event()  # an interruption has come through to the end

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note it, and pass it on, but for the sound: it has gone out."""
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputAudioRawFrame):
            return
        if isinstance(frame, TTSTextFrame):
            self._floor.spoken(frame.text)
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
