"""Who picked up, by words, tones and the carrier's detection."""

import numpy as np
import pytest

from bot.machines import Impression, Kind, ToneDetector, by_words, is_backchannel, screen_says
from sandbox.audio import ulaw_decode
from sandbox.clips import CLIPS, clip

RATE = 8000


def sine(*hertz: float, seconds: float) -> bytes:
    t = np.arange(int(RATE * seconds)) / RATE
    return (sum(5000 / len(hertz) * np.sin(2 * np.pi * f * t) for f in hertz)).astype("<i2").tobytes()  # type: ignore[union-attr]


def silence(seconds: float) -> bytes:
    return bytes(int(2 * RATE * seconds))


def heard(*sounds: bytes) -> list[str]:
    ear, found = ToneDetector(), []
    for sound in (*sounds, silence(0.5)):
        for start in range(0, len(sound), 320):
            found += filter(None, [ear.feed(sound[start : start + 320])])
    return found


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Hi, you've reached my voicemail. Please leave a message after the tone.", Kind.VOICEMAIL),
        ("I can't come to the phone right now, leave your name and number", Kind.VOICEMAIL),
        ("The person you are calling is not available. Please record your message at the beep.", Kind.VOICEMAIL),
        ("Dies ist die Mailbox von Anna, bitte hinterlassen Sie eine Nachricht nach dem Signalton.", Kind.VOICEMAIL),
        ("If you record your name and reason for calling, I'll see if this person is available.", Kind.SCREENING),
        ("please say your name and why you are calling", Kind.SCREENING),
        ("Thank you for calling Acme. Press one for sales, press two for service.", Kind.MENU),
        ("Hello?", None),
        ("Yes, I'll be there.", None),
        ("I am not available on Tuesday", Kind.VOICEMAIL),  # the price of words: see the next test for what limits it
        ("Please stop calling me.", None),
        ("You have the wrong number.", None),
    ],
)
def test_machines_are_known_by_what_they_say(text: str, kind: Kind | None) -> None:
    assert by_words(text) is kind


@pytest.mark.parametrize("detected", ["human", "machine", "machine_ready", ""])
def test_words_beat_the_carriers_detection(detected: str) -> None:
    impression = Impression(detected=detected)
    impression.hear("please say your name and why you are calling")
    assert impression.kind is Kind.SCREENING
    talker = Impression(detected=detected)
    talker.hear("Good morning, this is Ada speaking, how may I help you?")
    assert talker.kind is Kind.HUMAN


def test_without_words_a_machine_is_believed_once_there_was_a_tone() -> None:
    assert Impression(detected="machine").kind is None, "it may be a person who says nothing"
    assert Impression(detected="machine", beeped=True).kind is Kind.VOICEMAIL
    assert Impression(detected="machine_ready").kind is Kind.VOICEMAIL
    assert Impression(beeped=True).kind is None


def test_while_words_are_coming_the_detection_is_not_believed() -> None:
    assert Impression(detected="machine_ready", so_far="Hi, the person").kind is None


def test_a_fax_is_a_fax_whatever_else_is_heard() -> None:
    impression = Impression(detected="human", fax_tone=True)
    impression.hear("Hello?")
    assert impression.kind is Kind.FAX


@pytest.mark.parametrize("hertz", [440, 850, 1000, 1400, 2100])
@pytest.mark.parametrize("seconds", [0.22, 0.4, 0.9])
def test_a_mailboxs_tone_is_heard_when_it_ends(hertz: float, seconds: float) -> None:
    assert heard(silence(0.3), sine(hertz, seconds=seconds)) == ["beep"]


def test_a_fax_is_told_by_its_answer_tone_before_that_ends() -> None:
    ear = ToneDetector()
    tone = sine(2100, seconds=3)
    told = [start / 2 / RATE for start in range(0, len(tone), 320) if ear.feed(tone[start : start + 320]) == "fax"]
    assert told
    assert 1.1 < told[0] < 1.5


def test_a_calling_fax_is_told_by_its_second_tone() -> None:
    assert heard(sine(1100, seconds=0.5), silence(3), sine(1100, seconds=0.5)) == ["beep", "fax"]


@pytest.mark.parametrize("name", [name for name, words in CLIPS.items() if words and name != "not_in_service"])
def test_speech_is_no_tone(name: str) -> None:
    assert heard(ulaw_decode(clip(name)).tobytes()) == []


def test_noise_and_chords_are_no_beep() -> None:
    noise = np.random.default_rng(1).normal(0, 3000, RATE).astype("<i2").tobytes()
    assert heard(noise) == []
    assert heard(sine(440, 880, 1320, seconds=1)) == []


@pytest.mark.parametrize("text", ["Mm-hm.", "uh-huh", "Okay.", "Hello?", "yes yes", "Ja, genau."])
def test_a_backchannel_does_not_take_the_floor(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize("text", ["", "No.", "Wait", "Okay, goodbye.", "yes I will be there", "who is this?"])
def test_what_says_something_is_no_backchannel(text: str) -> None:
    assert not is_backchannel(text)


def test_a_screen_waits_refuses_or_puts_somebody_through() -> None:
    assert screen_says("Thank you. Please hold while I connect you.") == "wait"
    assert screen_says("Thank you.") == "wait", "it pauses before it goes on"
    assert screen_says("Sorry, this person is not available.") == "no"
    assert screen_says("Hello?") == "person"
