"""What the stores of all nouns stand on: one Redis client, the scripts, and the clock that every lease is measured by."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar

import redis

from worker.store.errors import UnknownAnswer
from worker.store.keys import ACCOUNT, Subject, keys_of
from worker.store.scripts import read_scripts
from worker.store.signature import LuaScript
from worker.store.times import moment

Member = TypeVar("Member", bound=Enum)


class Database:
    """A Redis client with our scripts, and the clock. Safe to share between threads."""

    def __init__(
        self, client: "redis.Redis", clock_ms: int | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Wrap a client that decodes responses.

        `clock_ms`, if it is given, replaces the server's clock. `monotonic` returns seconds by this process's clock.
        """
        self.client = client
        self.monotonic = monotonic
        self.clock_ms = clock_ms
        self.monotonic = monotonic
        self._registered = {name: client.register_script(text) for name, text in read_scripts().items()}

    def now(self) -> datetime:
        """Return the time by the store's clock."""
        if self.clock_ms is not None:
            return moment(self.clock_ms)
        seconds, micros = self.client.time()  # type: ignore[misc]
        return datetime.fromtimestamp(seconds + micros / 1e6, UTC)

    def run(
        self,
        script: LuaScript,
        subject: Subject = ACCOUNT,
        /,
        *,
        more_keys: Sequence[str] = (),
        more_args: Sequence[Any] = (),
        **args: Any,
    ) -> Any:
        """Run a script on a subject's keys: one transition, which a crash lets happen wholly or not at all.

        Raises ScriptError if an argument is missing or unknown, and TypeError if the subject lacks one of its keys.
        """
        script.check_more(more_keys, more_args)
        keys = [*keys_of(script.keys, subject), *more_keys]
        return self._registered[script.name](keys=keys, args=[self.clock_ms or 0, *script.ordered(**args), *more_args])


class NounStore:
    """The part of the record that is about one noun."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._redis = database.client
        self._run = database.run


def known(enum: type[Member], word: object, what: str) -> Member:
    """Return the enum's member for a word that the record holds; raises UnknownAnswer if it has none."""
    try:
        return enum(word)
    except ValueError as error:
        raise UnknownAnswer(word, what) from error


def pairs(flat: Sequence[str]) -> dict[str, str]:
    """Read a hash as a script returns it: each field followed by its value."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def columns(contact: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of a contact's row, which its hash holds as `:<column>`."""
    return {name[1:]: value for name, value in contact.items() if name.startswith(":")}
