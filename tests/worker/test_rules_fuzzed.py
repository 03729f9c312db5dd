"""The rules against a naive oracle, which looks at a wall clock in each zone, minute by minute."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from campaigns.call import Disposition
from campaigns.campaign import WEEKDAYS, CallingWindow, Campaign, Retry
from campaigns.places import Place
from tests.search import examples
from worker.rules import law, retries
from worker.rules.do_not_call import Registry
from worker.rules.hours import SEARCH_DAYS, next_opening
from worker.rules.law import Law
from worker.rules.may_ring import Facts, may_ring
from worker.rules.settlement import Settled

PHONE = "+12125550111"
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)

# Offsets of whole, half and quarter hours; clocks that change by an hour, by half an hour, at midnight, or never.
ZONES = [
    "America/New_York", "America/Chicago", "America/Los_Angeles", "America/Phoenix", "America/St_Johns", "America/Havana",
    "America/Sao_Paulo", "Europe/London", "Europe/Lisbon", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Beirut",
    "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Chatham", "Africa/Casablanca", "UTC",
]  # fmt: skip
REGIONS = ["US-NY", "US-FL", "US-TX", "US-RI", "US-LA", "US-PA", "US-ME", "US-CA", "US", "GB", "DE", "NP", "XX"]

# Days on which clocks change in some of these zones, and holidays.
SPECIAL_DAYS = [
    date(2026, 3, 8), date(2026, 11, 1), date(2026, 3, 29), date(2026, 10, 25), date(2026, 4, 5), date(2026, 10, 4),
    date(2027, 3, 14), date(2027, 11, 7), date(2026, 2, 15), date(2026, 3, 22), date(2026, 12, 25), date(2026, 11, 26),
    date(2026, 7, 3), date(2026, 5, 25), date(2027, 1, 1),
]  # fmt: skip

times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
near_changes = st.builds(
    lambda day, minutes: datetime.combine(day, time(0), UTC) + minutes * MINUTE,
    st.sampled_from(SPECIAL_DAYS),
    st.integers(-30 * 60, 54 * 60),
)
instants = near_changes | st.builds(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE, st.integers(0, 2 * 365 * 24 * 60)
)
places = st.builds(
    Place,
    st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True).map(lambda zones: tuple(sorted(zones))),
    st.lists(st.sampled_from(REGIONS), max_size=2, unique=True).map(lambda regions: tuple(sorted(regions))),
)


@st.composite
def windows(draw: st.DrawFn) -> CallingWindow:
    start, end = sorted([draw(times), draw(times)])
    assume(start < end)
    weekdays = draw(st.sets(st.sampled_from(WEEKDAYS), min_size=1) | st.just(set(WEEKDAYS)))
    return CallingWindow(
        start=start,
        end=end,
        weekdays=tuple(day for day in WEEKDAYS if day in weekdays),
        holidays=draw(st.booleans() | st.sampled_from(["US", "GB", "US-LA"])),
        blackout=tuple(draw(st.lists(st.sampled_from(SPECIAL_DAYS), max_size=3))),
    )


@st.composite
def campaigns_under_rules(draw: st.DrawFn, campaign: Campaign) -> Campaign:
    delays: Any = st.lists(st.timedeltas(timedelta(seconds=1), timedelta(days=20)), max_size=4).map(tuple)
    names = ("no_answer", "busy", "voicemail", "callback", "rejected", "canceled", "failed", "unconfirmed")
    retry = Retry(max_attempts=draw(st.integers(1, 10)), **{name: draw(delays) for name in names})
    purpose = draw(st.sampled_from(["informational", "marketing"]))
    consent = campaign.consent.model_copy(update={"attested_by": "a test", "attested_at": date(2025, 1, 1)})
    update = {"calling_window": draw(windows()), "retry": retry, "purpose": purpose, "rehearsed": draw(st.booleans())}
    return campaign.model_copy(update=update | {"consent": consent})


class Oracle:
    """What a clerk with wall clocks and the printed rules would say. It shares the table of laws with our code, and no code."""

    def __init__(self, campaign: Campaign, place: Place) -> None:
        self.window, self.place = campaign.calling_window, place
        self.law = Law() if campaign.rehearsed else law.law_of(place.regions, campaign.purpose)

    def objects(self, at: datetime) -> str:
        for zone in self.place.zones:
            wall = at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
            day, clock = wall.date(), wall.time()
            lawful = self.law.hours[wall.weekday()]
            if WEEKDAYS[wall.weekday()] not in self.window.weekdays:
                return f"{wall} is no weekday of the window"
            if day in self.window.blackout:
                return f"{wall} is blacked out"
            if not self.window.start <= clock < self.window.end:
                return f"{wall} is outside the window"
            if lawful is None or not lawful[0] <= clock < lawful[1]:
                return f"{wall} is outside the law"
            if any(self.is_holiday(region, day) for region in self.kept()):
                return f"{wall} is a holiday"
        return ""

    def kept(self) -> set[str]:
        own: Sequence[str] = ()
        if self.window.holidays is True:
            own = self.place.regions
        elif self.window.holidays:
            own = (self.window.holidays,)
        return {*own, *self.law.closed_on_holidays_of}

    @staticmethod
    def is_holiday(region: str, day: date) -> bool:
        country, _, state = region.partition("-")
        if country == "XX":
            return False
        return day in holidays.country_holidays(country, subdiv=state or None, years=day.year)


@pytest.fixture(scope="module")
def base(reminder: Campaign) -> Campaign:
    return reminder.model_copy(update={"countries": ("US", "GB", "DE")})


@given(data=st.data(), place=places, after=instants)
@examples(80)
def test_may_ring_allows_no_minute_to_which_the_oracle_objects(
    base: Campaign, data: st.DataObject, place: Place, after: datetime
) -> None:
    campaign = data.draw(campaigns_under_rules(base))
    oracle = Oracle(campaign, place)
    facts = fresh(campaign, place)
    for minute in range(0, 26 * 60, data.draw(st.sampled_from([3, 11, 29]))):
        at = after + minute * MINUTE
        if may_ring(facts, at).allowed:
            assert oracle.objects(at) == ""


@given(data=st.data(), place=places, after=instants)
def test_an_opening_is_the_first_allowed_time_except_near_a_change_of_the_clocks(
    base: Campaign, data: st.DataObject, place: Place, after: datetime
) -> None:
    campaign = data.draw(campaigns_under_rules(base))
    facts = fresh(campaign, place)
    opening = next_opening(campaign, place, after)
    until = opening or after + timedelta(days=3)
    if opening:
        assert opening >= after
        assert may_ring(facts, opening).allowed
        assert Oracle(campaign, place).objects(opening) == ""
    minutes = min(int((until - after) / MINUTE), 2 * 24 * 60)
    oracle = Oracle(campaign, place)
    for minute in range(0, minutes, 23):
        at = after + minute * MINUTE
        verdict = may_ring(facts, at)
        assert not verdict.allowed
        if opening or not verdict.until:
            assert verdict.until == opening
        else:  # a later minute looks farther ahead
            assert verdict.until > after + timedelta(days=SEARCH_DAYS)
        assert oracle.objects(at) or any(clocks_change(zone, at) for zone in place.zones)


@given(data=st.data(), place=places, at=instants)
@example(data=None, place=Place(("America/New_York",), ("US-NY",)), at=datetime(2026, 11, 1, 5, 30, tzinfo=UTC)).via(
    "the hour that comes twice"
)
def test_a_held_contact_may_be_rung_at_the_moment_that_the_verdict_names(
    base: Campaign, data: Any, place: Place, at: datetime
) -> None:
    campaign = data.draw(campaigns_under_rules(base)) if data else base.model_copy(update={"rehearsed": False})
    verdict = may_ring(fresh(campaign, place), at)
    if verdict.until:
        assert may_ring(fresh(campaign, place), verdict.until).allowed


@given(
    data=st.data(),
    place=places,
    now=instants,
    disposition=st.sampled_from(list(Disposition)),
    made=st.integers(1, 10),
    callback_h=st.none() | st.floats(-48, 24 * 30),
)
def test_the_next_attempt_comes_at_a_time_at_which_the_contact_may_be_rung(
    base: Campaign,
    data: st.DataObject,
    place: Place,
    now: datetime,
    disposition: Disposition,
    made: int,
    callback_h: float | None,
) -> None:
    campaign = data.draw(campaigns_under_rules(base))
    settled = Settled(disposition, "", callback_at=None if callback_h is None else now + callback_h * HOUR)
    due = retries.next_attempt(campaign, settled, made, place, now)
    if due is None:
        return
    assert due >= now
    asked_back = disposition is Disposition.CALLBACK
    assert may_ring(fresh(campaign, place, made=made, asked_back=asked_back), due).allowed
    assert Oracle(campaign, place).objects(due) == ""


@given(
    rung_at=st.sets(st.integers(0, 60 * 12), min_size=15, max_size=60),  # in steps of five minutes
    own=st.none() | st.integers(1, 3),
    purpose=st.sampled_from(["informational", "marketing"]),
    regions=st.sampled_from([("US-NY",), ("US-ME",), ("US-FL",), ("US",), ("GB",)]),
)
def test_a_number_is_never_rung_more_often_than_a_cap_allows_in_any_period(
    base: Campaign, rung_at: set[int], own: int | None, purpose: str, regions: tuple[str, ...]
) -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    always = CallingWindow(start=time(0), end=time(23, 59, 59), holidays=False)
    retry = base.retry.model_copy(update={"max_per_day": own})
    campaign = base.model_copy(
        update={"retry": retry, "purpose": purpose, "rehearsed": False, "calling_window": always}
    )
    place = Place(("UTC",), regions)
    rung: list[datetime] = []
    for five in sorted(rung_at):
        at = start + 5 * five * MINUTE
        verdict = may_ring(fresh(campaign, place, rung=tuple(rung)), at)
        if verdict.allowed:
            rung.append(at)
        elif verdict.rule == "number_limit":
            assert verdict.until
            assert may_ring(fresh(campaign, place, rung=tuple(rung)), verdict.until).allowed
    for cap in retries.caps(campaign, place):
        for first in rung:
            assert sum(first <= at < first + cap.period for at in rung) <= cap.attempts


def fresh(campaign: Campaign, place: Place, **known: Any) -> Facts:
    """Return facts in which nothing but the time can be wrong."""
    return Facts(campaign, PHONE, place, registries={"us-dnc": Registry(date(2200, 1, 1), "marketing")}, **known)


def clocks_change(zone: str, at: datetime) -> bool:
    """Whether a zone's clock is set within four hours of `at`. There our rules may refuse a time that the oracle allows."""
    offsets = {(at + hours * HOUR).astimezone(ZoneInfo(zone)).utcoffset() for hours in (-4, -2, 0, 2, 4)}
    return len(offsets) > 1
