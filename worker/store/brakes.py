"""The brakes in the record: what was counted for each campaign, and which brake has paused it."""

import json
from datetime import datetime, timedelta

from campaigns.campaign import Campaign
from worker.rules import brakes
from worker.rules.brakes import Counted, Ended, Mark, Stop
from worker.rules.hours import day_of
from worker.store.base import NounStore
from worker.store.keys import Subject, key
from worker.store.scripts import PULL_BRAKE
from worker.store.times import ms


class BrakeStore(NounStore):
    """What is kept about the brakes of campaigns."""

    def counted(self, campaign: Campaign, now: datetime) -> Counted:
        """Return what was counted for a campaign, in one round trip whose cost does not grow with the campaign."""
        name, today = campaign.name, day_of(campaign.day_zone, now)[0]
        month = now - brakes.PERIOD
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(key("brakes", name))
            pipe.hgetall(key("totals", name))
            pipe.zrange(key("window", name), 0, -1)
            pipe.hgetall(key("people", name))
            pipe.zrangebyscore(key("abandoned", name), ms(month), "+inf")
            pipe.zcard(key("live", name))
            kept, totals, window, people, abandoned, live = pipe.execute()
        seen = {field: int(value) for field, value in kept.items() if value.isdecimal()}
        totals = {mark: int(count) for mark, count in totals.items()}
        endings = (member.partition(" ") for member in window)
        first_day = ms(month) // ms(timedelta(days=1))
        return Counted(
            begun=seen.get("begun", 0),
            approved="approved" in kept,
            live=live,
            totals=totals,
            recent=[Ended(attempt_id, brakes.read_marks(marks)) for marks, _, attempt_id in endings],
            people=sum(int(count) for day, count in people.items() if int(day) >= first_day),
            abandoned=abandoned,
            people_since=totals.get(Mark.PERSON, 0) - seen.get("people", 0),
            abandoned_since=totals.get(Mark.ABANDONED, 0) - seen.get("abandoned", 0),
            today=seen.get("today", 0) if seen.get("day") == ms(today) else 0,
        )

    def pull(self, name: str, stop: Stop) -> bool:
        """Pause a campaign because its brakes say so; False if it was no longer running."""
        attempts = json.dumps(stop.attempts)
        return bool(self._run(PULL_BRAKE, Subject(campaign=name), rule=stop.rule, why=stop.why, attempts=attempts))

    def holding(self, name: str) -> tuple[str, list[str]]:
        """Return the brake that holds a campaign, and the attempts that made it stop; "" if no brake does."""
        kept: list[str | None] = self._redis.hmget(key("brakes", name), "held", "attempts")  # type: ignore[assignment]
        return kept[0] or "", json.loads(kept[1] or "[]")
