"""How this process waits, and how long that took: by its machine's own clock, or in a fast rehearsal by a timeline's.

What waits between two dials goes by this, so that days can pass in a minute.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Seconds that only go forward, and a wait for some of them."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


_in_use = Stopwatch()


def go_by(other: Stopwatch) -> None:
    """Let this process go by another one from now on."""
    global _in_use  # noqa: PLW0603 - one for a process, as time is
    _in_use = other


def monotonic() -> float:
    """Return seconds since some instant."""
    return _in_use.monotonic()


def sleep(seconds: float) -> None:
    """Wait."""
    _in_use.sleep(seconds)
