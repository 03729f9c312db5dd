"""Caller IDs: in which order a campaign's numbers are tried for a contact, and how each number is doing.

The limits that several workers could break together (calls of the day, the cool-down, the lines of a number) are enforced where
a dial begins, in begin.lua.
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
"""By how many of its last calls a number's health is judged (conclude.lua keeps as many)."""

LEAST_RECENT: Final = 50
LEAST_PAST: Final = 200
"""How many recent and earlier calls a number must have: with fewer, a bad rate may be chance."""

_SURELY: Final = 3.0
"""How many standard deviations below its past rate a sick number is: one number in 700 falls so low by chance."""

_MARKEDLY: Final = 0.7
"""At which part of its past answer rate a number may be sick. With many calls even a small drop is certain, and may be no more
than the difference between mornings and evenings."""

REST: Final = timedelta(days=1)
"""How long a sick number is not used."""

ASK_EVERY: Final = timedelta(hours=1)
"""How often the carrier is asked which numbers are ours."""

ASK_OF_NEW_EVERY: Final = timedelta(minutes=1)
"""How often it is asked while it has not yet said anything about one of our numbers."""

_RANG: Final = frozenset({Disposition.NO_ANSWER, Disposition.BUSY, Disposition.REJECTED, Disposition.VOICEMAIL})
"""How a call ends that nobody picked up although the phone rang, or may have rung."""

_NANP_AREA: Final = 5
"""How many characters a North American area code has, with its +1."""


@dataclass(frozen=True, slots=True)
class CallerId:
    """One of our numbers, and how it is doing."""

    number: str
    calls: int = 0  # the calls about which it is known whether a person picked up
    answered: int = 0  # how many of these a person picked up
    recent: str = ""  # the last RECENT of these, the oldest first: "1" a person picked up, "0" nobody did
    today: int = 0  # calls begun in the number's day
    tomorrow: datetime | None = None  # when that day ends
    last: datetime | None = None  # when its last call began
    rest: datetime | None = None  # until when it rests
    ours: bool | None = None  # what the carrier says; None: it has not said yet

    @property
    def past(self) -> tuple[int, int]:
        """How many calls it made before the recent ones, and how many of those were answered."""
        return self.calls - len(self.recent), self.answered - self.recent.count("1")

    @property
    def answer_rate(self) -> float | None:
        """The share of its recent calls that were answered, from 0 to 1; None without any."""
        return self.recent.count("1") / len(self.recent) if self.recent else None

    @property
    def past_rate(self) -> float | None:
        """The share of the calls before the recent ones that were answered; None without any."""
        calls, answered = self.past
        return answered / calls if calls > 0 else None

    def facts(self, limits: "CallerIdLimits", now: datetime) -> dict[str, Any]:
        """Return the number as JSON facts: see docs/json.md."""
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

    FREE = "free"  # nothing does
    NOT_OURS = "not_ours"  # the carrier says that it is not ours
    RESTS = "rests"  # it is sick
    DONE = "done"  # it has made its calls of the day
    COOLS = "cools"  # its last call began too short a time ago


@dataclass(frozen=True, slots=True)
class CallerIdLimits:
    """The limits that each of our numbers keeps."""

    calls_per_day: int = 0  # in the number's own zone; 0: any number of calls
    cool_down: timedelta = timedelta(0)  # the least time between the beginnings of two calls from one number
    lines: int = 0  # calls at once from one number; 0: as many as the account has lines


def picked_up(marks: frozenset[str]) -> bool | None:
    """Return whether a person picked up, by an attempt's marks; None if no phone rang, or if nobody knows."""
    if Mark.PERSON in marks:
        return True
    return False if marks & _RANG else None


def in_order(pool: Sequence[str], *, phone: str, contact_id: str, before: str = "") -> list[str]:
    """Return a campaign's caller IDs in the order in which they are to be tried for a contact.

    First the one that the contact was called from before (`before`): a person who rings back, or blocks us, knows one number.
    Then those of the contact's own area code, then of its state (outside North America: its country), then of its time zone,
    then the others. Equals have an order that is always the same for one contact and differs between contacts.
    """
    area, regions, zones = area_code(phone), set(regions_of(phone)), set(numbers.zones(phone))

    def rank(number: str) -> tuple[bool, bool, bool, bool, bytes]:
        elsewhere = regions.isdisjoint(regions_of(number))
        far = zones.isdisjoint(numbers.zones(number))
        own = hashlib.blake2b(f"{contact_id}:{number}".encode(), digest_size=8).digest()
        return number != before, not area or area_code(number) != area, elsewhere, far, own

    return sorted(dict.fromkeys(pool), key=rank)


def area_code(e164: str) -> str:
    """Return a North American number up to the end of its area code, else "": elsewhere mobile numbers have none."""
    return e164[:_NANP_AREA] if e164.startswith("+1") else ""


def day_zone(number: str) -> str:
    """Return the zone whose midnight begins a number's day: that of its area, or UTC if the area has several or none."""
    zones = numbers.zones(number)
    return zones[0] if len(zones) == 1 else "UTC"


def free_at(one: CallerId, limits: CallerIdLimits, now: datetime) -> datetime:
    """Return from when a number may call: `now` or later.

    A number that is not ours may not call before the carrier is asked again, in an hour.
    """
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
    """Return what keeps a number from calling at `now`; where several reasons do, the one that lasts longest."""
    if one.ours is False:
        return NumberState.NOT_OURS
    if one.rest and one.rest > now:
        return NumberState.RESTS
    if limits.calls_per_day and one.today >= limits.calls_per_day:
        return NumberState.DONE
    return NumberState.COOLS if free_at(one, limits, now) > now else NumberState.FREE


def room(pool: Iterable[CallerId], limits: CallerIdLimits, now: datetime, *, within: timedelta) -> int | None:
    """Return how many calls these numbers may begin from now until `within` has passed; None: any number."""
    free = [one for one in pool if free_at(one, limits, now) <= now + within]
    if free and not limits.calls_per_day and not limits.cool_down:
        return None
    left = (limits.calls_per_day - one.today if limits.calls_per_day else 1 for one in free)
    return sum(1 if limits.cool_down else each for each in left)


def is_sick(one: CallerId) -> bool:
    """Decide whether a number is answered so much less than before that it is probably marked as spam somewhere."""
    (past, past_answered), recent = one.past, len(one.recent)
    if recent < LEAST_RECENT or past < LEAST_PAST:
        return False
    now_answered = one.recent.count("1")
    together = (past_answered + now_answered) / (past + recent)
    deviation = math.sqrt(together * (1 - together) * (1 / past + 1 / recent))
    drop = past_answered / past - now_answered / recent
    return drop > _SURELY * deviation and now_answered / recent < _MARKEDLY * past_answered / past
