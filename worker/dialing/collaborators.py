"""What a process of the dialer works with: built once, where the process starts, and passed to what needs it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import Self, TypeVar

import redis

from worker.dialing.phone import Phone
from worker.machine.clock import MachineClock, ProcessClock
from worker.pipecat.agents import Agents
from worker.rules.timing import ASKING_AT_ONCE, INSIST_EVERY_S, INSIST_S
from worker.settings import Settings
from worker.store import Store
from worker.telnyx.carrier import Carrier

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Dialer:
    """The collaborators of one process. Safe to share between its threads."""

    store: Store
    phone: Phone
    settings: Settings
    clock: ProcessClock = field(default_factory=MachineClock)
    agents: Agents | None = None  # None: nobody counts the warm bots, and the settings say how many there are
    asking: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(ASKING_AT_ONCE))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Build the one of a worker or of the callbacks server, without connecting anything yet.

        Raises SettingsError if the settings name no store.
        """
        return cls(Store.at(settings.store_url), Carrier.of(settings), settings, agents=Agents.of(settings))

    def insist(self, write: Callable[[], Result]) -> Result:
        """Repeat a write that changes nothing when it is repeated, while the store is away for a moment."""
        deadline = self.clock.monotonic() + INSIST_S
        while True:
            try:
                return write()
            except redis.RedisError:
                if self.clock.monotonic() > deadline:
                    raise
                self.clock.sleep(INSIST_EVERY_S)
