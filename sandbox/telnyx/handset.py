"""The telephone that a call rings, in the hand of a person: `sandbox.telephone.Telephone` on a media stream."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sandbox.clips import CLIPS, clip
from sandbox.telnyx.detection import Greeting
from sandbox.telnyx.earpiece import TICK_S, Earpiece, Mouthpiece
from sandbox.telnyx.records import timestamp
from sandbox.telnyx.stream import MediaStream

_END_OF_SPEECH_S: Final = 0.9
"""A person takes their turn after the caller has been quiet for this long."""


@dataclass
class Handset:
    """What the person hears is in `ear`; what they say goes into `mouth`; what happens is noted in the call's `record`."""

    random: random.Random
    record: dict[str, Any]
    greeting: Greeting
    ear: Earpiece
    mouth: Mouthpiece
    stream: MediaStream | None = None  # what carries the sound, from the document's <Connect> on

    @property
    def is_put_through(self) -> bool:
        """True once the caller has connected this person with somebody else."""
        return "bridged_to" in self.record

    async def say(self, name: str) -> None:
        """Speak a clip to its end."""
        audio = clip(name)
        self.record["said"].append({"at": timestamp(), "by": "person", "words": CLIPS[name] or name})
        self.greeting.begins()
        self.mouth.say(audio)
        # Without a stream nothing carries the sound, but it takes as long to say.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.mouth.quiet.wait(), len(audio) / 8000 + 1)
        self.greeting.has_said(name)

    async def pause(self, seconds: float) -> None:
        """Say nothing for this long."""
        await asyncio.sleep(seconds)

    async def press(self, digit: str) -> None:
        """Press a key."""
        self.record["digits"] += digit
        if self.stream:
            await self.stream.press(digit)

    async def caller_speaks(self, within: float = 12.0) -> bool:
        """Wait for the caller's voice; False if it is not heard within this many seconds."""
        since = self.ear.ticks
        return await _until(lambda: self.ear.voiced_at is not None and self.ear.voiced_at >= since, within)

    async def caller_finishes(self, within: float = 30.0) -> bool:
        """Wait until the caller has spoken and is then quiet; False if the caller never spoke."""
        if self._silence_s() > _END_OF_SPEECH_S and not await self.caller_speaks(within):
            return False
        await _until(lambda: self._silence_s() > _END_OF_SPEECH_S, within)
        await asyncio.sleep(self.random.uniform(0.0, 0.3))
        return True

    async def until_hung_up(self, patience: float = 12.0) -> None:
        """Stay until the caller has been silent for `patience` seconds; a hang-up cancels this."""
        since = self.ear.ticks
        await _until(lambda: (self.ear.ticks - max(since, self.ear.voiced_at or 0)) * TICK_S > patience, 600)

    def _silence_s(self) -> float:
        if self.ear.voiced_at is None:
            return float("inf")
        return (self.ear.ticks - self.ear.voiced_at) * TICK_S


async def _until(condition: Callable[[], bool], within: float) -> bool:
    deadline = asyncio.get_running_loop().time() + within
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.04)
    return True
