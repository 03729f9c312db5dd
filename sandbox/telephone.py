"""A telephone, as the person who holds it uses it. The scripts need this interface; `sandbox.telnyx.handset` has it."""

import random
from collections.abc import Awaitable, Callable
from typing import Protocol


class Telephone(Protocol):
    """What a person can do on the telephone, and what they can tell by ear. "The caller" is our bot."""

    random: random.Random

    @property
    def is_put_through(self) -> bool:
        """True once the caller has connected this person with somebody else."""
        ...

    async def say(self, name: str) -> None:
        """Speak the clip of this name; return when it has been spoken."""

    async def pause(self, seconds: float) -> None:
        """Say nothing for this long."""

    async def caller_speaks(self, within: float = 12.0) -> bool:
        """Wait until the caller's voice is heard; False if it is not heard within this many seconds."""
        ...

    async def caller_finishes(self, within: float = 30.0) -> bool:
        """Wait until the caller has spoken and is then quiet for a moment; False if the caller never spoke."""
        ...

    async def press(self, digit: str) -> None:
        """Press a key."""

    async def until_hung_up(self, patience: float = 12.0) -> None:
        """Stay until the caller hangs up, or until the caller has been silent for `patience` seconds."""


Script = Callable[[Telephone], Awaitable[None]]
"""What one kind of person does, from answering to hanging up."""
