"""Everything that knows that there is a Redis: one store for each noun, and one Lua script for each transition.

A crash lets a transition happen wholly or not at all. The keys are in worker/store/keys.py.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta

import redis

from worker.store.attempts import AttemptStore
from worker.store.base import Database
from worker.store.brakes import BrakeStore
from worker.store.campaigns import CampaignStore
from worker.store.contacts import ContactStore
from worker.store.do_not_call import DoNotCallStore
from worker.store.errors import StoreError
from worker.store.inbound_calls import CallerStore
from worker.store.keys import Subject
from worker.store.own_numbers import OwnNumberStore
from worker.store.pace import PaceStore
from worker.store.reading import ReadingStore
from worker.store.redis_server import connect
from worker.store.scripts import TICK
from worker.store.times import ms


class Store:
    """The record of the dialer, by noun. Safe to share between threads."""

    def __init__(
        self,
        client: "redis.Redis",
        *,
        clock_ms: int | None = None,
        salt: bytes | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap a client that decodes responses.

        A rehearsal of whole days gives `clock_ms`, which replaces the server's clock, `monotonic`, which replaces the
        process's (in seconds), and `salt`, which replaces chance: contacts that are due at the same time are claimed in the
        order of their ids.
        """
        self._redis = client
        self._database = database = Database(client, clock_ms, monotonic)
        self.campaigns = campaigns = CampaignStore(database)
        self.contacts = contacts = ContactStore(database, campaigns, salt)
        self.attempts = AttemptStore(database, campaigns)
        self.pace = PaceStore(database, campaigns)
        self.callers = CallerStore(database)
        self.do_not_call = do_not_call = DoNotCallStore(database, campaigns, contacts)
        self.own_numbers = OwnNumberStore(database)
        self.brakes = BrakeStore(database)
        self.reading = ReadingStore(database, campaigns, contacts, do_not_call)

    @classmethod
    def at(cls, url: str, *, timeout_s: float = 5.0) -> "Store":
        """Connect lazily to a REDIS_URL. No command is sent twice: a failed one is an error."""
        return cls(connect(url, timeout_s))

    def ping(self) -> None:
        """Raise StoreError with a sentence if the server cannot be reached."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise StoreError(f"cannot reach Redis: {error}; start it, or correct REDIS_URL") from error

    @property
    def clock_ms(self) -> int | None:
        """The time that replaces the server's clock, in milliseconds since 1970; None: the server's clock counts."""
        return self._database.clock_ms

    @clock_ms.setter
    def clock_ms(self, value: int | None) -> None:
        self._database.clock_ms = value

    def now(self) -> datetime:
        """Return the time by the store's clock, which every lease is measured by."""
        return self._database.now()

    def tick(self, task: str, every: timedelta) -> bool:
        """Return True for the first of several ticks within `every`, so that doubled or late ticks change nothing."""
        return self._database.run(TICK, Subject(task=task), every_ms=ms(every)) == 1
