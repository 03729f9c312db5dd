from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from campaigns.campaign import Campaign, load_campaign
from campaigns.places import Place
from worker.dialing.forecast import Means, run

MONDAY = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)  # 13:00 in New York, 10:00 in Los Angeles
NEW_YORK, HONOLULU = Place(("America/New_York",), ("US-NY",)), Place(("Pacific/Honolulu",), ("US-HI",))
MEANS = Means(calls_per_second=10, lines=1000, warm_bots=1000, answer_rate=0.5, talk_s=60)


@pytest.fixture(scope="module")
def sample() -> Campaign:
    return load_campaign(Path(__file__).parents[2] / "campaigns" / "appointment_reminder")


def test_who_does_not_answer_comes_again_as_often_and_as_late_as_the_campaign_says(sample: Campaign) -> None:
    course = run(sample, {NEW_YORK: 1000}, MEANS, MONDAY)
    assert course.dials == pytest.approx(1000 + 500 + 250, rel=0.01)
    assert course.answers == pytest.approx(875, rel=0.01)
    assert course.finish
    assert (
        timedelta(hours=5) <= course.finish - MONDAY <= timedelta(hours=5, minutes=15)
    )  # 1 h and 4 h between attempts


def test_a_place_that_is_closed_is_waited_for(sample: Campaign) -> None:
    once = sample.model_copy(update={"retry": sample.retry.model_copy(update={"max_attempts": 1})})
    course = run(once, {HONOLULU: 10}, MEANS, MONDAY)  # 08:00 there
    assert course.finish
    assert course.finish >= MONDAY + timedelta(hours=1)
    assert run(once, {NEW_YORK: 10}, MEANS, MONDAY).finish == run(once, {NEW_YORK: 10}, MEANS, MONDAY).finish
    never = sample.model_copy(
        update={"calling_window": sample.calling_window.model_copy(update={"weekdays": ("sun",)})}
    )
    louisiana = Place(("America/Chicago",), ("US-LA",))
    selling = never.model_copy(update={"purpose": "marketing"})
    assert run(selling, {louisiana: 10}, MEANS, MONDAY).finish is None


def test_the_pace_is_what_calls_lines_and_warm_bots_allow_together() -> None:
    assert MEANS.dials_per_second(30) == 10
    few_lines = Means(10, 30, 1000, 1.0, 48.0)  # each holds a line for a minute
    assert few_lines.dials_per_second(30) == pytest.approx(0.5)
    few_bots = Means(10, 1000, 15, 0.5, 60)  # one answer a second takes thirty
    assert few_bots.dials_per_second(30) == pytest.approx(1.0)
    assert MEANS.bots_needed == 150
    assert Means(10, 20, 1000, 0.5, 60).bots_needed == 20


def test_nobody_takes_no_time(sample: Campaign) -> None:
    course = run(sample, {}, MEANS, MONDAY)
    assert (course.dials, course.answers) == (0, 0)
    assert course.finish
