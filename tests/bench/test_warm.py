"""The auditor of the ramp and of the lines: what it would not see, it would let pass."""

import pytest

from bench.lines import full_since, most_at_once, occupied
from bench.rig import HeldTalk
from bench.shares import while_all_wait, worst_off
from bench.warm import WARM, beyond, most_rings, ramp_allowed, silent, upper_rate, used


def talk(dialed_at: float, answered_at: float | None = None, ended_at: float | None = None, to: str = "+1") -> HeldTalk:
    return HeldTalk(to, dialed_at, answered_at, ended_at)


def test_one_call_too_many_is_seen_even_if_it_lasts_a_moment() -> None:
    talks = [talk(0, ended_at=10), talk(1, ended_at=10), talk(9.99, ended_at=20)]
    assert most_at_once(talks) == 3
    assert most_at_once([talk(0, ended_at=10), talk(10, ended_at=20)]) == 1
    assert full_since(talks, 2) == 1
    assert full_since(talks, 4) is None


def test_lines_that_stand_idle_are_seen() -> None:
    assert occupied([talk(0, ended_at=5), talk(10)], 0, 20) == 0.75


def test_rings_beyond_the_rule_are_seen() -> None:
    assert beyond(ramp_allowed([talk(0.1 * n) for n in range(WARM)])) == 0
    assert beyond(ramp_allowed([talk(0.1 * n) for n in range(WARM + 1)])) == 1


def test_a_bot_that_was_used_is_missing_until_it_is_replaced() -> None:
    talks = [talk(0.01 * n, 1, 2) for n in range(WARM)]
    assert beyond(ramp_allowed([*talks, talk(31.9, ended_at=32.5)])) == 1
    assert beyond(ramp_allowed([*talks, talk(32.1, ended_at=32.5)])) == 0


def test_a_ramp_slower_than_the_rule_is_seen() -> None:
    assert used(ramp_allowed([talk(0, ended_at=20), talk(20, ended_at=40)])) < 0.3


def test_what_may_ring_is_what_few_answers_in_a_thousand_half_minutes_pass() -> None:
    assert upper_rate(0, 0) == 1
    assert 0.35 < upper_rate(30, 70) < 0.45
    assert most_rings(0, 0.1) == 0
    assert most_rings(10, 1.0) == 10
    assert 10 < most_rings(10, 0.4) < 25


def test_silence_is_counted_from_the_first_moment_after_two_seconds() -> None:
    assert silent([{"silent_s": 2.1}, {"silent_s": 1.9}]) == 1


def test_a_campaign_that_gets_less_than_its_weight_is_seen() -> None:
    campaigns = {"a": {"+1", "+2"}, "b": {f"+{n}" for n in range(3, 9)}}
    talks = [talk(at, to=f"+{n}") for at, n in enumerate((1, 3, 4, 2, 5, 6))]
    counts = while_all_wait(talks, campaigns, 0)
    assert counts == {"a": 2, "b": 2}, "after the fourth dial, a has nobody left"
    assert while_all_wait(talks, campaigns, 1) == {"a": 1, "b": 0}
    assert worst_off(counts, {"a": 1, "b": 1}) == 0
    assert worst_off({"a": 4, "b": 6}, {"a": 1, "b": 1}) == pytest.approx(0.2)
