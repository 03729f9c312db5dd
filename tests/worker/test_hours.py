"""The hours for calls: the calling window by the contact's own clock, with its weekdays, zones and clock changes."""

from datetime import UTC, datetime, time, timedelta

from campaigns.campaign import CallingWindow, Campaign
from campaigns.places import Place
from worker.rules.hours import SEARCH_DAYS, next_opening
from worker.rules.may_ring import Facts, may_ring

NINE_TO_EIGHT = CallingWindow(holidays=False)
NEW_YORK, LOS_ANGELES = Place(("America/New_York",), ("US-NY",)), Place(("America/Los_Angeles",), ("US-CA",))
SOMEWHERE = Place(NEW_YORK.zones + LOS_ANGELES.zones, ("US-CA", "US-NY"))


def day(campaign: Campaign, window: CallingWindow = NINE_TO_EIGHT) -> Campaign:
    return campaign.model_copy(update={"calling_window": window})


def test_the_opening_comes_when_the_window_opens_where_the_contact_is(reminder: Campaign) -> None:
    nine_in_new_york = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
    assert next_opening(day(reminder), NEW_YORK, nine_in_new_york) == nine_in_new_york
    assert next_opening(day(reminder), LOS_ANGELES, nine_in_new_york) == nine_in_new_york + timedelta(hours=3)


def test_the_window_closes_on_the_minute(reminder: Campaign) -> None:
    eight = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)  # 20:00 in New York
    just_before = eight - timedelta(microseconds=1)
    assert next_opening(day(reminder), NEW_YORK, just_before) == just_before
    assert next_opening(day(reminder), NEW_YORK, eight) == eight + timedelta(hours=13)


def test_a_window_that_closes_in_an_hour_shown_twice_closes_the_first_time(reminder: Campaign) -> None:
    beirut = Place(
        ("Asia/Beirut",), ()
    )  # on 24 October 2026 its clocks show 23:00 to 24:00 twice, the second time from 21:00 UTC
    late = day(reminder, CallingWindow(end=time(23, 30), holidays=False)).model_copy(update={"countries": ("LB",)})
    first, again = datetime(2026, 10, 24, 20, 29, tzinfo=UTC), datetime(2026, 10, 24, 21, 10, tzinfo=UTC)
    assert may_ring(Facts(late, "+96171123456", beirut), first).allowed
    assert may_ring(Facts(late, "+96171123456", beirut), again).reason.endswith(
        "it is 23:10 in Asia/Beirut for the second time today"
    )


def test_a_number_that_may_be_in_two_zones_is_rung_only_when_both_are_open(reminder: Campaign) -> None:
    opening = next_opening(day(reminder), SOMEWHERE, datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert opening == datetime(2026, 11, 23, 17, tzinfo=UTC)  # nine in Los Angeles


def test_weekdays_are_counted_where_the_contact_is(reminder: Campaign) -> None:
    weekdays = CallingWindow(weekdays=("mon",), holidays=False)
    sunday_in_los_angeles = datetime(2026, 11, 23, 5, tzinfo=UTC)  # 21:00 on Sunday there, Monday by UTC
    opening = next_opening(day(reminder, weekdays), LOS_ANGELES, sunday_in_los_angeles)
    assert opening == datetime(2026, 11, 23, 17, tzinfo=UTC)


def test_an_opening_is_searched_for_two_months_and_no_longer(reminder: Campaign) -> None:
    # Eleven to four is open in New York and London together only while one of them has set its clocks and the other has not.
    both = Place(("America/New_York", "Europe/London"), ())
    short = day(reminder, CallingWindow(start=time(11), end=time(16), holidays=False))
    clocks_change = datetime(2026, 3, 8, 15, tzinfo=UTC)  # 11:00 in New York, 15:00 in London
    assert next_opening(short, both, clocks_change - timedelta(days=SEARCH_DAYS)) == clocks_change
    assert next_opening(short, both, clocks_change - timedelta(days=SEARCH_DAYS, minutes=1)) is None
