"""The pace: which attempts are claimed, when their dials may leave, and how many warm bots there are to talk."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from worker.machine import stopwatch
from worker.machine.clock import Clock
from worker.rules import policy
from worker.store.base import Database, NounStore
from worker.store.campaigns import CampaignStore
from worker.store.keys import due_key, key
from worker.store.times import moment, ms
from worker.store.values import Bid, ClaimLimits, Departures, Occupied

SPARE: Final = 0.016
"""Share by which departures are farther apart than the pace asks. It makes room for dials that were held up."""

CATCH_UP: Final = timedelta(milliseconds=250)
"""How long after its time a departure that no dial took can still be taken: about the time between two claims."""

APART: Final = timedelta(milliseconds=10)
"""Minimum extra gap between a dial and the N-th dial before it, N being the dials of a second. It absorbs jitter on the way to
the carrier: see docs/decisions/0010."""

LONGEST_WAIT: Final = timedelta(milliseconds=100)
"""How long before its departure an attempt may be begun. A pause or an opt-out that comes after that comes too late for it."""

LATE: Final = timedelta(milliseconds=250)
"""How late a dial may be for its departure and still leave. The dials after it wait so much longer, because its witness reports
the delay before the N-th of them begins. A dial that is later than this asks for another departure."""

LONGEST_INBOUND: Final = timedelta(minutes=20)
"""How long a call to us holds a line if nobody tells us that it is over."""

_COUNT_KEPT: Final = timedelta(minutes=10)
"""How long a count of warm bots is kept. By then it has no weight left: claim.lua halves its weight every 30 seconds."""

_MS: Final = timedelta(milliseconds=1)


class PaceStore(NounStore):
    """What is kept about lines, departures and warm bots."""

    def __init__(self, database: Database, campaigns: CampaignStore) -> None:
        super().__init__(database)
        self._campaigns = campaigns

    def claim(self, bids: Sequence[Bid], limits: ClaimLimits) -> dict[str, list[str]]:
        """Claim due attempts for all lines and bots that are free, in fair shares; return their ids by campaign."""
        keys = [key(kind) for kind in ("lines", "inbound", "used", "watch", "warm", "slow", "pace", "shares")]
        args: list[float | str] = [
            limits.lines,
            limits.lines_for_inbound,
            ms(LONGEST_INBOUND),
            -1 if limits.warm_bots is None else limits.warm_bots,
            ms(limits.bot_rest),
            ms(policy.BOT_WITHIN),
            policy.LUCK,
            1000 / limits.calls_per_second,
            ms(limits.ahead),
            ms(limits.lease),
            limits.slow_to,
        ]
        for bid in bids:
            campaign = bid.campaign
            kinds = ("campaign", "lines", "queued", "live", "pace", "talking", "awaiting", "odds")
            keys += [key(kind, campaign.name) for kind in kinds]
            keys += [due_key(campaign.name, number) for number in bid.open_places]
            pacing = campaign.pacing
            args += [campaign.name, len(bid.open_places), bid.lines, 1000 / pacing.calls_per_second, pacing.weight]
            args += [bid.answer_rate, -1 if bid.most is None else bid.most]
        taken = self._run("claim", keys, args)
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
        keys = [key("pace"), key("pace", campaign), key("slow")]
        args = [(1 + SPARE) * (interval / _MS) for interval in (account_interval, campaign_interval)]
        args += [count, ms(farthest), ms(CATCH_UP)]
        asked_at = stopwatch.monotonic()
        now, *given = self._run("turn", keys, args)
        clock = Clock(moment(now), asked_at, stopwatch.monotonic())
        after = next((moment(-at) for at in given if at < 0), None)
        return Departures(clock, [moment(at) for at in given if at > 0], after)

    def count_warm_bots(self, idle: int, at: datetime) -> None:
        """Keep how many bots were idle at a moment. As the count grows old, claims rely on the setting instead."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key("warm"), mapping={"idle": idle, "at": ms(at)})
            pipe.pexpire(key("warm"), ms(_COUNT_KEPT))
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
