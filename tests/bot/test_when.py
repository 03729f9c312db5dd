"""When somebody may be called again."""

from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.when import LATEST, BadTime, in_words, parse_when, zone_of
from campaigns.call import Hours

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)  # a Tuesday, ten in New York
HOURS = Hours(zone="America/New_York", start=time(9), end=time(20), weekdays=(0, 1, 2, 3, 4, 5))


def test_a_local_time_is_the_contacts_own() -> None:
    assert parse_when("2026-11-25T15:00", HOURS, NOW) == datetime(2026, 11, 25, 20, 0, tzinfo=UTC)


def test_a_time_with_an_offset_is_that_moment() -> None:
    assert parse_when("2026-11-25T15:00:00+01:00", HOURS, NOW) == datetime(2026, 11, 25, 14, 0, tzinfo=UTC)


def test_words_name_no_moment_and_the_campaign_decides() -> None:
    assert parse_when("some time later", HOURS, NOW) is None


def test_a_local_time_without_a_known_zone_is_not_guessed() -> None:
    assert parse_when("2026-11-25T15:00", None, NOW) is None
    assert parse_when("2026-11-25T15:00", HOURS.model_copy(update={"zone": "Nowhere/At_all"}), NOW) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-24T09:00", "is over"),
        ("2026-11-25T21:00", "09:00 to 20:00"),
        ("2026-11-25T08:59", "09:00 to 20:00"),
        ("2026-11-29T12:00", "Monday, Tuesday"),  # a Sunday
        ("2027-06-01T12:00", "60 days"),
    ],
)
def test_a_time_at_which_we_may_not_call_is_refused_with_what_to_propose(text: str, told: str) -> None:
    with pytest.raises(BadTime, match=told):
        parse_when(text, HOURS, NOW)


@given(st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)))  # noqa: DTZ001 - local times
def test_whatever_is_accepted_is_within_the_hours(at: datetime) -> None:
    try:
        moment = parse_when(at.isoformat(), HOURS, NOW)
    except BadTime:
        return
    assert moment is not None
    assert NOW < moment <= NOW + LATEST
    local = moment.astimezone(zone_of(HOURS))
    assert HOURS.start <= local.time() < HOURS.end
    assert local.weekday() in HOURS.weekdays


def test_every_day_is_said_so() -> None:
    assert in_words(HOURS.model_copy(update={"weekdays": tuple(range(7))})).startswith("every day")
    assert timedelta(days=60) == LATEST
