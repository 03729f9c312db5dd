"""Whether campaigns get what their weights say: by the lines, and by the pace, two campaigns and then ten."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.result import Result, Row
from bench.rig import HeldTalk, Rig, enlist, open_campaign, until
from campaigns.campaign import Pacing
from worker.rules.states import CampaignState

OFF: Final = 0.05
"""By which part of its weight's share a campaign's may be off."""

TWO: Final = (1.0, 3.0)
TEN: Final = (1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0, 4.0)
SCARCE: Final[Mapping[str, Mapping[str, str]]] = {
    "lines": {"LINES": "24", "CALLS_PER_SECOND": "200"},
    "pace": {"LINES": "1000", "CALLS_PER_SECOND": "15"},
}
"""What the campaigns compete for, and the settings that make it scarce. Nobody answers, and it rings for two seconds."""

PATIENCE_S: Final = 600.0

CLAIMED: Final = 24
"""How many of a campaign's last contacts may be claimed before they are dialed: it has none then that wait."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Contacts of each campaign."""

    people: int


async def shares(folder: Path, size: Shares) -> Result:
    """Run campaigns of different weights at once, until the first has nobody left who waits; then to the end, to see who is lost."""
    rows = [
        _compete(folder / f"{len(weights)}-{scarce}", scarce, weights, size.people)
        for weights in (TWO, TEN)
        for scarce in SCARCE
    ]
    worst = max(float(row["worst_off"] or 0) for row in rows)
    lost = sum(int(row["lost"] or 0) for row in rows)
    verdict = f"shares at most {worst:.1%} off their weights (at most {OFF:.0%}), {lost} contacts lost or rung twice"
    return Result("shares", worst <= OFF and not lost, verdict, rows)


def _compete(folder: Path, scarce: str, weights: Sequence[float], people: int) -> Row:
    crowd, agent = {"answer-rate": "0", "ring-scale": "0.0667"}, {"talk-s": "1 1"}
    campaigns: dict[str, set[str]] = {}
    with Rig(folder, settings=SCARCE[scarce], exchange=crowd, agent=agent, workers=2, beats=2) as rig:
        defined = {
            f"c{n}": open_campaign(f"c{n}", pacing=Pacing(calls_per_second=500, lines=10_000, weight=weight))
            for n, weight in enumerate(weights)
        }
        for n, (name, campaign) in enumerate(defined.items()):
            rig.store.campaigns.define(campaign, paused=True)
            campaigns[name] = enlist(rig.store, campaign, people, first=n * people)
        for name in campaigns:
            rig.store.campaigns.set_state(name, CampaignState.RUNNING)
        deadline = time.monotonic() + PATIENCE_S
        while any(_open(rig, name) for name in campaigns) and time.monotonic() < deadline:
            until(1, rig)
        talks = rig.talks()
        done = {name: rig.store.reading.status(name).done for name in campaigns}
    shares_of = dict(zip(campaigns, weights, strict=True))
    found = while_all_wait(talks, campaigns, CLAIMED)
    rung = Counter(talk.to for talk in talks)
    lost = sum(people - done[name] for name in campaigns) + sum(count - 1 for count in rung.values())
    return {
        "campaigns": len(weights),
        "scarce": scarce,
        "dials_while_all_wait": sum(found.values()),
        "worst_off": round(worst_off(found, shares_of), 4),
        "fewest_of_a_campaign": min(found.values()),
        "lost": lost + len({number for numbers in campaigns.values() for number in numbers} - rung.keys()),
    }


def _open(rig: Rig, name: str) -> int:
    status = rig.store.reading.status(name)
    return status.due + status.live


def while_all_wait(talks: Sequence[HeldTalk], campaigns: Mapping[str, set[str]], spare: int) -> dict[str, int]:
    """Count each campaign's dials up to the moment when the first of them had only `spare` left to dial."""
    whose = {number: name for name, numbers in campaigns.items() for number in numbers}
    counts = dict.fromkeys(campaigns, 0)
    for talk in sorted(talks, key=lambda talk: talk.dialed_at):
        name = whose[talk.to]
        counts[name] += 1
        if counts[name] == len(campaigns[name]) - spare:
            break
    return counts


def worst_off(counts: Mapping[str, int], weights: Mapping[str, float]) -> float:
    """Return by which part of its due share the worst campaign's share of the dials is off."""
    dials, weight = sum(counts.values()), sum(weights.values())
    return max(abs(counts[name] / dials / (weights[name] / weight) - 1) for name in counts)
