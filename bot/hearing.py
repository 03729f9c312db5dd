"""The processors that listen to the contact: keys, tones, marks, and words."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    InterimTranscriptionFrame,
    OutputTransportMessageFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from bot.floor import Floor
from bot.machines import ToneDetector


class Signals(FrameProcessor):
    """Hears what is not speech: keys, tones, and the marks by which the carrier tells how far it has played our sound."""

    def __init__(self, on_key: Callable[[str], None], on_tone: Callable[[str], None], left: asyncio.Event) -> None:
        super().__init__()
        self._on_key, self._on_tone, self._left = on_key, on_tone, left
        self._tones = ToneDetector()
        self._marks: dict[str, asyncio.Event] = {}

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything on except marks."""
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

    async def playout(self, queue: Callable[[Frame], Awaitable[None]], *, within_s: float) -> bool:
        """Wait until the contact has heard all that was queued. False if the mark is not back in time, or they left.

        `queue` puts the mark behind the sound that is waited for.
        """
        name = f"heard-{len(self._marks)}"
        reached = self._marks[name] = asyncio.Event()
        await queue(OutputTransportMessageFrame(message={"event": "mark", "mark": {"name": name}}))
        waits = [asyncio.create_task(event.wait()) for event in (reached, self._left)]
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return reached.is_set()


class ContactSpeech(FrameProcessor):
    """Stands between Deepgram and the turns, and notes when the contact speaks and which words they say."""

    def __init__(self, floor: Floor, on_words: Callable[[str, bool], None]) -> None:
        super().__init__()
        self._floor, self._on_words = floor, on_words

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Note the frame, and pass it on."""
        await super().process_frame(frame, direction)
        now = time.monotonic()
        if isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame) and frame.text.strip():
            self._floor.contact_words(now)
            self._on_words(frame.text, isinstance(frame, TranscriptionFrame))
        elif isinstance(frame, VADUserStartedSpeakingFrame):  # comes upstream, from the turns
            self._floor.contact_starts(now)
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._floor.contact_stops(now)
        await self.push_frame(frame, direction)
