"""How much time the machine took from a test while the test was timing something.

A bound on a duration grows by this, so the bound is tight on a quiet machine, and no bound fails because the machine is slow.
"""

import threading
import time
from types import TracebackType
from typing import Final, Self

_NAP_S: Final = 0.005
_USUAL_S: Final = 0.003
"""Every machine wakes a sleeper a little late. Only what is more than this counts."""


class Lateness:
    """Adds up, from `__enter__` to `__exit__`, by how many seconds a thread of this process was woken too late."""

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
