"""How a process waits, and how it does several things at once.

It goes by its machine's clock, or in a fast rehearsal by one that jumps, so that days pass in a minute.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from worker.rules.timing import DIALS_AT_ONCE

Action = Callable[[], None]
Start = Callable[[Action], None]


class ProcessClock(Protocol):
    """Seconds that only go forward, a wait for some of them, and a crew that does things beside one another."""

    def monotonic(self) -> float:
        """Return seconds since some instant."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def crew(self) -> AbstractContextManager[Start]:
        """Give a function that starts an action beside others; ends when all have ended, and raises their first error."""
        ...


class MachineClock:
    """This machine's clock, and threads of this process."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(DIALS_AT_ONCE, thread_name_prefix="crew")

    def monotonic(self) -> float:
        """Return seconds since this machine began."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    @contextmanager
    def crew(self) -> Iterator[Start]:
        """Give a function that starts an action in a thread; ends when all have ended, and raises their first error."""
        begun: list[Future[None]] = []
        try:
            yield lambda action: begun.append(self._threads.submit(action))
        finally:
            errors = [error for one in begun if (error := one.exception())]
        if errors:
            raise errors[0]
