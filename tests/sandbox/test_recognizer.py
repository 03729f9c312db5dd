"""The recognizer hears each clip: whole, while it comes in, cut anywhere, and with noise."""

import numpy as np
import pytest

from sandbox.audio import FRAME, RATE, Samples, ulaw_decode
from sandbox.clips import CLIPS, clip
from sandbox.providers.deepgram import Segmenter, Stretch
from sandbox.providers.recognizer import Hearing, recognize
from sandbox.speech import synthesize

SPOKEN = [name for name, words in CLIPS.items() if words]
QUIET = np.zeros(RATE, np.int16)


def on_the_line(name: str, *, noise: float = 20.0) -> Samples:
    """A clip that begins between two frames, with noise."""
    random = np.random.default_rng(len(name))
    sound = np.concatenate([QUIET[: random.integers(0, FRAME)], ulaw_decode(clip(name)), QUIET])
    return (sound + random.normal(0, noise, len(sound))).astype(np.int16)


def stretches(sound: Samples, end_frames: int = 22) -> list[Stretch]:
    return [s for s in Segmenter(end_frames).feed(sound) if s.ended]


def halves(sound: Samples, at: float) -> tuple[str, str]:
    """What the recognizer hears of a clip that a Finalize cuts."""
    segmenter = Segmenter()
    cut = int(len(sound) * at)
    assert not [s for s in segmenter.feed(sound[:cut]) if s.ended]
    first = segmenter.flush().words
    return first, " ".join(s.words for s in segmenter.feed(sound[cut:]) if s.ended)


@pytest.mark.parametrize("name", CLIPS)
def test_every_clip_is_heard_as_its_own_words(name: str) -> None:
    assert " ".join(s.words for s in stretches(on_the_line(name), 40)).strip() == CLIPS[name]


@pytest.mark.parametrize("name", SPOKEN)
def test_what_is_heard_so_far_is_how_the_words_begin(name: str) -> None:
    hearing = Hearing()
    told: list[str] = []
    for frame in ulaw_decode(clip(name))[: len(clip(name)) // FRAME * FRAME].reshape(-1, FRAME):
        hearing.frame(frame)
        told.append(hearing.words())
    half = CLIPS[name].split()[: max(1, len(CLIPS[name].split()) // 2)]
    later = told[len(told) // 3 :]
    assert all(CLIPS[name].startswith(words) for words in later)
    assert any(words.startswith(" ".join(half)) for words in later)


@pytest.mark.parametrize("at", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("name", [name for name in SPOKEN if len(clip(name)) / RATE > 1.2])
def test_no_word_is_lost_or_heard_twice_where_a_clip_is_cut(name: str, at: float) -> None:
    sound = on_the_line(name)[: len(clip(name)) + FRAME]
    first, rest = halves(np.concatenate([sound, QUIET]), at * len(sound) / (len(sound) + len(QUIET)))
    assert f"{first} {rest}".split() == CLIPS[name].split()


def test_two_clips_in_one_stretch_are_both_heard() -> None:
    sound = np.concatenate([on_the_line("yes_confirm")[:-5000], on_the_line("goodbye")])
    (stretch,) = stretches(sound, 40)
    assert stretch.words == "Yes, I'll be there. Okay, goodbye."


def test_the_bots_own_voice_and_noise_are_no_words() -> None:
    noise = np.random.default_rng(1).normal(0, 2000, RATE).astype(np.int16)
    assert recognize(noise) == recognize(synthesize("Hello Ada, this is the assistant of Harbour Dental.")) == ""


def test_resampled_sound_is_recognized_too() -> None:
    sound = on_the_line("comment_wait")
    wide = np.interp(np.arange(len(sound) * 2) / 2, np.arange(len(sound)), sound)
    back = wide.reshape(-1, 2).mean(axis=1).astype(np.int16)
    assert [s.words for s in stretches(back)] == [CLIPS["comment_wait"]]
