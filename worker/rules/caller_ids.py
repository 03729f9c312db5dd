"""From which number: the order in which a campaign's caller IDs are tried for a contact, and how each of them is doing.

Pure functions. What may be counted but once (calls of the day, the cool-down) is counted where a dial begins (begin.lua).
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from campaigns import numbers
from campaigns.call import Disposition
from campaigns.places import regions_of
from worker.rules.brakes import Mark

RECENT: Final = 200
"""The calls by which a number's health is judged (conclude.lua keeps as many)."""

LEAST_RECENT: Final = 50
LEAST_PAST: Final = 200
"""With fewer calls than these, there is no telling health from chance."""

_SURELY: Final = 3.0
"""Standard deviations below its past: one number in 700 falls so low by chance."""

_MARKEDLY: Final = 0.7
"""Of its past answer rate: with many calls, small differences are sure too, and are those between mornings and evenings."""

REST: Final = timedelta(days=1)
"""How long a sick number rests."""

ASK_EVERY: Final = timedelta(hours=1)
"""How often the carrier is asked which numbers are ours."""

ASK_OF_NEW_EVERY: Final = timedelta(minutes=1)
"""… while it has not yet said anything about one of them."""

_RANG: Final = frozenset({Disposition.NO_ANSWER, Disposition.BUSY, Disposition.REJECTED, Disposition.VOICEMAIL})
"""What comes of calls that nobody picks up although the phone rings, or might have."""

_NANP_AREA: Final = 5
"""Characters of an area code of North America with its +1."""


@dataclass(frozen=True, slots=True)
class CallerId:
    """How a number of ours stands."""

    number: str
    calls: int = 0  # of which it is known whether somebody picked up
    answered: int = 0
    recent: str = ""  # the last of them, the oldest first: "1" somebody picked up, "0" nobody did
    today: int = 0  # calls begun in its day
    tomorrow: datetime | None = None  # when that day ends
    last: datetime | None = None  # when it last called
    rest: datetime | None = None  # until when it rests
    ours: bool | None = None  # as the carrier says; None: it did not say yet

    @property
    def past(self) -> tuple[int, int]:
        """Its calls before the recent ones, and how many of them were answered."""
        return self.calls - len(self.recent), self.answered - self.recent.count("1")

    @property
    def answer_rate(self) -> float | None:
        """Of its recent calls, from 0 to 1."""
        return self.recent.count("1") / len(self.recent) if self.recent else None

    @property
    def past_rate(self) -> float | None:
        """Of the calls before."""
        calls, answered = self.past
        return answered / calls if calls > 0 else None

    def facts(self, limits: "CallerIdLimits", now: datetime) -> dict[str, Any]:
        """Return it as JSON facts: see docs/json.md."""
        free = free_at(self, limits, now)
        return {
            "number": self.number,
            "state": state_of(self, limits, now),
            "ours": self.ours,
            "calls_today": self.today,
            "answer_rate": self.answer_rate,
            "answer_rate_before": self.past_rate,
            "resting_until": self.rest.isoformat() if self.rest and self.rest > now else None,
            "may_call_at": free.isoformat() if free > now else None,
        }


class NumberState(StrEnum):
    """What keeps a number from calling now."""

    FREE = "free"  # nothing
    NOT_OURS = "not_ours"
    RESTS = "rests"  # it is sick
    DONE = "done"  # it has made its calls of the day
    COOLS = "cools"  # it has just called


@dataclass(frozen=True, slots=True)
class CallerIdLimits:
    """What every number has to keep to."""

    calls_per_day: int = 0  # of the number's own zone; 0: any
    cool_down: timedelta = timedelta(0)  # between two calls from one
    lines: int = 0  # calls at once; 0: as many as the account has lines


def picked_up(marks: frozenset[str]) -> bool | None:
    """Return whether a person picked up, by what an attempt is marked with; None if it never rang, or nobody knows."""
    if Mark.PERSON in marks:
        return True
    return False if marks & _RANG else None


def in_order(pool: Sequence[str], *, phone: str, contact_id: str, before: str = "") -> list[str]:
    """Return a campaign's caller IDs in the order in which they are to be tried for a contact.

    First the one that the contact has seen before: who rings back, or blocks us, knows one number. Then those of the
    number's own area code, then of its state (elsewhere: its country), then of its time zone, then the others; among equals,
    always in the same order for one contact, and in another for the next.
    """
    area, regions, zones = area_code(phone), set(regions_of(phone)), set(numbers.zones(phone))

    def rank(number: str) -> tuple[bool, bool, bool, bool, bytes]:
        elsewhere = regions.isdisjoint(regions_of(number))
        far = zones.isdisjoint(numbers.zones(number))
        own = hashlib.blake2b(f"{contact_id}:{number}".encode(), digest_size=8).digest()
        return number != before, not area or area_code(number) != area, elsewhere, far, own

    return sorted(dict.fromkeys(pool), key=rank)


def area_code(e164: str) -> str:
    """Return a North American number up to its area code; "" elsewhere, where mobile numbers have none."""
    return e164[:_NANP_AREA] if e164.startswith("+1") else ""


def day_zone(number: str) -> str:
    """Return the zone by which a number's day is reckoned: that of its area, UTC if it has several or none."""
    zones = numbers.zones(number)
    return zones[0] if len(zones) == 1 else "UTC"


def free_at(one: CallerId, limits: CallerIdLimits, now: datetime) -> datetime:
    """Return from when a number may call: `now` or later. Of one that is not ours, never soon: in an hour we ask again."""
    times = [now]
    if one.ours is False:
        times.append(now + ASK_EVERY)
    if one.rest:
        times.append(one.rest)
    if limits.calls_per_day and one.today >= limits.calls_per_day and one.tomorrow:
        times.append(one.tomorrow)
    if one.last:
        times.append(one.last + limits.cool_down)
    return max(times)


def state_of(one: CallerId, limits: CallerIdLimits, now: datetime) -> NumberState:
    """Say what keeps a number from calling at `now`: the longest-lasting first."""
    if one.ours is False:
        return NumberState.NOT_OURS
    if one.rest and one.rest > now:
        return NumberState.RESTS
    if limits.calls_per_day and one.today >= limits.calls_per_day:
        return NumberState.DONE
    return NumberState.COOLS if free_at(one, limits, now) > now else NumberState.FREE


def room(pool: Iterable[CallerId], limits: CallerIdLimits, now: datetime, *, within: timedelta) -> int | None:
    """Return how many calls these numbers may place until `within` from now; None: any number."""
    free = [one for one in pool if free_at(one, limits, now) <= now + within]
    if free and not limits.calls_per_day and not limits.cool_down:
        return None
    left = (limits.calls_per_day - one.today if limits.calls_per_day else 1 for one in free)
    return sum(1 if limits.cool_down else each for each in left)


def is_sick(one: CallerId) -> bool:
    """Decide whether a number is answered so much less than before that it must be marked as spam somewhere."""
    (past, past_answered), recent = one.past, len(one.recent)
    if recent < LEAST_RECENT or past < LEAST_PAST:
        return False
    now_answered = one.recent.count("1")
    together = (past_answered + now_answered) / (past + recent)
    deviation = math.sqrt(together * (1 - together) * (1 / past + 1 / recent))
    drop = past_answered / past - now_answered / recent
    return drop > _SURELY * deviation and now_answered / recent < _MARKEDLY * past_answered / past
