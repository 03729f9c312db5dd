"""Our own numbers in the record: the caller IDs, their calls of the day, their health, their rest."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from worker.rules import caller_ids
from worker.rules.caller_ids import CallerId
from worker.rules.hours import day_of
from worker.store.base import NounStore
from worker.store.keys import key
from worker.store.times import moment_or_none, ms


class OwnNumberStore(NounStore):
    """What is kept about the numbers that we call from."""

    def read(self, pool: Iterable[str], now: datetime) -> list[CallerId]:
        """Return how these numbers stand at `now`, in one round trip; each number once, in the given order."""
        numbers = list(dict.fromkeys(pool))
        with self._redis.pipeline(transaction=False) as pipe:
            for number in numbers:
                pipe.hgetall(key("caller_id", number))
            kept = pipe.execute()
        return [_caller_id(number, fields, now) for number, fields in zip(numbers, kept, strict=True)]

    def rest(self, number: str, until: datetime) -> None:
        """Call nobody from a number until then. Its health is judged anew from now on."""
        self._redis.hset(key("caller_id", number), mapping={"rest": ms(until), "recent": ""})

    def record_owned(self, ours: Mapping[str, bool]) -> None:
        """Keep which numbers the carrier says are ours. Nobody is called from a number that is not ours."""
        with self._redis.pipeline(transaction=False) as pipe:
            for number, owned in ours.items():
                pipe.hset(key("caller_id", number), "ours", int(owned))
            pipe.execute()


def _caller_id(number: str, kept: Mapping[str, str], now: datetime) -> CallerId:
    began, ends = day_of(caller_ids.day_zone(number), now)
    return CallerId(
        number,
        calls=int(kept.get("calls", "0")),
        answered=int(kept.get("answered", "0")),
        recent=kept.get("recent", ""),
        today=int(kept.get("today", "0")) if moment_or_none(kept.get("day")) == began else 0,
        tomorrow=ends,
        last=moment_or_none(kept.get("last")),
        rest=moment_or_none(kept.get("rest")),
        ours=kept["ours"] == "1" if "ours" in kept else None,
    )
