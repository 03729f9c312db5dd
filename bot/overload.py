"""Tells when one process holds more calls than the machine can carry: its event loop runs late, and so does all sound."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from loguru import logger

from bot.conversation import Conversation

TICK_S: Final = 0.1
"""How often the loop's lateness is measured, once for all calls of the process: a few microseconds of CPU each time."""

WINDOW_TICKS: Final = 50
"""Over how many measurements the mean is taken: five seconds, or longer the later the loop is."""

LATE_S: Final = 0.05
"""A mean lateness above which the process is overloaded. A frame of sound is 40 ms long and passes a dozen processors,
each of which waits for the loop; eight calls on two cores make it 2 ms late."""

_LONGEST_S: Final = 0.5
"""Cap on a single measurement: one long pause of the whole machine is not overload."""

_WARN_EVERY_S: Final = 10.0


class OverloadMonitor:
    """Measures how late the event loop runs while calls are up, and says so in the log and in each call's report."""

    def __init__(self) -> None:
        self._calls = 0
        self._untold: set[Conversation] = set()  # calls whose report does not say yet that the process was overloaded
        self._lateness_s: deque[float] = deque(maxlen=WINDOW_TICKS)
        self._measuring: asyncio.Task[None] | None = None
        self._warn_from = 0.0  # on the monotonic clock

    @contextmanager
    def carries(self, conversation: Conversation) -> Iterator[None]:
        """Count this call, and let its report say if the process is overloaded meanwhile."""
        self._calls += 1
        self._untold.add(conversation)
        if self._measuring is None:
            self._measuring = asyncio.create_task(self._measure())
        try:
            yield
        finally:
            self._calls -= 1
            self._untold.discard(conversation)
            if not self._calls:
                self._measuring.cancel()
                self._measuring = None
                self._lateness_s.clear()

    async def _measure(self) -> None:
        while True:
            asleep_at = time.monotonic()
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            self.note(now - asleep_at - TICK_S, now)

    def note(self, late_s: float, now: float) -> None:
        """Take one measurement, and tell if the loop has been late for a while."""
        self._lateness_s.append(min(late_s, _LONGEST_S))
        mean_s = sum(self._lateness_s) / WINDOW_TICKS
        if mean_s <= LATE_S:
            return
        told = f"the event loop runs {mean_s * 1000:.0f} ms late (calls in this process: {self._calls})"
        while self._untold:
            self._untold.pop().problem(f"overloaded: {told}; the contact hears sound late")
        if now >= self._warn_from:
            self._warn_from = now + _WARN_EVERY_S
            logger.warning("overloaded: {}; give it fewer calls, or more CPU", told)
