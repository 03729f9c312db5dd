"""How full the lines are: calls of half a minute or so, and always somebody who waits."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.result import Result, Row
from bench.rig import HeldTalk, Rig, enlist, open_campaign, until, until_dials
from campaigns.campaign import Pacing

BUSY: Final = 0.97
"""The least share of the time for which a line is to be busy."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of the account, and for how long they are watched once all were busy."""

    lines: int
    watch_s: int


async def lines(folder: Path, size: Lines) -> Result:
    """Make calls of 20 to 60 s, on so many lines; somebody always waits."""
    pacing = Pacing(calls_per_second=100, lines=10_000)
    settings = {"LINES": str(size.lines), "CALLS_PER_SECOND": "20"}
    crowd = {"answer-rate": "0.8", "rings-s": "2 8"}
    with Rig(folder, settings=settings, exchange=crowd, agent={"talk-s": "13 46"}) as rig:
        enlist(rig.store, open_campaign("lines", pacing=pacing), size.lines * (size.watch_s // 20 + 5), first=0)
        until_dials(size.lines, rig)
        until(size.watch_s, rig)
        waiting, now = rig.store.reading.status("lines").due, time.time()
        talks = [talk for talk in rig.talks() if talk.dialed_at < now]
    since = full_since(talks, size.lines)
    if since is None or not waiting:
        return Result(
            "lines", passed=False, verdict=f"never were all {size.lines} lines busy while people waited", rows=[]
        )
    busy, most = occupied(talks, since, now), most_at_once(talks)
    share = busy / size.lines
    ended = [talk.ended_at - talk.dialed_at for talk in talks if talk.ended_at]
    row: Row = {
        "lines": size.lines,
        "watched_s": round(now - since),
        "calls_ended": len(ended),
        "mean_call_s": round(sum(ended) / len(ended), 1) if ended else None,
        "busy_share": round(share, 4),
        "most_at_once": most,
        "waiting_at_the_end": waiting,
    }
    verdict = f"lines busy {share:.1%} of the time (at least {BUSY:.0%}), {most} at once (at most {size.lines})"
    return Result("lines", share >= BUSY and most <= size.lines, verdict, [row])


def steps(talks: Sequence[HeldTalk]) -> list[tuple[float, int]]:
    """Return the moments at which a call begins (+1) or ends (-1), in order; at one moment, ends come first."""
    found = [(talk.dialed_at, 1) for talk in talks] + [(talk.ended_at, -1) for talk in talks if talk.ended_at]
    return sorted(found)


def most_at_once(talks: Sequence[HeldTalk]) -> int:
    """Return how many calls there were at once at the most."""
    now = most = 0
    for _, step in steps(talks):
        now += step
        most = max(most, now)
    return most


def full_since(talks: Sequence[HeldTalk], lines: int) -> float | None:
    """Return when so many calls were up for the first time."""
    now = 0
    for at, step in steps(talks):
        now += step
        if now >= lines:
            return at
    return None


def occupied(talks: Sequence[HeldTalk], since: float, until_: float) -> float:
    """Return how many calls were up on average."""
    total = sum(
        max(0.0, min(talk.ended_at or until_, until_) - max(talk.dialed_at, since)) for talk in talks
    )  # fmt: skip
    return total / (until_ - since)
