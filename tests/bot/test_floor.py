"""Who has the floor, what is still to be said, and who keeps whom waiting."""

from bot import silence
from bot.floor import Floor
from bot.silence import BROKEN_OFF_S, MODEL_WITHIN_S

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
