"""What the store is asked and what it tells: each as it was when it was read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from functools import cached_property

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import Place
from worker.rules.do_not_call import Listing, Registry
from worker.rules.may_ring import Facts
from worker.rules.retries import Before
from worker.rules.settlement import Evidence
from worker.rules.states import CampaignState
from worker.store import ledger


class StoreError(Exception):
    """The store cannot do what was asked. The message says what to do."""


class UnknownCampaign(StoreError):
    """No contact was ever enlisted in a campaign of this name."""


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
    """A campaign, as a claim sees it."""

    name: str
    version: str
    state: CampaignState
    live: int
    places: Mapping[Place, str]
    answered: int  # lately
    rung_out: int
    registries: Mapping[str, Registry] = field(default_factory=dict)  # the lists that were imported


@dataclass(frozen=True, slots=True)
class Bid:
    """What a campaign asks of a claim. One that may not ring has no open zones: its calls hold lines and bots all the same."""

    campaign: Campaign
    open_places: Sequence[str]  # the numbers of the places where it is an hour for calls
    lines: int
    answer_rate: float  # the highest that is plausible
    most: int | None = None  # attempts that may wait to be dialed; None: any number


@dataclass(frozen=True, slots=True)
class Limits:
    """What all campaigns share."""

    lines: int
    calls_per_second: float
    ahead: timedelta  # how far ahead of the dials is claimed
    lease: timedelta  # from the claim to the moment of dialing
    lines_for_inbound: int = 0
    warm_bots: int | None = None  # by the settings; None: as many as are needed
    bot_rest: timedelta = timedelta()  # how long a used bot is not warm
    slow_to: float = 1.0  # the most that answers without a bot slow the pace


@dataclass(frozen=True)
class Case:
    """All that is known about one attempt, as it was when it was read."""

    attempt_id: str
    contact_id: str
    campaign: Campaign
    campaign_state: CampaignState
    phone: str
    place: Place
    zone: str  # the place's short number
    columns: Mapping[str, str]
    made: int  # attempts begun so far, this one included once it is
    attempt: Mapping[str, str]  # empty: claimed, but never begun
    read_at: datetime  # by the store's clock
    caller_id: str = ""  # the number that the contact was last called from
    last: str = ""  # disposition of the contact's last attempt that was concluded
    message_left: bool = False  # on a machine, by an earlier attempt
    listings: tuple[Listing, ...] = ()
    rung: tuple[datetime, ...] = ()  # when its number was rung lately, in any campaign
    registries: Mapping[str, Registry] = field(default_factory=dict)

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that the contact may be in."""
        return self.place.zones

    @property
    def facts(self) -> Facts:
        """What the rules ask, as it stands before this attempt is begun."""
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
    def before_it(self) -> str:
        """The id of the attempt, if any, that was the last to ring this number before."""
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
        """True once it has a disposition, if only as a guess."""
        return "disposition" in self.attempt

    @property
    def inbound(self) -> bool:
        """True if they rang us."""
        return self.attempt.get("direction") == "inbound"

    @property
    def before(self) -> Before:
        """What the contact's state was before it rang us."""
        due = self.attempt.get("due_before")
        return Before(
            due=ledger.moment(due) if due else None,
            disposition=Disposition(kept) if (kept := self.attempt.get("disposition_before")) else None,
            reason=self.attempt.get("reason_before", ""),
        )

    @cached_property
    def evidence(self) -> Evidence:
        """What was heard, for `settlement.settle`."""
        return ledger.read_evidence(self.attempt)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a contact stands."""

    phone: str
    line: int  # of its file
    place: Place
    state: str  # due, live, done or refused
    disposition: str
    reason: str
    made: int
    due: datetime | None  # with state due
    facts: Facts  # what the rules ask


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who rings us though no attempt of ours rang them."""

    phone: str  # E.164, or nothing where it was withheld
    campaign: str  # in whose name we answer


class Heard(IntEnum):
    """What became of a witness's word."""

    NOTED = 2  # news from which nothing follows before the attempt's next look
    NEWS = 1
    REPEATED = 0
    UNKNOWN = -1  # no attempt that we know, or another's


@dataclass(frozen=True, slots=True)
class Clock:
    """What the store's clock said, and when that was by our own monotonic one: somewhere between asking and being told."""

    now: datetime
    asked_at: float  # seconds
    told_at: float

    def until(self, moment: datetime, at: float) -> float:
        """Return how many seconds to wait, `at` being now by ours, so that the moment has certainly come."""
        return max(0.0, (moment - self.now).total_seconds() - (at - self.told_at))

    def latest(self, at: float) -> datetime:
        """Return the latest that it can have been by the store's clock, `at` being ours."""
        return self.now + timedelta(seconds=at - self.asked_at)


@dataclass(frozen=True, slots=True)
class Turns:
    """When dials may leave, one after the other."""

    clock: Clock
    at: Sequence[datetime]
    next: datetime | None  # when the first of those that got none should ask again


@dataclass(frozen=True, slots=True)
class Begun:
    """The store's answer at the moment of dialing."""

    dial: bool
    at: datetime | None = None  # when it is to leave; without dial, when that may be: ask again then
    why: str = ""  # gone, paused, do_not_call, on_a_call, canary, calls_per_day, caller_id, number_limit
    until: datetime | None = None  # with why: when it may be otherwise, if that is known
    caller_id: str = ""  # with dial: the one of the pool that calls
    clock: Clock | None = None  # unless there is a why


@dataclass(frozen=True, slots=True)
class Status:
    """A campaign in numbers. contacts = due + live + done + refused."""

    campaign: str
    state: CampaignState
    why: str
    contacts: int
    due: int
    live: int
    done: int
    refused: int
    rows_refused: int
    dispositions: Mapping[str, int]
    lines_in_use: int
    due_by_place: Mapping[Place, tuple[int, datetime | None]] = field(default_factory=dict)  # how many, the first's due
    answered: int = 0  # of the calls that lately were answered or rang out: see warm_bots.answer_rate
    rung_out: int = 0
    silent: int = 0  # answered, and no bot came in time

    @property
    def answer_rate(self) -> float | None:
        """Which share of the calls that lately were answered or rang out was answered; None where there were none."""
        calls = self.answered + self.rung_out
        return round(self.answered / calls, 3) if calls else None


@dataclass(frozen=True, slots=True)
class Occupied:
    """What all calls hold together."""

    lines: int  # by those whom we ring
    inbound: int  # by those who ring us
    ringing: int  # of the lines: not answered yet
    cooling: int  # bots used a while ago, and not warm again yet
    idle: int | None  # bots, by Pipecat Cloud's last count
    counted_at: datetime | None


def contact_of(attempt_id: str) -> str:
    """Return the id of the contact that an attempt is of."""
    return attempt_id.partition("#")[0]
