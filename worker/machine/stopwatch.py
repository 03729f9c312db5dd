"""How this process waits, and how long that took: by its machine's own clock, or in a fast rehearsal by a timeline's.

What waits between two dials goes by this, so that days can pass in a minute.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

_aside: Final = ThreadPoolExecutor(32, thread_name_prefix="aside")


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Seconds that only go forward, a wait for some of them, and a way to do something while others wait."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    aside: Callable[[Callable[[], None]], object] = _aside.submit


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


def aside(action: Callable[[], None]) -> None:
    """Let something be done beside what goes on here: it is on its own, and logs its errors itself."""
    _in_use.aside(action)
