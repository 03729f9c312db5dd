"""The pace: which attempts are claimed, when their dials may leave, and how many warm bots there are to talk."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from worker.rules.timing import COUNT_KEPT, LONGEST_INBOUND, SPARE
from worker.store.base import Database, NounStore
from worker.store.campaigns import CampaignStore
from worker.store.keys import Subject, due_key, key, keys_of
from worker.store.scripts import CLAIM, DEPARTURES
from worker.store.times import moment, ms
from worker.store.values import Bid, ClaimLimits, Clock, Departures, Occupied

_MS: Final = timedelta(milliseconds=1)
_SECOND_MS: Final = 1000


class PaceStore(NounStore):
    """What is kept about lines, departures and warm bots."""

    def __init__(self, database: Database, campaigns: CampaignStore) -> None:
        super().__init__(database)
        self._campaigns = campaigns

    def claim(self, bids: Sequence[Bid], limits: ClaimLimits) -> dict[str, list[str]]:
        """Claim due attempts for all lines and bots that are free, in fair shares; return their ids by campaign."""
        keys, args = list[str](), list[Any]()
        for bid in bids:
            name, pacing = bid.campaign.name, bid.campaign.pacing
            keys += keys_of(CLAIM.more_keys, Subject(campaign=name))
            keys += [due_key(name, number) for number in bid.open_places]
            args += CLAIM.more_ordered(
                name=name,
                open_places=len(bid.open_places),
                most_campaign_lines=bid.lines,
                campaign_interval_ms=_SECOND_MS / pacing.calls_per_second,
                weight=pacing.weight,
                answer_rate=bid.answer_rate,
                most_queued=-1 if bid.most is None else bid.most,
            )
        taken = self._run(
            CLAIM,
            most_lines=limits.lines,
            lines_for_inbound=limits.lines_for_inbound,
            warm_bots=-1 if limits.warm_bots is None else limits.warm_bots,
            bot_rest_ms=ms(limits.bot_rest),
            interval_ms=_SECOND_MS / limits.calls_per_second,
            ahead_ms=ms(limits.ahead),
            lease_ms=ms(limits.lease),
            slow_to=limits.slow_to,
            more_keys=keys,
            more_args=args,
        )
        return {bid.campaign.name: ids for bid, ids in zip(bids, taken, strict=True) if ids}

    def departures(
        self,
        campaign: str,
        count: int,
        *,
        account_interval: timedelta,
        campaign_interval: timedelta,
        farthest: timedelta,
    ) -> Departures:
        """Take departures for `count` dials of a campaign, none farther away than `farthest`.

        The intervals are the times between two dials that the pace of the account and of the campaign ask for.
        """
        asked_at = self._database.monotonic()
        now, *given = self._run(
            DEPARTURES,
            Subject(campaign=campaign),
            interval_ms=(1 + SPARE) * (account_interval / _MS),
            campaign_interval_ms=(1 + SPARE) * (campaign_interval / _MS),
            count=count,
            farthest_ms=ms(farthest),
        )
        clock = Clock(moment(now), asked_at, self._database.monotonic())
        after = next((moment(-at) for at in given if at < 0), None)
        return Departures(clock, [moment(at) for at in given if at > 0], after)

    def count_warm_bots(self, idle: int, at: datetime) -> None:
        """Keep how many bots were idle at a moment. As the count grows old, claims rely on the setting instead."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key("warm"), mapping={"idle": idle, "at": ms(at)})
            pipe.pexpire(key("warm"), ms(COUNT_KEPT))
            pipe.execute()

    def occupied(self, bot_rest: timedelta) -> Occupied:
        """Return the lines and bots that all calls hold; a bot is warm again `bot_rest` after its call."""
        names, now_ms = self._campaigns.names(), ms(self._database.now())
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zcount(key("lines"), f"({now_ms}", "+inf")
            pipe.zcount(key("inbound"), f"({now_ms - ms(LONGEST_INBOUND)}", "+inf")
            pipe.zcount(key("used"), f"({now_ms - ms(bot_rest)}", "+inf")
            pipe.hmget(key("warm"), "idle", "at")
            for name in names:
                pipe.zcard(key("talking", name))
            lines, inbound, cooling, count, *talking = pipe.execute()
        return Occupied(
            lines=lines,
            inbound=inbound,
            ringing=max(0, lines - sum(talking)),
            cooling=cooling,
            idle=None if count[0] is None else int(count[0]),
            counted_at=moment(count[1]) if count[1] else None,
        )
