"""The two ends of a handset: the earpiece plays what the bot sends, the mouthpiece sends what the person says.

Sound is PCMU, 8000 bytes a second, and moves in ticks of 20 ms.
"""

import asyncio
from collections import deque
from typing import Final

import numpy as np

from sandbox.audio import FRAME
from sandbox.telnyx.timeline import QUIET_S, SAME_BURST_S

SILENCE: Final = b"\xff" * FRAME
TICK_S: Final = 0.02

# PCMU byte -> loudness, 0 to 127, so that the peak of a frame is one `translate` and one `max`.
_LOUD: Final = bytes(127 - (code & 0x7F) for code in range(256))
_AUDIBLE: Final = 40


def is_voice(sound: bytes) -> bool:
    """Say whether PCMU sound is loud enough at some point to be a voice."""
    return sound != SILENCE and max(sound.translate(_LOUD), default=0) > _AUDIBLE


def silences(heard: bytes) -> dict[str, float]:
    """Measure what a person heard, in seconds: all voice, the silence before it, and the longest pause within it."""
    frames = np.frombuffer(heard[: len(heard) // FRAME * FRAME], np.uint8).reshape(-1, FRAME)
    voiced = np.flatnonzero((127 - (frames & 0x7F)).max(axis=1) > _AUDIBLE) if len(frames) else np.zeros(0, int)
    gaps = np.diff(voiced) * TICK_S if len(voiced) > 1 else np.zeros(1)
    return {
        "heard_s": round(len(voiced) * TICK_S, 2),
        "silent_at_first_s": round(float(voiced[0] if len(voiced) else len(frames)) * TICK_S, 2),
        "longest_pause_s": round(float(gaps.max()), 2),
    }


class Earpiece:
    """What the person hears: the bot's sound, queued, played at its own pace, and delayed by a jitter buffer."""

    def __init__(self, jitter_s: float) -> None:
        self.heard = bytearray()  # everything that was played, silence too
        self.voiced_at: int | None = None  # the last tick with a voice in it
        self.ticks = 0
        self.late_frames = 0  # ticks without sound while the bot was in the middle of a sentence
        self.longest_hole = 0  # the longest silence caused by that, in ticks, with the time to refill the jitter buffer
        self._queue = bytearray()
        self._marks: deque[tuple[int, str]] = deque()  # the position in the queue, in bytes, and the mark's name
        self._jitter = round(jitter_s / TICK_S)
        self._hold = 0
        self._dry = self._dry_at = 0  # ticks without sound since the queue ran out in mid-sentence, and when it ran out
        self._cleared_at = 0

    def play(self, audio: bytes) -> None:
        """Queue sound."""
        if not self._queue:
            self._hold = self._jitter
        if self._dry and is_voice(audio):
            if (self.ticks - self._dry_at) * TICK_S <= SAME_BURST_S:
                self.late_frames += self._dry
                self.longest_hole = max(self.longest_hole, self._dry + self._hold)
            self._dry = 0
        self._queue += audio

    def mark(self, name: str) -> list[str]:
        """Set a mark behind what is queued; return the marks that are reached at once."""
        if not self._queue:
            return [name]
        self._marks.append((len(self._queue), name))
        return []

    def clear(self) -> list[str]:
        """Drop what is queued; return its marks."""
        self._queue.clear()
        self._hold = self._dry = 0
        self._cleared_at = self.ticks  # the bot stopped on purpose, so silence from here on is no hole
        marks = [name for _, name in self._marks]
        self._marks.clear()
        return marks

    def tick(self) -> list[str]:
        """Play 20 ms; return the marks that this reaches."""
        if self._hold:
            self._hold -= 1
            frame = SILENCE
        else:
            if not self._queue and (self._dry or self._spoke_just_now()):
                self._dry_at = self._dry_at if self._dry else self.ticks
                self._dry += 1
            frame = bytes(self._queue[:FRAME]).ljust(FRAME, b"\xff")
            del self._queue[:FRAME]
            self._marks = deque((left - FRAME, name) for left, name in self._marks)
        self.heard += frame
        if is_voice(frame):
            self.voiced_at = self.ticks
        self.ticks += 1
        reached: list[str] = []
        while self._marks and self._marks[0][0] <= 0:
            reached.append(self._marks.popleft()[1])
        return reached

    @property
    def hears_voice(self) -> bool:
        """True if the last tick played a voice."""
        return self.voiced_at == self.ticks - 1

    def _spoke_just_now(self) -> bool:
        voiced_at = self.voiced_at
        return voiced_at is not None and self._cleared_at <= voiced_at > self.ticks - QUIET_S / TICK_S


class Mouthpiece:
    """What the person says: sound that waits to be sent."""

    def __init__(self) -> None:
        self._queue = bytearray()
        self.spoken = bytearray()  # everything that was sent, silence too
        self.quiet = asyncio.Event()  # set while nothing waits
        self.quiet.set()

    def say(self, audio: bytes) -> None:
        """Queue PCMU."""
        self._queue += audio
        self.quiet.clear()

    def tick(self) -> bytes:
        """Return the next 20 ms."""
        if not self._queue:
            self.quiet.set()
            self.spoken += SILENCE
            return SILENCE
        frame = bytes(self._queue[:FRAME]).ljust(FRAME, b"\xff")
        del self._queue[:FRAME]
        self.spoken += frame
        return frame
