"""Work that goes on beside a talk, and ends with it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from loguru import logger


class SideTasks:
    """The tasks of one talk that nothing waits for. One that fails is logged, and harms no other."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this until it is done, or the talk is over."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        """End whatever still runs: the talk is over."""
        for task in self._tasks:
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.opt(exception=error).error("a task beside the talk failed")
