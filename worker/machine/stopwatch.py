"""How a process waits, and how it does several things at once: by its machine's own clock, or in a fast rehearsal by another.

What waits between two dials goes by a stopwatch, so that days can pass in a minute.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

_MOST: Final = 1000
"""Threads of one crew: more than one message can want. A crew starts no more of them than it is given actions."""

Action = Callable[[], None]
Start = Callable[[Action], None]


@contextmanager
def threads() -> Iterator[Start]:
    """Give what starts an action in a thread of its own; ends when all have ended, and raises the first error of any."""
    begun: list[Future[None]] = []
    with ThreadPoolExecutor(_MOST, thread_name_prefix="crew") as pool:
        yield lambda action: begun.append(pool.submit(action))
    for one in begun:
        one.result()


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Seconds that only go forward, a wait for some of them, and a crew that does things beside one another."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    crew: Callable[[], AbstractContextManager[Start]] = threads
