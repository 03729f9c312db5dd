"""Answering-machine detection: what the carrier makes of whoever answered, by the sound of them."""

import asyncio
from collections.abc import Callable
from typing import Final

_AFTER_S: Final = {"human": 1.2, "machine": 2.0, "fax": 1.5}
"""Seconds after the answer until it is sure."""

_SILENCE_S: Final = 1.5
"""How long a machine must be quiet to have come to its end without a tone."""

_GREETING_S: Final = 30.0
"""How long a greeting is listened to."""


class Greeting:
    """What a machine has said so far."""

    def __init__(self) -> None:
        self.beeped = False
        self._quiet_since: float | None = None  # by the loop's clock; None while it speaks, and before it has

    def begins(self) -> None:
        """It speaks."""
        self._quiet_since = None

    def has_said(self, clip: str) -> None:
        """It has said a clip to its end."""
        self._quiet_since = asyncio.get_running_loop().time()
        self.beeped = self.beeped or clip.startswith("beep")

    @property
    def quiet_s(self) -> float:
        """How long it has been quiet after it had spoken."""
        return 0.0 if self._quiet_since is None else asyncio.get_running_loop().time() - self._quiet_since


async def detect(answered_by: str, wanted: str, greeting: Greeting, tell: Callable[[str], None]) -> None:
    """Tell who answered; of a machine, with `DetectMessageEnd`, also when it may be spoken to: once it has beeped."""
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
