"""The figures' arithmetic: what a timeline and a sound tell."""

import math

import numpy as np
import pytest

from bench.analysis import (
    Timeline,
    confusion,
    joined,
    missing_end_s,
    percentile,
    right_share,
    spread,
    was_heard,
)
from bench.endings import last_utterances
from sandbox.audio import RATE, ulaw_decode, ulaw_encode
from sandbox.speech import synthesize

WORDS = "Thank you for your time. Goodbye."


def timeline(*events: tuple[float, str], end: float = 30.0) -> Timeline:
    return Timeline(events, end)


def call(text: str = WORDS, before_s: float = 1.0, after_s: float = 1.0) -> np.ndarray:
    """What a callee hears: silence, these words through a telephone, silence."""
    sound = ulaw_decode(ulaw_encode(synthesize(text, "v"))).astype(np.float64)
    return np.concatenate([np.zeros(int(before_s * RATE)), sound, np.zeros(int(after_s * RATE))])


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([3, 1, 2], 50) == 2
    assert percentile(list(range(1, 101)), 99) == 99
    assert math.isnan(percentile([], 50))


def test_what_never_happened_counts_in_a_distribution() -> None:
    told = spread([0.1, 0.2, math.inf])
    assert (told["n"], told["median_ms"], told["p99_ms"]) == (3, 200, math.inf)


def test_pauses_within_an_utterance_do_not_end_it() -> None:
    assert joined([(0, 1), (1.5, 2), (4, 5)], 0.8) == [(0, 2), (4, 5)]


def test_a_reply_counts_from_the_persons_last_sound() -> None:
    talk = timeline(
        (0.3, "bot_audio"), (0.5, "bot_starts"), (3.0, "bot_stops"),
        (4.0, "person_starts"), (5.0, "person_stops"),
        (6.2, "bot_audio"), (6.4, "bot_starts"), (8.0, "bot_stops"),
    )  # fmt: skip
    assert talk.replies() == [(pytest.approx(1.2), pytest.approx(1.4))]


@pytest.mark.parametrize(
    ("talk", "answered"),
    [
        ((), False),
        (((0.1, "person_starts"), (0.5, "bot_starts"), (0.9, "person_stops")), False),  # a hello is no answer
        (((0.1, "person_starts"), (0.5, "bot_starts"), (0.9, "person_stops"), (6.0, "bot_stops")), False),
        (((0.5, "bot_starts"), (6.0, "bot_stops"), (7.0, "person_starts")), True),
    ],
)
def test_a_greeting_is_answered_once_somebody_speaks_after_its_end(
    talk: tuple[tuple[float, str], ...], answered: bool
) -> None:
    assert timeline(*talk).is_answered is answered


def test_what_is_said_before_the_first_word_or_over_the_bot_has_no_reply() -> None:
    talk = timeline(
        (0.1, "person_starts"), (0.2, "person_stops"),
        (0.3, "bot_audio"), (0.5, "bot_starts"),
        (1.0, "person_starts"), (1.5, "person_stops"),
        (3.0, "bot_stops"), (4.0, "bot_audio"), (4.1, "bot_starts"),
    )  # fmt: skip
    assert talk.replies() == []


def test_a_person_who_speaks_over_the_bot_is_measured_until_clear_and_until_silence() -> None:
    talk = timeline(
        (0.5, "bot_starts"), (4.0, "bot_stops"),
        (6.0, "bot_starts"), (7.0, "person_starts"), (7.3, "clear"), (7.35, "bot_stops"), (8.0, "person_stops"),
    )  # fmt: skip
    (barge,) = talk.barge_ins()
    assert barge.over == "answer"
    assert barge.cleared_s == pytest.approx(0.3)
    assert barge.silent_s == pytest.approx(0.35)


def test_a_bot_that_speaks_on_was_not_stopped() -> None:
    talk = timeline((0.5, "bot_starts"), (1.5, "person_starts"), (2.0, "person_stops"), (8.0, "bot_stops"))
    (barge,) = talk.barge_ins()
    assert (barge.over, barge.cleared_s, barge.silent_s) == ("greeting", math.inf, math.inf)


def test_the_longest_silence_may_be_at_the_end_and_speaking_over_each_other_is_none() -> None:
    talk = timeline(
        (1.0, "bot_starts"), (2.0, "person_starts"), (4.0, "bot_stops"), (5.0, "person_stops"), end=12.0
    )  # fmt: skip
    assert talk.longest_silence() == (5.0, 12.0)
    assert timeline(end=9.0).longest_silence() == (0.0, 9.0)


def test_nothing_is_missing_of_words_that_were_heard_whole() -> None:
    assert missing_end_s(call(), WORDS, "v") == 0


@pytest.mark.parametrize("cut_s", [0.1, 0.3, 0.8])
def test_what_a_hang_up_cuts_off_is_missed(cut_s: float) -> None:
    sound = call(after_s=0)
    spoken = len(np.trim_zeros(sound, "b")) - int(cut_s * RATE)
    assert missing_end_s(sound[:spoken], WORDS, "v") == pytest.approx(cut_s, abs=0.06)


def test_a_hole_in_the_middle_is_no_missing_end() -> None:
    sound = call()
    middle = RATE + RATE // 2
    torn = np.concatenate([sound[:middle], np.zeros(RATE // 5), sound[middle:]])
    assert missing_end_s(torn, WORDS, "v") == 0


def test_words_that_were_never_said_are_missing_whole() -> None:
    assert missing_end_s(call("Something else was said."), WORDS, "v") > 1


def test_words_said_twice_count_the_last_time() -> None:
    twice = np.concatenate([call(), call(after_s=0)[: RATE + RATE]])
    assert missing_end_s(twice, WORDS, "v") > 0.5


def test_a_word_is_known_by_its_sound() -> None:
    assert was_heard(call(), "Goodbye.", "v")
    assert not was_heard(call(), "Wednesday", "v")


def test_the_last_utterance_of_a_voice_is_the_last_that_was_not_taken_back() -> None:
    spoken = [
        {"voice": "a", "text": "Hello.", "cancelled": False},
        {"voice": "b", "text": "Goodbye.", "cancelled": False},
        {"voice": "a", "text": "It depends", "cancelled": True},
    ]
    assert last_utterances(spoken) == {"a": "Hello.", "b": "Goodbye."}


def test_the_share_of_right_endings_is_of_all_calls() -> None:
    table = confusion([("talks", "completed"), ("talks", "failed"), ("fax", "no report"), ("fax", "failed")])
    assert table == {"fax": {"no report": 1, "failed": 1}, "talks": {"completed": 1, "failed": 1}}
    assert right_share(table, {"talks": ["completed"], "fax": ["failed", "wrong_number"]}) == 0.5
