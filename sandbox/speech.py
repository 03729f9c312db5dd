"""Speech-like sound for any text: what the Cartesia stand-in says.

Nobody can understand it, but it has a voice's pitch, syllables and formants, so voice activity detection takes it for
speech. Each word always sounds the same, and unlike every other word, so a test can compare what a person heard with what
the bot was to say.
"""

import hashlib
import re
from functools import lru_cache
from typing import Final

import numpy as np

from sandbox.audio import RATE, Samples

CHARACTERS_PER_S: Final = 15.0
_PAUSES: Final = {",": 0.12, ";": 0.15, ":": 0.15, ".": 0.25, "!": 0.25, "?": 0.25}
_LEVEL: Final = 5000.0


def word_times(text: str) -> list[tuple[str, float, float]]:
    """Return each word with its start and end, in seconds."""
    times: list[tuple[str, float, float]] = []
    at = 0.0
    for word in text.split():
        length = max(0.12, len(re.sub(r"\W", "", word)) / CHARACTERS_PER_S)
        times.append((word, at, at + length))
        at += length + 0.03 + _PAUSES.get(word[-1], 0.0)
    return times


@lru_cache(maxsize=512)
def synthesize(text: str, voice: str = "") -> Samples:
    """Return the sound of a text in a voice."""
    words = word_times(text)
    if not words:
        return np.zeros(0, np.int16)
    sound = np.zeros(int((words[-1][2] + 0.05) * RATE), np.int16)
    for word, start, end in words:
        samples = _word(word.strip(".,;:!?").lower(), int((end - start) * RATE), voice)
        first = int(start * RATE)
        sound[first : first + len(samples)] = samples
    sound.flags.writeable = False  # every caller that asks for this text shares it
    return sound


@lru_cache(maxsize=4096)
def _word(word: str, length: int, voice: str) -> Samples:
    seed = hashlib.blake2b(f"{voice}:{word}".encode(), digest_size=8).digest()
    random = np.random.default_rng(int.from_bytes(seed, "big"))
    t = np.arange(length) / RATE
    pitch = random.uniform(95, 145) * (1 + 0.15 * np.sin(2 * np.pi * random.uniform(2, 5) * t + random.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = random.uniform((350, 900, 2200), (800, 1900, 3000))
    voiced = np.zeros(length)
    for harmonic in range(1, 26):
        frequency = harmonic * pitch
        strength = sum(np.exp(-(((frequency - f) / (90 + 0.08 * f)) ** 2)) for f in formants) + 0.15 / harmonic
        voiced += strength * np.sin(harmonic * phase)
    syllables = max(1, round(length / RATE / 0.18))
    envelope = np.sin(np.pi * np.clip(t * RATE / max(length, 1), 0, 1)) ** 0.4
    envelope *= 0.65 + 0.35 * np.cos(2 * np.pi * syllables * t * RATE / max(length, 1) - np.pi) ** 2
    sound = voiced * envelope + random.normal(0, 0.03, length) * envelope
    level = np.sqrt(np.mean(sound**2)) or 1.0
    return np.clip(sound * (_LEVEL / level), -32000, 32000).astype(np.int16)
