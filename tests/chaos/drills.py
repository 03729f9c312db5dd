"""The drills: one calamity at a time. The time that each costs is measured by the telephone network's records."""

import csv
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from .auditor import AuditVerdict, read_records
from .cast import QUIET, Cast, assemble
from .run import enqueue, finish, left
from .stage import ROOT, ChaosStage

RATE: Final = 5.0
HUNG_S: Final = 30.0
PATIENCE_S: Final = 600.0
"""No verdict hangs on this: it ends what would never end."""

RECOVERY_S: Final = 10.0
GAP_S: Final = 5.0
PACE_BACK_S: Final = 30.0
"""The longest times that are allowed on a machine of usual speed. On a slower one they grow by `Drills.slowness`."""

_WATCHED_S: Final = 5.0
"""The pace is the number of dials in this time."""

_USUAL_START_S: Final = 1.0
"""How long a machine of usual speed needs to start Python and import what a worker imports: the bulk of a restart."""


@dataclass
class Drills:
    """What was measured, in seconds, and what was found."""

    slowness: float = 1.0  # how many times longer than usual a start of a process took, at worst

    after_worker_killed_s: list[float] = field(default_factory=list)
    after_redis_killed_s: list[float] = field(default_factory=list)
    after_redis_away_s: list[float] = field(default_factory=list)
    longest_gap_while_a_reply_hung_s: float = 0.0
    storm_s: float = 0.0
    dials_in_the_storm: int = 0
    pace_back_after_s: float = 0.0
    spent: list[str] = field(default_factory=list)
    paused: dict[str, str] = field(default_factory=dict)
    without_callbacks: Counter[str] = field(default_factory=Counter)
    verdict: AuditVerdict = field(default_factory=AuditVerdict)

    @property
    def problems(self) -> list[str]:
        """Return a sentence for each promise that was not kept."""
        found = self.verdict.sentences() + self.spent
        waits = [*self.after_worker_killed_s, *self.after_redis_killed_s, *self.after_redis_away_s]
        found += [f"the next dial left {s:.1f} s after a restart" for s in waits if s > RECOVERY_S * self.slowness]
        if self.longest_gap_while_a_reply_hung_s > GAP_S * self.slowness:
            found.append(f"one hung reply held up the others for {self.longest_gap_while_a_reply_hung_s:.1f} s")
        found += [
            f"the account was blocked by {kind}, and nothing was paused" for kind, why in self.paused.items() if not why
        ]
        if self.pace_back_after_s > PACE_BACK_S * self.slowness:
            found.append(f"the pace was back {self.pace_back_after_s:.1f} s after the storm")
        return found


def drill(folder: Path, *, away_s: float, storm_s: float, times: int, show: Callable[[str], None]) -> Drills:
    """Run all drills on one stage."""
    filler = assemble(
        folder / "filler", 4000, rate=RATE, lines=500, talkers=0, seed=2, kinds={"rejects": 1}, one_campaign=True,
        opens_in_s=3600,
    )  # fmt: skip
    silent = assemble(
        folder / "silent", 60, rate=1.0, lines=20, talkers=0.4, seed=3, one_campaign=True, opens_in_s=3600,
        kinds=QUIET,
    )  # fmt: skip
    silent = _renamed(silent, "silent")
    town = folder / "people.csv"
    town.write_text(silent.people.read_text("utf-8") + filler.people.read_text("utf-8").partition("\n")[2], "utf-8")
    done = Drills(storm_s=storm_s)
    with ChaosStage(folder, town, rate=RATE + 1, lines=600) as stage:
        enqueue(stage, filler)
        _next_dial(stage, time.time())
        show("killing the worker, and Redis")
        for _ in range(times):
            done.after_worker_killed_s.append(_after(stage, done, lambda: stage.kill("worker")))
            done.after_redis_killed_s.append(_after(stage, done, lambda: stage.kill("redis")))
        show(f"taking Redis away for {away_s:.0f} s")
        done.after_redis_away_s.append(_after(stage, done, lambda: _away(stage, away_s)))
        stage.faults(callbacks={"drop": 1.0})
        enqueue(stage, silent)
        show("no callback comes any more; one reply of the carrier's hangs")
        done.longest_gap_while_a_reply_hung_s = _hung(stage)
        done.slowness = max(done.slowness, slowness())
        show(f"429 to every dial for {storm_s:.0f} s")
        _storm(stage, done)
        show("blocking the account in three ways")
        _block(stage, done, [part.name for part in (*filler.parts, *silent.parts)])
        show("waiting for reconciliation")
        stage.dialout("stop", filler.parts[0].name)
        both = replace(filler, parts=(*filler.parts, *silent.parts), people=town)
        deadline = time.monotonic() + PATIENCE_S
        while left(stage.store, both) and time.monotonic() < deadline:
            time.sleep(1)
        done.verdict = finish(stage, both)
        done.without_callbacks = Counter(row["disposition"] for row in stage_rows(silent))
        done.spent = _spent(stage, both)
    return done


def stage_rows(cast: Cast) -> list[dict[str, str]]:
    """Return the results of a cast's only part."""
    with cast.parts[0].results.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _renamed(cast: Cast, name: str) -> Cast:
    (part,) = cast.parts
    folder = part.folder.rename(part.folder.parent / name)
    # Numbers of its own: the filler's people must not answer for these.
    for file in (part.contacts, cast.people, cast.do_not_call):
        file.write_text(file.read_text("utf-8").replace("+1212", "+1303"), "utf-8")
    return replace(cast, parts=(replace(part, folder=folder),))


def _dials(stage: ChaosStage) -> list[float]:
    return [datetime.fromisoformat(post["at"]).timestamp() for post in stage.posts()]


def slowness() -> float:
    """Return how many times longer than usual this machine needs, now, to start a process as a worker is started."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import worker.tasks"], cwd=ROOT, check=True)
    return max(1.0, (time.monotonic() - began) / _USUAL_START_S)


def _next_dial(stage: ChaosStage, since: float) -> float:
    while time.time() < since + PATIENCE_S:
        if later := [at for at in _dials(stage) if at > since]:
            return min(later) - since
        time.sleep(0.1)
    return PATIENCE_S


def _after(stage: ChaosStage, done: Drills, trouble: Callable[[], Any]) -> float:
    """Make trouble; return the seconds from its end to the next dial, and let the pace settle."""
    trouble()
    waited = _next_dial(stage, time.time() + 0.2)
    done.slowness = max(done.slowness, slowness())
    time.sleep(2)
    return round(waited, 1)


def _away(stage: ChaosStage, seconds: float) -> None:
    stage.hold_redis = True
    stage.kill("redis")
    time.sleep(seconds)
    stage.hold_redis = False


def _hung(stage: ChaosStage) -> float:
    began = time.time()
    stage.faults(create=[{"kind": "hang", "count": 1, "seconds": HUNG_S}])
    time.sleep(8)
    dials = [at for at in _dials(stage) if at > began]
    return round(max((later - earlier for earlier, later in pairwise(dials)), default=8.0), 1)


def _storm(stage: ChaosStage, done: Drills) -> None:
    """Answer 429 to every dial for a while; then measure how soon the pace is what it was before."""
    before = time.time()
    usual = sum(before - _WATCHED_S <= at < before for at in _dials(stage))
    stage.faults(create=[{"kind": "429"}])
    began = time.time()
    time.sleep(done.storm_s)
    stage.faults(create=[])
    ended = time.time()
    done.dials_in_the_storm = sum(began <= at < ended for at in _dials(stage))
    while time.time() < ended + PATIENCE_S:
        time.sleep(1)
        dials, now = _dials(stage), time.time()
        for tenths in range(int((now - ended - _WATCHED_S) * 10)):
            start = ended + tenths / 10
            if sum(start <= at < start + _WATCHED_S for at in dials) >= 0.9 * usual:
                done.pace_back_after_s = round(start - ended, 1)
                return
    done.pace_back_after_s = PATIENCE_S


def _block(stage: ChaosStage, done: Drills, campaigns: list[str]) -> None:
    for kind in ("401", "funds", "403"):
        stage.faults(create=[{"kind": kind}])
        deadline = time.monotonic() + PATIENCE_S
        done.paused[kind] = ""
        while not done.paused[kind] and time.monotonic() < deadline:
            time.sleep(0.2)
            done.paused[kind] = next((why for name in campaigns if (why := stage.store.campaigns.get(name)[2])), "")
        time.sleep(1)
        stage.faults(create=[])
        for name in campaigns:
            stage.dialout("resume", name)


def _spent(stage: ChaosStage, cast: Cast) -> list[str]:
    """Return a sentence for each number that lost an attempt though the carrier was busy or refused the whole account."""
    refused: set[str] = set()
    calls: Counter[str] = Counter()
    for record in read_records(stage.records):
        if record["record"] == "request" and record["status"] in {401, 403, 429}:
            refused.add(record["to"])
        elif record["record"] == "call":
            calls[record["to"]] += 1
    attempts: dict[str, int] = {}
    for part in cast.parts:
        rows = stage_rows(replace(cast, parts=(part,)))
        attempts |= {row["phone"]: int(row["attempts"]) for row in rows}
    return [
        f"{number} lost an attempt to a refusal that was not about them"
        for number in refused
        if calls[number] != attempts[number]
    ]
