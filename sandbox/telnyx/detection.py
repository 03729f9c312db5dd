"""Answering-machine detection: what the carrier reports about the sound of the person or machine that answered."""

import asyncio
from collections.abc import Callable
from typing import Final

_AFTER_S: Final = {"human": 1.2, "machine": 2.0, "fax": 1.5}
"""Seconds from the answer until the carrier reports."""

_SILENCE_S: Final = 1.5
"""A machine that has been quiet for this long has ended its greeting without a tone."""

_GREETING_S: Final = 30.0
"""How long the carrier listens to a greeting."""


class Greeting:
    """How far a machine's greeting has come."""

    def __init__(self) -> None:
        self.beeped = False
        self._quiet_since: float | None = None  # by the loop's clock; None while it speaks, and before it has spoken

    def begins(self) -> None:
        """Note that it begins to speak."""
        self._quiet_since = None

    def has_said(self, clip: str) -> None:
        """Note that it has spoken this clip to its end."""
        self._quiet_since = asyncio.get_running_loop().time()
        self.beeped = self.beeped or clip.startswith("beep")

    @property
    def quiet_s(self) -> float:
        """How long it has been quiet since it last spoke; 0 if it has not spoken yet."""
        return 0.0 if self._quiet_since is None else asyncio.get_running_loop().time() - self._quiet_since


async def detect(answered_by: str, wanted: str, greeting: Greeting, tell: Callable[[str], None]) -> None:
    """Tell what answered. For a machine and `DetectMessageEnd`, tell also when its greeting has ended."""
    await asyncio.sleep(_AFTER_S[answered_by])
    if answered_by != "machine" or wanted != "DetectMessageEnd":
        tell(answered_by)
        return
    tell("machine_start")
    deadline = asyncio.get_running_loop().time() + _GREETING_S
    while asyncio.get_running_loop().time() < deadline:
        if greeting.beeped:
            tell("machine_end_beep")
            return
        if greeting.quiet_s > _SILENCE_S:
            tell("machine_end_silence")
            return
        await asyncio.sleep(0.05)
