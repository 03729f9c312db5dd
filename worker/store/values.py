"""The values that the store takes and returns. Each shows the record as it was when it was read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from functools import cached_property

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import Place
from worker.rules.do_not_call import Listing, Registry
from worker.rules.may_ring import Facts
from worker.rules.retries import Before
from worker.rules.rule import Rule
from worker.rules.settlement import Evidence
from worker.rules.states import CampaignState, ContactState
from worker.store import witnesses
from worker.store.keys import Subject
from worker.store.times import moment_or_none


@dataclass(frozen=True, slots=True)
class Enlisted:
    """What became of a batch of contacts."""

    new: int = 0
    known: int = 0  # enlisted before
    refused: int = 0  # of the new ones: on the do-not-call list

    def __add__(self, other: "Enlisted") -> "Enlisted":
        return Enlisted(self.new + other.new, self.known + other.known, self.refused + other.refused)


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A campaign as a claim sees it."""

    name: str
    version: str
    state: CampaignState
    live: int  # attempts claimed and not concluded
    places: Mapping[Place, str]  # of its contacts -> the place's short number
    answered: int  # recent calls that were answered
    rung_out: int  # recent calls that nobody answered
    registries: Mapping[str, Registry] = field(default_factory=dict)  # the do-not-call lists that were imported


@dataclass(frozen=True, slots=True)
class Bid:
    """What a campaign asks of a claim. One that may not ring has no open places: its calls still hold lines and bots."""

    campaign: Campaign
    open_places: Sequence[str]  # short numbers of the places that may be rung at this hour
    lines: int
    answer_rate: float  # from 0 to 1: the highest that is plausible
    most: int | None = None  # attempts that may wait to be dialed; None: any number


@dataclass(frozen=True, slots=True)
class ClaimLimits:
    """What all campaigns share."""

    lines: int
    calls_per_second: float
    ahead: timedelta  # how long before its dial an attempt is claimed
    lease: timedelta  # from the claim to the dial
    lines_for_inbound: int = 0
    warm_bots: int | None = None  # by the settings; None: as many as are needed
    bot_rest: timedelta = timedelta()  # how long a bot is not warm after its call
    slow_to: float = 1.0  # silent answers make the time between dials at most this many times longer


@dataclass(frozen=True)
class Case:
    """All that is known about one attempt, as it was when it was read."""

    attempt_id: str
    contact_id: str
    campaign: Campaign
    campaign_state: CampaignState
    phone: str  # E.164
    place: Place
    zone: str  # the place's short number
    columns: Mapping[str, str]
    made: int  # attempts begun so far, this one included once it is
    attempt: Mapping[str, str]  # the attempt's hash; empty: claimed, but never begun
    read_at: datetime  # by the store's clock
    caller_id: str = ""  # the number that the contact was last called from
    last: str = ""  # disposition of the contact's last attempt that was concluded
    message_left: bool = False  # on a machine, by an earlier attempt
    listings: tuple[Listing, ...] = ()  # the number's entries on the do-not-call list
    rung: tuple[datetime, ...] = ()  # when the number was rung lately, by any campaign
    registries: Mapping[str, Registry] = field(default_factory=dict)

    @property
    def zones(self) -> tuple[str, ...]:
        """The time zones that the contact may be in."""
        return self.place.zones

    @property
    def facts(self) -> Facts:
        """The facts that the rules ask for, as they are before this attempt is begun."""
        return Facts(
            campaign=self.campaign,
            phone=self.phone,
            place=self.place,
            columns=self.columns,
            campaign_state=self.campaign_state,
            made=self.made,
            asked_back=self.last == Disposition.CALLBACK,
            rung=self.rung,
            listings=self.listings,
            registries=self.registries,
        )

    @property
    def subject(self) -> Subject:
        """The campaign, the contact, … whose keys the scripts about this attempt work on."""
        return Subject(
            campaign=self.campaign.name,
            contact_id=self.contact_id,
            attempt_id=self.attempt_id,
            phone=self.phone,
            zone=self.zone,
        )

    @property
    def next_id(self) -> str:
        """The id of the contact's next attempt, which waits if any does."""
        return f"{self.contact_id}#{self.made + 1}"

    @property
    def before_it(self) -> str:
        """The id of the last attempt that rang this number before, or ""."""
        return self.attempt.get("after", "")

    @property
    def contact(self) -> Contact:
        """The contact as its templates know it."""
        return Contact(phone=self.phone, columns=self.columns, line=0)

    @property
    def begun(self) -> bool:
        """True once a POST may have been sent."""
        return bool(self.attempt)

    @property
    def concluded(self) -> bool:
        """True once the attempt has a disposition, even as a guess."""
        return "disposition" in self.attempt

    @property
    def inbound(self) -> bool:
        """True if the contact rang us."""
        return self.attempt.get("direction") == "inbound"

    @property
    def before(self) -> Before:
        """The contact's state before it rang us."""
        return Before(
            due=moment_or_none(self.attempt.get("due_before")),
            disposition=Disposition(kept) if (kept := self.attempt.get("disposition_before")) else None,
            reason=self.attempt.get("reason_before", ""),
        )

    @cached_property
    def evidence(self) -> Evidence:
        """What was heard about the attempt, for `settlement.settle`."""
        return witnesses.read_evidence(self.attempt)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a contact stands."""

    phone: str  # E.164
    line: int  # of its file
    place: Place
    state: ContactState
    disposition: str  # of its last attempt that was concluded, or ""
    reason: str
    made: int  # attempts begun so far
    due: datetime | None  # with ContactState.DUE
    facts: Facts  # for the rules


@dataclass(frozen=True, slots=True)
class Caller:
    """A person who rings us though no attempt of ours rang them."""

    phone: str  # E.164, or "" where it was withheld
    campaign: str  # its bot answers the call


class Reception(IntEnum):
    """What became of a witness's word. The values are those that witness.lua returns."""

    NOTED = 2  # news that can wait for the attempt's next look
    NEWS = 1
    REPEATED = 0
    UNKNOWN = -1  # there is no such attempt, or it is another worker's


class Conclusion(StrEnum):
    """What became of a conclusion. The values are those that conclude.lua returns."""

    OK = "ok"  # it is recorded
    SETTLED = "settled"  # the attempt was concluded before, and that stays
    STALE = "stale"  # more was heard meanwhile, and nothing was written: decide again
    UNKNOWN = "unknown"  # there is no such attempt, and nothing was written


@dataclass(frozen=True, slots=True)
class Clock:
    """What the store's clock said, at some instant between our question and its answer. Seconds are of our monotonic clock."""

    now: datetime  # by the store's clock
    asked_at: float
    told_at: float

    def until(self, moment: datetime, at: float) -> float:
        """Return how many seconds after `at` the moment has certainly come by the store's clock; 0 if it has come."""
        return max(0.0, (moment - self.now).total_seconds() - (at - self.told_at))

    def latest(self, at: float) -> datetime:
        """Return the latest that the store's clock can have shown at `at`."""
        return self.now + timedelta(seconds=at - self.asked_at)


@dataclass(frozen=True, slots=True)
class Departures:
    """When dials may leave, one after the other."""

    clock: Clock
    at: Sequence[datetime]
    next: datetime | None  # when the first dial without a departure may ask again; None if each has one


@dataclass(frozen=True, slots=True)
class Begun:
    """The store's answer just before an attempt is dialed."""

    dial: bool
    at: datetime | None = None  # with dial: when it leaves. Without: ask again then
    rule: Rule | None = None  # the rule that refuses the dial
    reason: str = ""  # with a rule: more than its own sentence says
    until: datetime | None = None  # with a rule: when it may allow the dial, if that is known
    caller_id: str = ""  # with dial: the number to call from
    clock: Clock | None = None  # without a rule


@dataclass(frozen=True, slots=True)
class Status:
    """A campaign in numbers. contacts = due + live + done + refused."""

    campaign: str
    state: CampaignState
    why: str  # it is in that state
    contacts: int
    due: int
    live: int
    done: int
    refused: int
    rows_refused: int
    dispositions: Mapping[str, int]  # -> contacts
    lines_in_use: int
    due_by_place: Mapping[Place, tuple[int, datetime | None]] = field(default_factory=dict)  # contacts, the first's due
    answered: int = 0  # recent calls that were answered: see warm_bots.answer_rate
    rung_out: int = 0  # recent calls that nobody answered
    silent: int = 0  # calls that were answered, and no bot came in time

    @property
    def answer_rate(self) -> float | None:
        """The share of the recent calls that was answered, from 0 to 1; None if there were no calls."""
        calls = self.answered + self.rung_out
        return round(self.answered / calls, 3) if calls else None


@dataclass(frozen=True, slots=True)
class Occupied:
    """The lines and bots that all calls hold together."""

    lines: int  # held by calls that we placed
    inbound: int  # held by people who ring us
    ringing: int  # of `lines`: not answered yet
    cooling: int  # bots that ended a call a short while ago, and are not warm again
    idle: int | None  # bots, by Pipecat Cloud's last count
    counted_at: datetime | None


def contact_of(attempt_id: str) -> str:
    """Return the id of the contact that an attempt belongs to."""
    return attempt_id.partition("#")[0]
