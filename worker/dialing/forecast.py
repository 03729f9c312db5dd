"""Estimates what a campaign will take: when it ends, how many bots it needs, what it costs. Pure.

Contacts are treated as a flow, not one by one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from campaigns.places import Place
from worker.rules import hours

BOT_READY: Final = timedelta(seconds=30)
"""How long Pipecat Cloud takes to warm up a bot in the place of one that was used.

So at any moment as many bots must be warm as calls are answered within this time.
"""

_HORIZON: Final = timedelta(days=60)
_STEPS: Final = 200
"""Steps into which the time of the dials is divided: enough for a forecast, and few enough to take no time."""

_RING_S: Final = 12.0
"""Seconds for which a phone rings before somebody answers: about two rings."""

_NOBODY: Final = 0.5
"""Less than half a contact counts as none, because a flow never ends exactly."""


@dataclass(frozen=True, slots=True)
class Means:
    """What there is to ring with, and how people are expected to answer."""

    calls_per_second: float
    lines: int
    warm_bots: int
    answer_rate: float  # share of the dials that are answered, by people or machines
    talk_s: float

    def dials_per_second(self, ring_timeout_s: float) -> float:
        """The pace that the pacing, the lines and the warm bots allow together."""
        held_s = self.answer_rate * (_RING_S + self.talk_s) + (1 - self.answer_rate) * ring_timeout_s
        by_bots = self.warm_bots / (self.answer_rate * BOT_READY.total_seconds()) if self.answer_rate else math.inf
        return min(self.calls_per_second, self.lines / held_s, by_bots)

    @property
    def bots_needed(self) -> int:
        """How many bots must be warm: as many as calls are answered while a bot is replaced, at most the lines."""
        return min(self.lines, max(1, math.ceil(self.calls_per_second * BOT_READY.total_seconds() * self.answer_rate)))


@dataclass(frozen=True, slots=True)
class Course:
    """How a campaign will run."""

    dials: int
    answers: int
    finish: datetime | None  # None: not within the horizon


def run(campaign: Campaign, contacts: Mapping[Place, int], means: Means, now: datetime) -> Course:
    """Follow the flow of contacts through windows, pace and retries.

    Every call that is not answered counts as no answer.
    """
    pace = means.dials_per_second(campaign.call.ring_timeout_s)
    waiting = {(place, 1, now): float(count) for place, count in contacts.items() if count}  # place, attempt, due
    step = timedelta(seconds=min(1800.0, max(60.0, sum(waiting.values()) / pace / _STEPS)))
    at, dials, last = now, 0.0, now
    while waiting and at < now + _HORIZON:
        open_places = set(hours.open_places(campaign, {place for place, _, _ in waiting}, at))
        ready = [key for key in sorted(waiting, key=lambda key: key[2]) if key[2] <= at and key[0] in open_places]
        if not ready:
            openings = {hours.next_opening(campaign, place, max(due, at)) for place, _, due in waiting}
            at = max(at + timedelta(seconds=1), min((one for one in openings if one), default=now + _HORIZON))
            continue
        room = pace * step.total_seconds()
        for place, attempt, due in ready:
            rung = min(room, waiting[place, attempt, due])
            room -= rung
            dials += rung
            _take(waiting, (place, attempt, due), rung)
            last = at
            delay = campaign.retry.delay_after(Disposition.NO_ANSWER, attempt)
            unanswered = rung * (1 - means.answer_rate)
            if delay and attempt < campaign.retry.max_attempts:
                again = (place, attempt + 1, at + max(delay, step))
                waiting[again] = waiting.get(again, 0.0) + unanswered
            if room <= 0:
                break
        at += step
    answers = dials * means.answer_rate
    over = timedelta(seconds=campaign.call.ring_timeout_s + means.talk_s)
    stuck = sum(waiting.values()) > _NOBODY
    return Course(round(dials), round(answers), None if stuck else last + step + over)


def _take(waiting: dict[tuple[Place, int, datetime], float], key: tuple[Place, int, datetime], count: float) -> None:
    waiting[key] -= count
    if waiting[key] <= _NOBODY / 100:
        del waiting[key]
