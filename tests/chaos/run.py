"""One run: a cast, a stage, weather, and the auditor's verdict."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from worker.rules.hours import next_opening
from worker.store import Store

from .auditor import AuditVerdict, audit
from .cast import Cast
from .stage import ChaosStage
from .weather import Mood, Weather

CALM: Final = 0.1
"""The share of the contacts for whom the weather is over."""


@dataclass
class Outcome:
    """What a run came to."""

    verdict: AuditVerdict
    seconds: float
    kills: Counter[str]
    ways: Counter[str]  # how they were killed
    happened: Counter[str]
    surprises: Counter[str]
    stuck: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return it as JSON facts."""
        verdict = {name: value for name, value in vars(self.verdict).items() if not isinstance(value, list)}
        found = {name: len(value) for name, value in vars(self.verdict).items() if isinstance(value, list)}
        rest = {name: dict(getattr(self, name)) for name in ("kills", "ways", "happened", "surprises")}
        return verdict | found | rest | {"seconds": round(self.seconds), "kills_in_all": self.kills.total()}


def enqueue(stage: ChaosStage, cast: Cast, *, before: Callable[[], None] = lambda: None) -> None:
    """Enlist every part, each by two commands at once, while it is paused; then, after `before`, let it ring."""
    stage.dialout("dnc", "import", str(cast.do_not_call))
    commands = [("enqueue", str(part.folder), str(part.contacts), "--paused") for part in cast.parts for _ in range(2)]
    threads = [threading.Thread(target=stage.dialout, args=command) for command in commands]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    before()
    for part in cast.parts:
        stage.dialout("resume", part.name)


def finish(stage: ChaosStage, cast: Cast) -> AuditVerdict:
    """Stop what is still closed, write the results, close the books, and have them audited."""
    for part in cast.parts:
        stage.dialout("stop", part.name)
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and any(stage.store.reading.status(part.name).due for part in cast.parts):
        time.sleep(0.3)
    for part in cast.parts:
        stage.dialout("results", part.name, "-o", str(part.results))
    stage.__exit__()
    return audit(cast, stage.records)


def left(store: Store, cast: Cast) -> int:
    """Return how many contacts are still to be rung today, or under way."""
    count = 0
    for part in cast.parts:
        status = store.reading.status(part.name)
        campaign, _, _ = store.campaigns.get(part.name)
        count += status.live
        soon = store.now()
        for place, (waiting, first) in status.due_by_place.items():
            opening = next_opening(campaign, place, max(first or soon, soon))
            if waiting and opening and (opening - soon).total_seconds() < 600:
                count += waiting
    return count


def storm(
    folder: Path, cast: Cast, *, mood: Mood, rate: float, lines: int, seed: int, limit_s: float, show: Callable[[str], None]
) -> Outcome:  # fmt: skip
    """Run a cast through the weather, and audit it."""
    began = time.monotonic()
    deadline = began + limit_s
    with ChaosStage(folder, cast.people, rate=rate, lines=lines, seed=seed, clocks=True) as stage:
        weather = Weather(stage, mood)
        weather.start()
        enqueue(stage, cast)
        calm = False
        count = sum(len(part.contacts.read_text("utf-8").splitlines()) - 1 for part in cast.parts)
        stuck: list[str] = []
        shown = 0.0
        while True:
            time.sleep(1)
            try:
                waiting = left(stage.store, cast)
            except Exception:  # noqa: BLE001 - Redis is away: that is the point
                continue
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                show(f"{shown - began:4.0f} s: {waiting:,} contacts left, {len(stage.endings)} processes killed")
            weather.progress = (1 - waiting / count) / (1 - CALM)
            if not calm and waiting < CALM * count:
                weather.stop()
                calm = True
            if not waiting:
                break
            if time.monotonic() > deadline:
                stuck = [attempt for part in cast.parts for attempt in stage.store.attempts.live(part.name)]
                break
        if not calm:
            weather.stop()
        verdict = finish(stage, cast)
        kills = Counter(ending.name for ending in stage.endings)
        ways = Counter(ending.how for ending in stage.endings)
        kinds = Counter(" ".join(word for word in what.split() if not word.isdigit()) for what in weather.happened)
        outcome = Outcome(verdict, time.monotonic() - began, kills, ways, kinds, stage.surprises, stuck)
    (folder / "outcome.json").write_text(json.dumps(outcome.facts(), indent=2), "utf-8")
    (folder / "sentences.txt").write_text("\n".join(verdict.sentences()) + "\n", "utf-8")
    return outcome


def describe(facts: Mapping[str, Any]) -> str:
    """Return the figures of a run as a few lines."""
    return "\n".join(f"  {name}: {value}" for name, value in facts.items())
