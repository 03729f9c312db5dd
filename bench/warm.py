"""Whether everybody who answers finds a bot, though few are warm, and whether as many are rung as the rule allows."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.lines import most_at_once, steps
from bench.result import Result, Row
from bench.rig import AGENT_KEY, HeldTalk, Rig, enlist, open_campaign, until, until_dials
from campaigns.campaign import Pacing

WARM: Final = 10
REPLACED_S: Final = 30.0
COLD_S: Final = 20.0
SILENT_S: Final = 2.0
USED: Final = 0.90
"""The least share of the rings that the rule allows, and that are to be made: what is left is for the way of the news."""

LAG_S: Final = 1.5
"""How old the dialer's news may be: a callback's way, a tick, and the queue."""


@dataclass(frozen=True, slots=True)
class Warm:
    """For how long people are rung."""

    ring_s: int


@dataclass(frozen=True, slots=True)
class Moment:
    """How the calls stood from `at` on, by the telephone network's clock."""

    at: float
    ringing: int
    allowed: int


async def warm(folder: Path, size: Warm) -> Result:
    """Ramp up from nothing with ten warm bots, that are told by the settings and then by Pipecat Cloud."""
    told = {
        "settings": {"WARM_BOTS": str(WARM)},
        "pipecat_cloud": {"WARM_BOTS": str(WARM), "PIPECAT_PRIVATE_KEY": AGENT_KEY},
    }
    rows = [_ramp(folder / by, by, settings, size.ring_s) for by, settings in told.items()]
    silent = sum(int(row["silent"] or 0) for row in rows)
    used = float(rows[0]["used"] or 0)
    beyond = int(rows[0]["beyond"] or 0)
    answered = sum(int(row["answered"] or 0) for row in rows)
    verdict = (
        f"{silent} of {answered} answered to silence, {beyond} were rung beyond the rule; "
        f"{used:.1%} of the rings that it allows were made (at least {USED:.0%})"
    )
    return Result("warm", not silent and not beyond and used >= USED and answered > WARM, verdict, rows)


def _ramp(folder: Path, by: str, settings: Mapping[str, str], ring_s: int) -> Row:
    crowd = {"answer-rate": "0.35", "rings-s": "3 12", "ring-scale": "0.6667"}
    pool = {"talk-s": "3 15", "warm": str(WARM), "cold-s": str(COLD_S), "replaced-s": str(REPLACED_S)}
    limits = {"LINES": "100", "CALLS_PER_SECOND": "20", "BOT_REST_S": str(REPLACED_S)}
    pacing = Pacing(calls_per_second=100, lines=10_000)
    with Rig(folder, settings={**limits, **settings}, exchange=crowd, agent=pool) as rig:
        enlist(rig.store, open_campaign("warm", pacing=pacing), 20 * ring_s, first=0)
        until_dials(1, rig)
        until(ring_s, rig)
        status, talks, sessions = rig.store.reading.status("warm"), rig.talks(), rig.sessions()
    moments = ramp_allowed(talks)
    return {
        "bots_told_by": by,
        "dials": len(talks),
        "answered": len(sessions),
        "silent": silent(sessions),
        "silent_by_the_dialer": status.silent,
        "most_at_once": most_at_once(talks),
        # Pipecat Cloud's count knows of bots that were free before their calls were over: more may ring then.
        "beyond": beyond(moments) if by == "settings" else None,
        "used": round(used(moments), 3),
    }


def silent(sessions: Sequence[Mapping[str, Any]]) -> int:
    """Count those who heard nobody for longer than a bot may take."""
    return sum(session["silent_s"] > SILENT_S for session in sessions)


def ramp_allowed(talks: Sequence[HeldTalk]) -> list[Moment]:
    """Work out from the telephone network's books how many the rule let ring at each moment.

    Written from the rule's words (docs/decisions/0011-shares-and-warm-bots.md), not from the dialer's code.
    """
    changes = {at for at, _ in steps(talks)} | {talk.answered_at for talk in talks if talk.answered_at}
    changes |= {talk.ended_at + REPLACED_S for talk in talks if talk.answered_at and talk.ended_at}
    last = max(at for at, _ in steps(talks))
    return [_stand(talks, at) for at in sorted(changes) if at <= last]


def _stand(talks: Sequence[HeldTalk], at: float) -> Moment:
    up = [talk for talk in talks if talk.dialed_at <= at and not (talk.ended_at and talk.ended_at <= at)]
    answered = [talk for talk in talks if talk.answered_at and talk.answered_at <= at]
    busy = sum(1 for talk in answered if not talk.ended_at or at < talk.ended_at + REPLACED_S)
    rung_out = sum(1 for talk in talks if not talk.answered_at and talk.ended_at and talk.ended_at <= at)
    ringing = sum(1 for talk in up if not (talk.answered_at and talk.answered_at <= at))
    return Moment(at, ringing, most_rings(WARM - busy, upper_rate(len(answered), rung_out)))


def upper_rate(yes: int, no: int) -> float:
    """Return the highest answer rate that is not two standard errors away: the root of Wilson's equation."""
    n = yes + no
    low, high = (yes / n, 1.0) if n else (1.0, 1.0)
    for _ in range(40):
        middle = (low + high) / 2
        near = middle - yes / n <= 2 * math.sqrt(middle * (1 - middle) / n) if n else True
        low, high = (middle, high) if near else (low, middle)
    return low


def most_rings(free: int, rate: float) -> int:
    """Return how many may ring so that, in all but one of a thousand half minutes, no more answer than bots are free."""
    rings = max(0, free)
    while rings and (rings + 1) * rate + 3 * math.sqrt((rings + 1) * rate * (1 - rate)) <= free:
        rings += 1
    return rings


def beyond(moments: Sequence[Moment]) -> int:
    """Count the dials after which more rang than the rule allowed at any moment of which the dialer may have had news."""
    found = 0
    for before, after in itertools.pairwise(moments):
        if after.ringing > before.ringing:
            first = max((one.at for one in moments if one.at <= after.at - LAG_S), default=after.at)
            lately = [one.allowed for one in moments if first <= one.at <= after.at]
            found += after.ringing > max(lately)
    return found


def used(moments: Sequence[Moment]) -> float:
    """Return which share of the rings that were allowed were made, over the time."""
    room = made = 0.0
    for one, following in itertools.pairwise(moments):
        room += one.allowed * (following.at - one.at)
        made += min(one.ringing, one.allowed) * (following.at - one.at)
    return made / room if room else 0.0
