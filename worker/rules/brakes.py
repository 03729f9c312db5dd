"""The brakes: when a campaign stops by itself and waits for the operator.

What goes wrong in one call goes wrong in the next thousand. So a person looks at the first few attempts of a campaign (the
canary). After that, each attempt that ends is marked with what it was, and too many of one kind stop the campaign.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Final, Self

from campaigns.call import Disposition
from campaigns.campaign import Brakes, Campaign
from worker.rules.evidence import AnsweredBy, CallState
from worker.rules.settlement import Evidence, Settled
from worker.rules.warm_bots import BOT_WITHIN

SHORT: Final = timedelta(seconds=6)
"""The longest call that Telnyx counts as a short duration call. It charges more if over 15 % of the answered calls are short
(support.telnyx.com, article 1130707)."""

PERIOD: Final = timedelta(days=30)
"""The period over which the law counts the share of abandoned calls, for each campaign (47 CFR 64.1200(a)(7))."""

KEPT: Final = PERIOD + timedelta(days=1)
"""How long the counts of people and the abandoned calls are kept. People are counted per whole day (UTC), and the day in which
the PERIOD began must still be there."""

LEAST_PEOPLE: Final = 100
"""How many people must have answered before the share of abandoned calls counts: with fewer, a single call moves the share by
more than one percentage point."""

WARN_AT: Final = 2 / 3
"""At which part of the share that stops the campaign a warning is given: at 2 %, where 3 % stops it."""

REMEMBERED: Final = 200
"""How many attempts the store keeps for the brakes: as many as the longest window below."""

_NAMED: Final = 5
"""How many attempts a sentence names; `dialout status CAMPAIGN --json` lists them all."""

_MACHINES: Final = frozenset({"voicemail", "screening", "fax", "menu"})
_CARRIERS_MACHINES: Final = frozenset({AnsweredBy.MACHINE, AnsweredBy.MACHINE_READY, AnsweredBy.FAX})


class Brake(StrEnum):
    """Why a campaign has stopped by itself. The value is what the record, Lua and `--json` say.

    A campaign that was stopped by a brake is paused: its contacts are held by the rule `paused`. The canary is enforced once
    more where an attempt begins, by the rule of the same name.
    """

    sentence: str

    def __new__(cls, value: str, sentence: str) -> Self:
        """Keep the sentence with the member."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    CANARY = "canary", "its first attempts are done and wait for the operator's approval"
    FAILED = "failed", "too many attempts failed or may have rung: that is our fault, never the contact's"
    CANCELED = "canceled", "we hung up too many calls before the answer"
    SHORT = "short", "too many answered calls were over within 6 s"
    ABANDONED = "abandoned", "too many people answered and heard no bot within 2 s"


class Mark(StrEnum):
    """What the brakes count about an attempt, besides its disposition."""

    ANSWERED = "answered"
    PERSON = "person"  # a person answered, as far as the bot and the carrier could hear
    SHORT = "short"  # it was over within SHORT
    ABANDONED = "abandoned"  # a person answered and heard no bot within BOT_WITHIN


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that was concluded."""

    attempt_id: str
    marks: frozenset[str]  # its disposition, and Marks


@dataclass(frozen=True, slots=True)
class Counted:
    """What the store has counted for a campaign's brakes."""

    begun: int = 0  # attempts dialed while the canary was not approved
    approved: bool = False
    live: int = 0  # attempts that are claimed and not concluded
    totals: Mapping[str, int] = field(default_factory=dict[str, int])  # disposition or Mark -> attempts, from the start
    recent: Sequence[Ended] = ()  # attempts since the last resume, the oldest first, at most REMEMBERED
    people: int = 0  # calls that people answered in the PERIOD
    abandoned: Sequence[str] = ()  # the attempts among these that were abandoned, the oldest first
    people_since: int = 0  # calls that people answered since the last resume
    abandoned_since: int = 0  # how many of these were abandoned
    today: int = 0  # calls begun in the campaign's day

    @property
    def abandoned_share(self) -> float:
        """The share, from 0 to 1, of abandoned calls among those that people answered in the PERIOD."""
        return len(self.abandoned) / self.people if self.people else 0.0


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a campaign stops."""

    rule: Brake
    why: str  # a sentence for the operator
    attempts: tuple[str, ...] = ()  # the ids of those that it is about


@dataclass(frozen=True, slots=True)
class _Breaker:
    rule: Brake
    words: str  # what the bad attempts have in common, for the sentence
    marks: frozenset[str]  # an attempt with any of these is bad
    among: frozenset[str]  # only attempts with all of these are counted; empty: all attempts
    last: int  # how many of the last attempts are looked at
    least: int  # how many attempts must be counted, or the share may be chance
    limit: Callable[[Brakes], float]


_BREAKERS: Final = (
    # A breakdown shows in every attempt: a short window notices it before many more attempts are made.
    _Breaker(
        Brake.FAILED, "attempts failed, or may have rung without our knowledge", frozenset({Disposition.FAILED, Disposition.UNCONFIRMED}),
        frozenset(), 50, 20, lambda limits: limits.failed,
    ),
    _Breaker(
        Brake.CANCELED, "attempts were hung up by us before the answer", frozenset({Disposition.CANCELED}),
        frozenset(), 100, 20, lambda limits: limits.canceled,
    ),
    # Some people hang up at once on any machine: with fewer answers than these, chance alone would stop campaigns.
    _Breaker(
        Brake.SHORT, "answered calls were over within 6 s", frozenset({Mark.SHORT}),
        frozenset({Mark.ANSWERED}), REMEMBERED, 40, lambda limits: limits.short,
    ),
)  # fmt: skip


def marks_of(evidence: Evidence, settled: Settled) -> frozenset[str]:
    """Return what the brakes count about an attempt of ours that ended."""
    marks: set[str] = {settled.disposition}
    talked = evidence.bot_came or evidence.report is not None
    if not (talked or evidence.answered_at or _completed(evidence)):
        return frozenset(marks)
    marks.add(Mark.ANSWERED)
    if settled.duration_s is not None and settled.duration_s <= SHORT.total_seconds():
        marks.add(Mark.SHORT)
    if not _by_machine(evidence, settled):
        marks.add(Mark.PERSON)
        if _abandoned(evidence, settled):
            marks.add(Mark.ABANDONED)
    return frozenset(marks)


def _completed(evidence: Evidence) -> bool:
    return any(
        event.state is CallState.ENDED and event.disposition is Disposition.COMPLETED for _, event in evidence.events
    )


def _by_machine(evidence: Evidence, settled: Settled) -> bool:
    if settled.disposition is Disposition.VOICEMAIL or (evidence.report and evidence.report.answered_by in _MACHINES):
        return True
    return any(detection.answered_by in _CARRIERS_MACHINES for detection in evidence.detected)


def _abandoned(evidence: Evidence, settled: Settled) -> bool:
    # The law counts the 2 s from the end of the person's greeting, which no witness reports. Counting from the answer is
    # stricter.
    if evidence.joined_at and evidence.answered_at:
        return evidence.joined_at > evidence.answered_at + BOT_WITHIN
    if evidence.bot_came or evidence.report:
        return False  # the bot was there, and nobody knows when it came
    # A person who hangs up within the 2 s was not left waiting.
    return settled.duration_s is None or settled.duration_s > BOT_WITHIN.total_seconds()


def stop(campaign: Campaign, counted: Counted) -> Stop | None:
    """Decide whether a campaign must stop now, and say why."""
    found = _tripped(campaign.brakes, counted) or _too_silent(campaign.brakes, counted)
    if found is None and canary_left(campaign, counted) == 0 and not counted.live:
        endings = ", ".join(f"{end} {counted.totals[end]}" for end in Disposition if counted.totals.get(end))
        found = Stop(Brake.CANARY, f"canary: its first {counted.begun} attempts are done ({endings})")
    if found is None:
        return None
    how = f"look at `dialout results {campaign.name}`, then `dialout resume {campaign.name}`"
    return Stop(found.rule, f"{found.why}; {how}", found.attempts)


def _tripped(limits: Brakes, counted: Counted) -> Stop | None:
    for breaker in _BREAKERS:
        window = [one for one in counted.recent[-breaker.last :] if breaker.among <= one.marks]
        bad = [one.attempt_id for one in window if one.marks & breaker.marks]
        limit = breaker.limit(limits)
        if len(window) >= breaker.least and len(bad) > limit * len(window):
            share = f"{len(bad)} of the last {len(window)} {breaker.words}, which is more than {limit:.0%}"
            return Stop(breaker.rule, f"{breaker.rule}: {share} ({_named(bad)})", tuple(bad))
    return None


def _too_silent(limits: Brakes, counted: Counted) -> Stop | None:
    # Abandoned calls that the operator has seen and resumed count for the law, but do not stop the campaign twice.
    if counted.people_since < LEAST_PEOPLE or limits.abandoned >= 1:
        return None
    if min(counted.abandoned_since / counted.people_since, counted.abandoned_share) < limits.abandoned:
        return None
    share = f"{len(counted.abandoned)} of {counted.people} people who answered in 30 days heard no bot within 2 s"
    named = _named(counted.abandoned[::-1])
    return Stop(
        Brake.ABANDONED,
        f"abandoned: {share}, which is {limits.abandoned:.0%} or more ({named})",
        tuple(counted.abandoned),
    )


def _named(attempts: Sequence[str]) -> str:
    more = len(attempts) - _NAMED
    return ", ".join(attempts[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def warning(campaign: Campaign, counted: Counted) -> str:
    """Return a sentence if the share of abandoned calls is near the one that stops the campaign, else ""."""
    share, limit = counted.abandoned_share, campaign.brakes.abandoned
    if counted.people < LEAST_PEOPLE or limit >= 1 or share < WARN_AT * limit:
        return ""
    return (
        f"{share:.1%} of {counted.people} people who answered in 30 days heard no bot within 2 s; at {limit:.0%} "
        "the campaign stops: keep more agents warm, or dial more slowly"
    )


def canary_left(campaign: Campaign, counted: Counted) -> int | None:
    """Return how many more attempts may be dialed before the operator approves; None: any number."""
    if counted.approved or not campaign.brakes.canary:
        return None
    return max(0, campaign.brakes.canary - counted.begun)


def room(campaign: Campaign, counted: Counted) -> int | None:
    """Return how many attempts the canary and the calls of the day allow to be claimed now; None: any number."""
    day = max(0, campaign.pacing.calls_per_day - counted.today) if campaign.pacing.calls_per_day else None
    return least(canary_left(campaign, counted), day)


def least(*bounds: int | None) -> int | None:
    """Return the least of some bounds, where None stands for no bound."""
    return min((bound for bound in bounds if bound is not None), default=None)


def read_marks(text: str) -> frozenset[str]:
    """Return the marks of a text that `write_marks` has made."""
    return frozenset(text.split("+"))


def write_marks(marks: Iterable[str]) -> str:
    """Return the text in which the store keeps marks: the same marks always make the same text."""
    return "+".join(sorted(marks))
