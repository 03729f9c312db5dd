"""How exactly the pace is kept, at the carrier: never too many dials in any second, and hardly fewer than allowed."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.analysis import percentile
from bench.dialstage import Arrival, DialStage
from bench.result import Result, Row

TARGETS: Final = (1, 5, 30, 100)
"""Dials a second. 30 is what Telnyx allows an account at first, as 150 in five seconds."""

OF_A_BARE_PACER: Final = 0.9
"""The least part of what a bare pacer reaches that does nothing else, in the same time on the same machine."""

SPARE: Final = 0.016
"""By how much more than a second the dialer keeps a dial and the N-th before it apart; the bare pacer does the same."""

_WORKERS: Final = 4
_BEATS: Final = 2
_SETTLE_S: Final = 8.0
_WIDE_S: Final = 5.0
_QUIET_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """For how many seconds each target is watched."""

    pace_s: int


async def pace(folder: Path, size: Pace) -> Result:
    """Let four workers and two beats compete for each target, with more people than can be rung in the time."""
    rows = [await asyncio.to_thread(_keep, folder / str(target), target, size.pace_s) for target in TARGETS]
    kept = not any(row["above"] for row in rows)
    least, of_bare = (min(row[name] for row in rows) for name in ("share", "of_a_bare_pacer"))
    above = "never above it in any second or five" if kept else "ABOVE IT: see the table"
    verdict = (
        f"{above}; {least:.1%} of the target where it is least, and {of_bare:.1%} of what a bare pacer reaches beside it (at "
        f"least {OF_A_BARE_PACER:.0%})"
    )
    return Result("pace", kept and of_bare >= OF_A_BARE_PACER, verdict, [_shown(row) for row in rows])


def _keep(folder: Path, target: int, watch_s: float) -> dict[str, float]:
    people = int(target * (watch_s + 3 * _SETTLE_S)) + 10
    with DialStage(folder, rate=target, lines=10_000, workers=_WORKERS, beats=_BEATS) as stage:
        campaign = stage.enlist(people, rate=1000, lines=10_000)
        stage.start_dialer()
        stage.go(campaign)
        while not stage.arrivals():
            stage.check()
            time.sleep(0.2)
        time.sleep(_SETTLE_S)
        bare = pace_barely(target, watch_s)
        waiting = stage.store.reading.status(campaign.name).due
        stage.pause(campaign)
        time.sleep(_QUIET_S)  # while the carrier tells of thousands of dials, it notes none
        dials = stage.arrivals()
    arrivals = [dial.at for dial in dials]
    since = arrivals[-1] - watch_s
    watched = [at for at in arrivals if at >= since]
    tight = sorted(1000 * (gap - 1) for gap in spans(watched, target))
    share = rate(watched) / target
    return {
        "target": target,
        "dials": len(watched),
        "share": share,
        "of_a_bare_pacer": share / (rate(bare) / target),
        # All of them, from the first dial on: a start must not be too quick either.
        "above": above(dials, target, 1.0) + above(dials, 5 * target, _WIDE_S),
        "busiest_second": busiest(arrivals, 1.0),
        "busiest_5_s": busiest(arrivals, _WIDE_S),
        "spare_ms_least": tight[0],
        "spare_ms_median": percentile(tight, 50),
        "still_waiting": waiting,
    }


def _shown(row: dict[str, float]) -> Row:
    return row | {
        name: round(row[name], digits)
        for name, digits in (("share", 4), ("of_a_bare_pacer", 4), ("spare_ms_least", 1), ("spare_ms_median", 1))
    }


def rate(moments: Sequence[float]) -> float:
    """Return how many there are a second."""
    return (len(moments) - 1) / (moments[-1] - moments[0])


def pace_barely(target: int, seconds: float) -> list[float]:
    """Do what a pacer must, and nothing else: sleep until the next may leave, by the dialer's rule. Returns when each left."""
    apart = 1 + SPARE
    left = [time.monotonic()]
    planned = left[0]
    while left[-1] < left[0] + seconds:
        planned = max(planned + apart / target, left[-target] + apart if len(left) >= target else 0.0)
        time.sleep(max(0.0, planned - time.monotonic()))
        left.append(time.monotonic())
    return left


def above(dials: Sequence[Arrival], most: int, window_s: float) -> int:
    """Count the dials that surely came too soon after the one so many before them.

    The carrier saw a dial at `at`, but if it stood still, the dial may have been there since `since`. A dial that may have
    kept its distance is not counted.
    """
    return sum(later.at - earlier.since < window_s for earlier, later in zip(dials, dials[most:], strict=False))


def busiest(moments: Sequence[float], window_s: float) -> int:
    """Return how many moments the fullest window holds. Moments that are exactly one window apart are not in one."""
    ordered = sorted(moments)
    first = most = 0
    for count, at in enumerate(ordered, 1):
        while ordered[first] <= at - window_s:
            first += 1
        most = max(most, count - first)
    return most


def spans(moments: Sequence[float], apart: int) -> list[float]:
    """Return the time from each moment to the one so many after it."""
    ordered = sorted(moments)
    return [later - earlier for earlier, later in zip(ordered, ordered[apart:], strict=False)]
