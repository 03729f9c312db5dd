"""What becomes of a ring, by the odds. They are chosen so that every kind of call occurs; they are not measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Final

from campaigns.call import Disposition


class Pickup(StrEnum):
    """What answers a ring."""

    PERSON = "person"
    MACHINE = "machine"
    NOBODY = "nobody"
    BUSY = "busy"
    REJECTED = "rejected"
    INVALID = "invalid"  # the number leads nowhere


class PostAnswer(StrEnum):
    """What becomes of the request to place a call."""

    TAKEN = "taken"
    BUSY = "busy"  # 429: no phone rings
    REFUSED = "refused"  # the carrier refuses it for good: no phone rings
    LOST_RINGS = "lost_rings"  # no answer comes back, and the phone rings
    LOST = "lost"  # no answer comes back, and no phone rings


@dataclass(frozen=True, slots=True)
class Fate:
    """How one ring goes, if nothing interferes."""

    post: PostAnswer
    post_s: float  # from the request to its answer
    pickup: Pickup
    pickup_s: float  # from the first ring until something answers, or the network gives up
    says: Disposition  # what the bot will report of the talk
    talk_s: float
    callback_s: float  # with CALLBACK: how long after the call the person wants the next one
    bot_comes: bool
    joins_s: float  # from the answer until the bot says that it is there
    reports: bool  # the bot's report arrives
    tells: bool  # the carrier's callback on the call's end arrives
    rings_back_s: float | None  # how long after an unanswered ring the person rings us


_BY_HOUR: Final = {
    9: 0.20,
    10: 0.24,
    11: 0.26,
    12: 0.30,
    13: 0.28,
    14: 0.26,
    15: 0.26,
    16: 0.30,
    17: 0.38,
    18: 0.42,
    19: 0.36,
}
_SAYS: Final = {
    Disposition.COMPLETED: 0.70,
    Disposition.REJECTED: 0.10,
    Disposition.CALLBACK: 0.09,
    Disposition.DO_NOT_CALL: 0.05,
    Disposition.WRONG_NUMBER: 0.05,
    Disposition.FAILED: 0.01,
}


@dataclass(frozen=True)
class Odds:
    """Probabilities, which are independent of each other, and seconds."""

    seed: int = 1
    answers: Mapping[int, float] = field(
        default_factory=lambda: dict(_BY_HOUR)
    )  # share of rings that a person answers, by the hour where the person is
    answers_else: float = 0.15  # at any other hour
    machine: float = 0.55  # share of the unanswered rings that a machine takes
    busy: float = 0.05
    rejected: float = 0.02
    invalid: float = 0.015  # share of the numbers
    says: Mapping[Disposition, float] = field(default_factory=lambda: dict(_SAYS))
    talk_median_s: float = 45.0
    talk_sigma: float = 0.7  # standard deviation of the talk's logarithm
    no_bot: float = 0.004  # share of the answered calls to which no bot comes
    report_lost: float = 0.01
    end_lost: float = 0.02  # share of the callbacks on a call's end that are lost
    post_lost: float = 0.006  # share of the requests whose answer is lost; half of them ring
    congested: float = 0.004  # share of the minutes in whose first seconds the carrier answers 429
    congested_s: float = 20.0
    rings_back: float = 0.04  # share of the unanswered rings after which the person rings us

    def fate(self, phone: str, nth: int, hour: int) -> Fate:
        """Return how the nth ring of a number goes at this hour of its day. The same question has the same answer."""
        number, ring = Random(f"{self.seed}:{phone}"), Random(f"{self.seed}:{phone}:{nth}")  # noqa: S311
        lost = ring.random() < self.post_lost
        post = ring.choice((PostAnswer.LOST, PostAnswer.LOST_RINGS)) if lost else PostAnswer.TAKEN
        leads_nowhere = number.random() < self.invalid
        if leads_nowhere and not lost and ring.random() < 0.5:  # noqa: PLR2004 - at once, or by the network later
            post = PostAnswer.REFUSED
        pickup = Pickup.INVALID if leads_nowhere else self._pickup(ring, hour)
        return Fate(
            post=post,
            post_s=ring.uniform(0.06, 0.35),
            pickup=pickup,
            pickup_s=_PICKUP_S[pickup](ring),
            says=self._says(ring) if pickup is Pickup.PERSON else Disposition.VOICEMAIL,
            talk_s=ring.uniform(15, 35)
            if pickup is Pickup.MACHINE
            else ring.lognormvariate(0, self.talk_sigma) * self.talk_median_s,
            callback_s=ring.choice((1, 2, 5, 20, 44)) * 3600 + ring.uniform(0, 1800),
            bot_comes=ring.random() >= self.no_bot,
            joins_s=ring.uniform(0.2, 1.2),
            reports=ring.random() >= self.report_lost,
            tells=ring.random() >= self.end_lost,
            rings_back_s=ring.lognormvariate(6.5, 1) if ring.random() < self.rings_back else None,  # half within 11 min
        )

    def is_congested(self, at_ms: int) -> bool:
        """True while the carrier answers 429 to every request."""
        minute, rest_ms = divmod(at_ms, 60_000)
        return rest_ms < self.congested_s * 1000 and Random(f"{self.seed}@{minute}").random() < self.congested  # noqa: S311

    def _pickup(self, ring: Random, hour: int) -> Pickup:
        if ring.random() < self.busy:
            return Pickup.BUSY
        if ring.random() < self.rejected:
            return Pickup.REJECTED
        if ring.random() < self.answers.get(hour, self.answers_else):
            return Pickup.PERSON
        return Pickup.MACHINE if ring.random() < self.machine else Pickup.NOBODY

    def _says(self, ring: Random) -> Disposition:
        return ring.choices(tuple(self.says), tuple(self.says.values()))[0]


_PICKUP_S: Final = {
    Pickup.PERSON: lambda ring: ring.uniform(3, 22),
    Pickup.MACHINE: lambda ring: ring.uniform(14, 26),
    Pickup.NOBODY: lambda _ring: 3600.0,
    Pickup.BUSY: lambda ring: ring.uniform(0.5, 2),
    Pickup.REJECTED: lambda ring: ring.uniform(2, 10),
    Pickup.INVALID: lambda ring: ring.uniform(0.3, 1.5),
}
