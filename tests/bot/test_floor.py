"""Who has the floor, what is still to be said, and who keeps whom waiting."""

from bot import silence
from bot.floor import Floor
from bot.silence import BROKEN_OFF_S, DEAD_AIR_S, MODEL_WITHIN_S, WORDS_WITHIN_S

GREETING = "Hello Ada, this is the automated assistant of Harbour Dental."


def test_what_was_cut_off_is_what_nobody_has_heard_yet() -> None:
    floor = Floor(began=0.0)
    floor.say(GREETING, 0.0)
    floor.bot_sounds(0.2)
    floor.bot_starts(0.2)
    for word in ("Hello", "Ada,", "this is"):
        floor.unsaid.heard(word)
    floor.interrupted()
    assert floor.unsaid.rest == "the automated assistant of Harbour Dental."
    assert not floor.unsaid.pending


def test_tokens_of_the_models_become_whole_words() -> None:
    floor = Floor(began=0.0)
    floor.unsaid.begin_answer()
    for token in ("Of", " cour", "se", ". Tues", "day", " it is"):
        floor.model_writes(token, 1.0)
    assert floor.unsaid.pending == "Of course. Tuesday it is"


def test_the_voice_owes_sound_from_the_first_word_and_no_longer_than_to_the_first_sound() -> None:
    floor = Floor(began=0.0)
    assert not silence.owed_since(floor)
    floor.say(GREETING, 1.0)
    floor.say("And more.", 2.0)
    assert silence.owed_since(floor) == 1.0
    floor.bot_sounds(2.5)
    assert not silence.owed_since(floor)


def test_the_model_owes_words_until_they_come_or_a_tool_is_called() -> None:
    floor = Floor(began=0.0)
    floor.model_asked(1.0)
    assert silence.owed_since(floor) == 1.0
    floor.model_ends()
    assert not silence.owed_since(floor)


def test_while_the_bot_says_that_it_takes_a_moment_the_model_has_time() -> None:
    floor = Floor(began=0.0)
    floor.model_asked(1.0)
    floor.bot_sounds(3.0)
    assert not silence.model_is_late(floor, 3.0 + MODEL_WITHIN_S / 2)
    assert silence.model_is_late(floor, 3.1 + MODEL_WITHIN_S), "it still owes an answer"


def test_a_thought_that_was_cut_off_before_its_first_word_is_remembered() -> None:
    floor = Floor(began=0.0)
    floor.model_asked(1.0)
    floor.interrupted()
    assert floor.unsaid.lost_thought
    floor.unsaid.drop_rest()
    assert not floor.unsaid.lost_thought


def test_a_voice_that_dies_in_the_middle_is_noticed_and_one_that_ends_is_not() -> None:
    floor = Floor(began=0.0)
    floor.say(GREETING, 0.0)
    floor.bot_sounds(0.2)
    for word in ("Hello", "Ada,"):
        floor.unsaid.heard(word)
    floor.bot_sounds(1.0)
    assert not silence.voice_broke_off(floor, 1.0 + BROKEN_OFF_S / 2)
    assert silence.voice_broke_off(floor, 1.1 + BROKEN_OFF_S)
    floor.utterance_over()
    assert not silence.voice_broke_off(floor, 5.0)
    assert floor.unsaid.pending.startswith("this is the automated"), "given up by the voice: it can still be said again"


def test_silence_is_counted_from_whoever_was_heard_last_and_not_while_somebody_speaks() -> None:
    floor = Floor(began=10.0)
    assert silence.silent_s(floor, 12.0) == 2.0
    floor.contact_starts(12.0)
    assert silence.silent_s(floor, 13.0) == 0.0
    floor.contact_stops(13.5)
    assert silence.silent_s(floor, 14.0) == 0.5
    floor.bot_sounds(14.5)
    assert silence.silent_s(floor, 15.0) == 0.5


def test_an_answers_latency_runs_from_their_last_sound_to_the_bots_first() -> None:
    floor = Floor(began=0.0)
    floor.bot_sounds(1.0)
    floor.contact_starts(2.0)
    floor.contact_stops(3.0)
    floor.say("Of course.", 3.6)
    floor.bot_sounds(3.9)
    floor.bot_starts(3.9)
    assert floor.turn_taken() == (3.9, 900)
    assert floor.turn_taken() == (0.0, None)


def test_a_voice_without_words_is_missed_after_its_end_and_no_longer_than_until_it_is_given_up() -> None:
    floor = Floor(began=0.0)
    floor.contact_starts(1.0)
    assert not silence.words_are_missing(floor, 9.0), "they are still speaking"
    floor.contact_stops(9.0)
    assert not silence.words_are_missing(floor, 9.0 + WORDS_WITHIN_S / 2)
    assert silence.words_are_missing(floor, 9.1 + WORDS_WITHIN_S)
    floor.expect_no_words()
    assert not silence.words_are_missing(floor, 9.1 + WORDS_WITHIN_S)
    floor.contact_starts(20.0)
    floor.contact_words(21.0)
    floor.contact_stops(22.0)
    assert not silence.words_are_missing(floor, 22.1 + WORDS_WITHIN_S), "it had words"


def test_a_silent_contact_is_not_waited_for_while_the_bot_owes_the_next_sound() -> None:
    floor = Floor(began=0.0)
    assert not silence.contact_is_silent(floor, 5.0, patience_s=6.0)
    assert silence.contact_is_silent(floor, 7.0, patience_s=6.0)
    floor.model_asked(7.0)
    assert not silence.contact_is_silent(floor, 9.0, patience_s=6.0)


def test_dead_air_is_the_bots_silence_and_not_the_contacts() -> None:
    floor = Floor(began=0.0)
    assert not silence.is_dead_air(floor, 2 * DEAD_AIR_S)
    floor.model_asked(1.0)
    assert not silence.is_dead_air(floor, 1.0 + DEAD_AIR_S / 2)
    assert silence.is_dead_air(floor, 1.1 + DEAD_AIR_S)
    floor.bot_sounds(3.0)
    assert not silence.is_dead_air(floor, 1.1 + DEAD_AIR_S)


def test_all_is_said_once_the_last_utterance_was_heard_to_its_end() -> None:
    floor = Floor(began=0.0)
    assert not silence.all_is_said(floor), "nothing was said yet"
    floor.say(GREETING, 0.0)
    floor.bot_sounds(0.2)
    floor.bot_starts(0.2)
    assert silence.bot_is_busy(floor)
    floor.bot_stops()
    assert not silence.all_is_said(floor), "words are left"
    floor.utterance_over()
    assert silence.all_is_said(floor)
