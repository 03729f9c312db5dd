"""What calls share, and what they must not."""

from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial

import numpy as np
import pytest
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pydantic import SecretStr

from bot.services import RATE, Senses, SpareSenses
from bot.settings import BotSettings

WINDOW = 256
KEY = SecretStr("sandbox")


@pytest.fixture(scope="module")
def spare() -> SpareSenses:
    return SpareSenses(BotSettings(openai_api_key=KEY, deepgram_api_key=KEY, cartesia_api_key=KEY, brief_secret=KEY))


@pytest.fixture
def two(spare: SpareSenses) -> tuple[Senses, Senses]:
    return spare.take(None), spare.take(None)


def sound(seed: int, windows: int = 60) -> list[bytes]:
    """Hum and hiss that comes and goes: enough to move the model's state."""
    chance = np.random.default_rng(seed)
    at = np.arange(windows * WINDOW) / RATE
    wave = np.sin(2 * np.pi * 140 * at) * (np.sin(2 * np.pi * 3 * at) > 0) * 9000 + chance.normal(0, 900, at.size)
    samples = wave.astype("<i2").tobytes()
    return [samples[start : start + 2 * WINDOW] for start in range(0, len(samples), 2 * WINDOW)]


def confidences(activity: SileroVADAnalyzer, windows: list[bytes]) -> list[float]:
    return [float(np.squeeze(activity.voice_confidence(window))) for window in windows]


def test_calls_share_the_weights_of_the_models_and_nothing_else(two: tuple[Senses, Senses]) -> None:
    one, other = two
    assert one.turn._session is other.turn._session
    assert one.activity._model.session is other.activity._model.session
    alike = {name for name, value in vars(one.turn).items() if value is vars(other.turn)[name] and is_mutable(value)}
    assert alike == {"_session"}
    alike = {
        name for name, value in vars(one.activity).items() if value is vars(other.activity)[name] and is_mutable(value)
    }
    assert alike == set()


def is_mutable(value: object) -> bool:
    return not isinstance(value, Enum | int | float | str | bytes | tuple | frozenset | None) and not callable(value)


def test_what_one_call_hears_does_not_change_what_another_hears(spare: SpareSenses) -> None:
    alone = confidences(spare.take(None).activity, sound(1))
    one, other = spare.take(None), spare.take(None)
    mixed = []
    for mine, theirs in zip(sound(1), sound(2), strict=True):
        mixed += confidences(one.activity, [mine])
        confidences(other.activity, [theirs])
    assert mixed == alone
    assert max(alone) - min(alone) > 0.01, "the sound does not move the model, so this shows nothing"


def test_one_model_answers_many_calls_at_a_time_as_it_answers_each_alone(spare: SpareSenses) -> None:
    sounds = [sound(seed) for seed in range(6)]
    alone = [confidences(spare.take(None).activity, windows) for windows in sounds]
    with ThreadPoolExecutor(max_workers=6) as pool:
        together = list(pool.map(partial(heard_by_a_new_call, spare), sounds))
    assert together == alone


def heard_by_a_new_call(spare: SpareSenses, windows: list[bytes]) -> list[float]:
    return confidences(spare.take(None).activity, windows)


def test_each_campaign_s_pauses_are_its_own(spare: SpareSenses) -> None:
    one = spare.take(None)
    one.turn._params.stop_secs = 9.0
    one.activity._params.start_secs = 9.0
    other = spare.take(None)
    assert other.turn._params.stop_secs < 9
    assert other.activity._params.start_secs < 9
