"""Tell which clip is being spoken, frame by frame, by comparing the sound with every clip.

Each 20 ms become the loudness of 18 bands of frequency. A `Hearing` follows every place in every clip at which the speech
may be now, and adds up how unlike the sound and the clip have been on the way to it; each new frame moves all places one
frame on. Within the first third of a second it gives up all but the likeliest 200 places. So it also follows a clip that
begins or ends in the middle, and gives the words of that part.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sandbox.audio import FRAME, RATE, Samples, ulaw_decode
from sandbox.clips import CLIPS, clip

Floats = NDArray[np.float32]

_SIZE: Final = 256
_NOTHING: Final = np.zeros(_SIZE - FRAME, np.int16)
_BANDS: Final = 18
_FLOOR: Final = 1e5
"""The energy below which a band counts as silent, so that noise does not look like a voice."""

_QUIET: Final = 300.0
"""The root mean square below which a frame of a clip counts as a pause."""

_PHASES: Final = 4
"""Each clip is stored four times, shifted by quarters of a frame, because speech can begin at any moment."""

_LEAD: Final = 3
_TAIL: Final = 4
"""Silent frames before and after each clip. A place that reaches the last one stays there."""

_SHORTEST: Final = 5
"""With fewer frames than this, the recognizer gives no words."""

_KEPT: Final = {3: 8_000, 6: 2_000, 15: 200}
"""Number of frames heard -> how many places are followed from then on."""

_SURE: Final = 0.6
"""The mean unlikeness up to which a sound counts as a clip. The right clip stays below 0.25, others above 1.3."""

_BREATH: Final = 6
"""After this many quiet frames, another clip may follow in the same stretch."""


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    middle: float  # in frames from the beginning of the clip


@dataclass(frozen=True, slots=True)
class _Place:
    """One clip at one shift: rows `first` to `last` - 1 of the table."""

    words: tuple[_Word, ...]
    first: int
    last: int


@lru_cache(maxsize=1)
def _filters() -> tuple[Floats, Floats]:
    """Return the window, and the bands: triangles that are evenly spaced on the mel scale, as our ears hear pitch."""
    lowest, highest = 1127 * float(np.log(1 + 120 / 700)), 1127 * float(np.log(1 + 3800 / 700))
    edges = 700 * (np.exp(np.linspace(lowest, highest, _BANDS + 2) / 1127) - 1)
    frequencies = np.fft.rfftfreq(_SIZE, 1 / RATE)
    rising = (frequencies[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies[:, None]) / (edges[2:] - edges[1:-1])
    bands = np.maximum(0, np.minimum(rising, falling))
    return np.hanning(_SIZE).astype(np.float32), bands.astype(np.float32)


def _loudnesses(windows: NDArray[np.float32]) -> Floats:
    """Return the loudness of each band, one row for each row of 256 samples."""
    window, bands = _filters()
    energy = (np.abs(np.fft.rfft(windows * window, axis=1)) ** 2) @ bands
    return (np.log10(energy + _FLOOR) - np.log10(_FLOOR)).astype(np.float32)


def _features(sound: Samples) -> Floats:
    """Return one row for each whole frame, from the 256 samples that end with that frame."""
    frames = len(sound) // FRAME
    padded = np.concatenate([_NOTHING, sound[: frames * FRAME]]).astype(np.float32)
    return _loudnesses(np.lib.stride_tricks.sliding_window_view(padded, _SIZE)[::FRAME][:frames])


@dataclass(frozen=True, slots=True)
class _ClipTable:
    rows: Floats  # the features of every clip at every shift, one below the other
    squares: Floats  # the sum of squares of each row
    after: NDArray[np.int64]  # for each row, the one that follows it
    places: tuple[_Place, ...]
    place_of: NDArray[np.int32]  # for each row, the index of its place


@lru_cache(maxsize=1)
def table() -> _ClipTable:
    """Compute the features of every clip, once."""
    parts: list[Floats] = []
    places: list[_Place] = []
    at = 0
    for name in CLIPS:
        sound = ulaw_decode(clip(name))
        words = _timed(CLIPS[name], sound)
        for phase in range(_PHASES):
            lead = np.zeros(_LEAD * FRAME + phase * FRAME // _PHASES, np.int16)
            part = _features(np.concatenate([lead, sound, np.zeros(_TAIL * FRAME, np.int16)]))
            places.append(_Place(words, at, at + len(part)))
            parts.append(part)
            at += len(part)
    rows = np.concatenate(parts)
    after = np.arange(1, at + 1)
    after[[place.last - 1 for place in places]] -= 1
    place_of = np.repeat(np.arange(len(places), dtype=np.int32), [place.last - place.first for place in places])
    return _ClipTable(rows, np.einsum("ij,ij->i", rows, rows), after, tuple(places), place_of)


def _timed(words: str, sound: Samples) -> tuple[_Word, ...]:
    """Spread the words over the loud part of the clip, in proportion to their letters."""
    spoken = words.split()
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float32)
    loud = np.flatnonzero((frames**2).mean(axis=1) > _QUIET**2)
    letters = np.array([len(word) for word in spoken])
    share = (np.cumsum(letters) - letters / 2) / max(1, letters.sum())
    middles = loud[(share * len(loud)).astype(int)] if spoken else ()
    return tuple(_Word(word, float(middle)) for word, middle in zip(spoken, middles, strict=True))


class Hearing:
    """One stretch of speech, followed while it comes in."""

    def __init__(self) -> None:
        self._said: list[str] = []  # the words of the clips that are over
        self._before = _NOTHING
        self._quiet = 0
        self._begin()

    def _begin(self) -> None:
        self._begun = self._rows = np.arange(
            len(table().rows)
        )  # for each place: the row it began at, and the row it is at now
        self._cost = np.zeros(len(self._rows), np.float32)
        self._heard = 0

    def frame(self, samples: Samples, *, loud: bool = True) -> None:
        """Take the next 20 ms."""
        if loud and self._quiet >= _BREATH and self._is_past_its_clip():
            self._said.append(self._words())
            self._begin()
        self._quiet = 0 if loud else self._quiet + 1
        feature = _loudnesses(np.concatenate([self._before, samples])[None].astype(np.float32))[0]
        self._before = samples[-len(_NOTHING) :]
        known = table()
        if self._heard:
            self._rows = known.after[self._rows]
        if self._heard < min(_KEPT):
            unlike = (known.squares - 2 * (known.rows @ feature))[self._rows] + feature @ feature
        else:
            unlike = ((known.rows[self._rows] - feature) ** 2).sum(axis=1)
        self._cost = self._cost + unlike / _BANDS
        self._heard += 1
        if (kept := _KEPT.get(self._heard, len(self._cost))) < len(self._cost):
            best = np.argpartition(self._cost, kept)[:kept]
            self._begun, self._rows, self._cost = self._begun[best], self._rows[best], self._cost[best]

    @property
    def unlikeness(self) -> float:
        """How unlike the sound is to the likeliest clip, per frame; 0 is the same."""
        return float(self._cost.min()) / self._heard if self._heard else float("inf")

    def words(self) -> str:
        """Return the words that have been heard so far; "" if the sound is like no clip."""
        return " ".join(filter(None, [*self._said, self._words()]))

    def _words(self) -> str:
        if self._heard < _SHORTEST or self.unlikeness > _SURE:
            return ""
        place, begun, end = self._likeliest()
        return " ".join(word.text for word in place.words if begun <= word.middle < end)

    def _is_past_its_clip(self) -> bool:
        if self._heard < _SHORTEST or self.unlikeness > _SURE:
            return self._heard > 0  # an unknown sound, so the next one is a new sound
        place, _, end = self._likeliest()
        return end >= place.last - place.first - _LEAD - _TAIL

    def _likeliest(self) -> tuple[_Place, int, int]:
        """Return the likeliest clip, and from which of its frames to which it has been heard."""
        best = np.argmin(self._cost)
        row = int(self._rows[best])
        place = table().places[int(table().place_of[row])]
        zero = place.first + _LEAD
        return place, int(self._begun[best]) - zero, row + 1 - zero


def recognize(samples: Samples) -> str:
    """Return the words of a whole stretch of speech."""
    hearing = Hearing()
    for frame in samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME):
        hearing.frame(frame)
    return hearing.words()
