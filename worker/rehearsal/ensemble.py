"""A Redis of its own and the processes that use it: they start together, and end together whatever happens."""

from abc import ABC, abstractmethod
from typing import Self

from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import Processes
from worker.store import Store


class Ensemble(ABC):
    """All of it runs from `__enter__` to `__exit__`. If the start fails, what was started is ended too."""

    def __init__(self, redis: EmbeddedRedis, processes: Processes) -> None:
        self._redis, self._processes = redis, processes

    def __enter__(self) -> Self:
        try:
            self._redis.start()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.stop()
        self._redis.stop()

    @abstractmethod
    def _start(self) -> None:
        """Start the processes. Redis is running."""

    @property
    def store(self) -> Store:
        """A new store on this Redis."""
        return Store.at(self._redis.url)

    def check(self) -> None:
        """Raise ProcessDied if a process has ended by itself."""
        self._processes.check()
