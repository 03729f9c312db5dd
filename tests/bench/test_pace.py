"""The functions that check the pace find every dial too many: nothing else checks it."""

from hypothesis import given
from hypothesis import strategies as st

from bench.dialstage import Arrival
from bench.pace import above, busiest, spans


def test_eight_a_second_evenly_spread_are_eight_in_any_second() -> None:
    assert busiest([n / 8 for n in range(100)], 1.0) == 8


def test_one_that_comes_a_millisecond_too_early_is_noticed() -> None:
    moments = [n / 8 for n in range(100)]
    moments[57] -= 0.001
    assert busiest(moments, 1.0) == 9


def test_a_burst_across_the_border_of_two_seconds_is_noticed() -> None:
    late, early = [0.99 + n / 1000 for n in range(5)], [1.01 + n / 1000 for n in range(5)]
    assert busiest(late + early, 1.0) == 10
    assert busiest(early, 0.002) == 2


def test_what_is_exactly_a_window_apart_is_not_in_one() -> None:
    assert busiest([0.0, 1.0, 2.0], 1.0) == 1
    assert busiest([], 1.0) == 0


def test_a_dial_is_too_soon_only_if_a_carrier_that_stood_still_does_not_explain_it() -> None:
    even = [Arrival(n / 8, n / 8, "+1") for n in range(100)]
    assert above(even, 8, 1.0) == 0
    early = [*even[:57], Arrival(57 / 8 - 0.001, 57 / 8 - 0.001, "+1"), *even[58:]]
    assert above(early, 8, 1.0) == 1
    stood_still = [*even[:49], Arrival(49 / 8, 49 / 8 + 0.1, "+1"), *even[50:]]
    assert above(stood_still, 8, 1.0) == 0
    assert busiest([dial.at for dial in stood_still], 1.0) == 9


@given(st.lists(st.integers(0, 5000), max_size=60), st.integers(1, 2000))
def test_it_finds_as_many_as_whoever_looks_from_every_moment(moments: list[int], window: int) -> None:
    most = max((sum(start <= at < start + window for at in moments) for start in moments), default=0)
    assert busiest(moments, window) == most


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=60), st.integers(1, 10))
def test_no_window_holds_more_than_so_many_if_each_is_a_window_after_the_one_so_many_before_it(
    moments: list[int], apart: int
) -> None:
    kept = all(span >= 1000 for span in spans(moments, apart))
    assert (busiest(moments, 1000) <= apart) is kept
