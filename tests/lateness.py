"""What a slow machine may cost a test: the bounds on durations grow, and no verdict is given on a call that was starved."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import pytest

_NAP_S: Final = 0.005
_USUAL_S: Final = 0.003
"""Every machine wakes a sleeper a little late. Only what is more than this counts."""


class Lateness:
    """Adds up, from `__enter__` to `__exit__`, by how many seconds a thread of this process was woken too late.

    A bound on a duration grows by this: the bound is tight on a quiet machine, and never fails because the machine is slow.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        asked = time.monotonic()
        while not self._over.wait(_NAP_S):
            woken = time.monotonic()
            self.seconds += max(0.0, woken - asked - _NAP_S - _USUAL_S)
            asked = time.monotonic()


@contextmanager
def judged(starved: str) -> Iterator[None]:
    """Skip the test if it fails, and this machine starved the call that it is about: that proves nothing about the bot.

    `starved` is why, or empty. On a machine that can hold a single call in time, nothing is skipped.
    """
    try:
        yield
    except (AssertionError, LookupError, StopIteration) as error:
        if starved:
            pytest.skip(f"too slow a machine to judge a call: {starved} ({error})")
        raise
