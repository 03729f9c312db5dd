"""How exactly the pace is kept, at the carrier: never too many in any second, and hardly fewer than there might be."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.analysis import percentile
from bench.dialstage import DialStage
from bench.result import Result, Row

TARGETS: Final = (1, 5, 30, 100)
"""Dials a second. 30 is what Telnyx allows an account at first, as 150 in five seconds."""

REACHED: Final = 0.98
"""The least share of the target, while people wait."""

_WORKERS: Final = 4
_BEATS: Final = 2
_SETTLE_S: Final = 8.0
_WIDE_S: Final = 5.0
_QUIET_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Pace:
    """For how long each target is watched."""

    pace_s: int


async def pace(folder: Path, size: Pace) -> Result:
    """Let four workers and two beats compete for each target, with more people than can be rung in the time."""
    rows = [await asyncio.to_thread(_keep, folder / str(target), target, size.pace_s) for target in TARGETS]
    kept = all(row["busiest_second"] <= row["target"] and row["busiest_5_s"] <= 5 * row["target"] for row in rows)
    least = min(row["share"] for row in rows)
    above = "never above it in any second or five" if kept else "ABOVE IT: see the table"
    verdict = f"{above}; {least:.1%} of the target where it is least (at least {REACHED:.0%})"
    return Result("pace", kept and least >= REACHED, verdict, [_shown(row) for row in rows])


def _keep(folder: Path, target: int, watch_s: float) -> dict[str, float]:
    people = int(target * (watch_s + 3 * _SETTLE_S)) + 10
    with DialStage(folder, rate=target, lines=10_000, workers=_WORKERS, beats=_BEATS) as stage:
        campaign = stage.enlist(people, rate=1000, lines=10_000)
        stage.start_dialer()
        stage.go(campaign)
        while not stage.arrivals():
            stage.check()
            time.sleep(0.2)
        time.sleep(_SETTLE_S + watch_s)
        waiting = stage.store.reading.status(campaign.name).due
        stage.pause(campaign)
        time.sleep(_QUIET_S)  # whoever has to tell of thousands of dials notes none meanwhile
        arrivals = [dial.at for dial in stage.arrivals()]
    since = arrivals[-1] - watch_s
    watched = [at for at in arrivals if at >= since]
    tight = sorted(1000 * (gap - 1) for gap in spans(watched, target))
    return {
        "target": target,
        "dials": len(watched),
        "share": (len(watched) - 1) / (watched[-1] - watched[0]) / target,
        # All of them, from the first dial on: a start that is too quick is one, too.
        "busiest_second": busiest(arrivals, 1.0),
        "busiest_5_s": busiest(arrivals, _WIDE_S),
        "spare_ms_least": tight[0],
        "spare_ms_median": percentile(tight, 50),
        "still_waiting": waiting,
    }


def _shown(row: dict[str, float]) -> Row:
    return row | {
        name: round(row[name], 4 if name == "share" else 1) for name in ("share", "spare_ms_least", "spare_ms_median")
    }


def busiest(moments: Sequence[float], window_s: float) -> int:
    """Return how many moments the fullest window holds. What is exactly one window apart is not in one."""
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
