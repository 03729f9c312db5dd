"""What the figures are made of: pure functions of timelines and of sound. Times are seconds, from the `start` message."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from sandbox.audio import FRAME, RATE
from sandbox.speech import synthesize

SAME_UTTERANCE_S: Final = 0.8
"""Pauses up to this are inside what one side says: between two sentences, and while the next one is made."""

YIELDS_WITHIN_S: Final = 3.0
"""Who has not fallen silent by then was not stopped by being talked over."""

ALIKE: Final = 0.85
"""Correlation from which sound is taken to be what it should be: G.711 alone costs less than 0.01."""

Sound = NDArray[np.float64]
Span = tuple[float, float]


# --- numbers ----------------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent do not exceed; infinite values count, and nan is for none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return a distribution in whole milliseconds. What never happened is infinite."""
    told = {"n": len(seconds)}
    points = {"median": 50, "p90": 90, "p99": 99, "max": 100}
    return told | {f"{name}_ms": _ms(percentile(seconds, point)) for name, point in points.items()}


def _ms(seconds: float) -> float:
    return round(seconds * 1000) if math.isfinite(seconds) else seconds


# --- timelines --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BargeIn:
    """Somebody spoke over the bot."""

    at_s: float
    over: Literal["greeting", "answer"]
    cleared_s: float  # until the bot told the carrier to forget the rest; infinite: it did not
    silent_s: float  # until the bot was not heard any more; infinite: it spoke on


@dataclass(frozen=True)
class Timeline:
    """What happened on a stream: (seconds, what), in order; and when it ended."""

    events: tuple[tuple[float, str], ...]
    end_s: float

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """Read it from the network's record of a call; empty if it had no stream."""
        stream = record.get("stream") or {}
        events = tuple((float(entry["t"]), str(entry["what"])) for entry in stream.get("timeline", ()))
        begun, ended = stream.get("start_sent_at"), record.get("ended_at")
        end = (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds() if begun and ended else 0
        return cls(events, max(end, events[-1][0] if events else 0.0))

    def times(self, what: str, after: float = 0.0) -> list[float]:
        """Return when something happened."""
        return [t for t, name in self.events if name == what and t >= after]

    def first(self, what: str, after: float = 0.0) -> float:
        """Return when something happened first; infinite if never."""
        return next(iter(self.times(what, after)), math.inf)

    def spans(self, who: Literal["person", "bot"], join_s: float = SAME_UTTERANCE_S) -> list[Span]:
        """Return from when to when somebody spoke, pauses of up to `join_s` included."""
        spans: list[Span] = []
        since: float | None = None
        for t, what in self.events:
            if what == f"{who}_starts" and since is None:
                since = t
            elif what == f"{who}_stops" and since is not None:
                spans.append((since, t))
                since = None
        if since is not None:
            spans.append((since, self.end_s))
        return joined(spans, join_s)

    @property
    def is_answered(self) -> bool:
        """True once the bot's first words were heard out, and somebody began to answer them."""
        return math.isfinite(self.first("person_starts", after=self.first("bot_stops")))

    def replies(self) -> list[tuple[float, float]]:
        """Return how long after each thing said to it the bot spoke: on arrival, and at the ear.

        Not counted: what was said before the bot's first word, or while it spoke, and what it did not answer before the
        person spoke again.
        """
        ours, theirs = self.spans("bot"), self.spans("person")
        first = self.first("bot_audio")
        replies: list[tuple[float, float]] = []
        for number, (began, ended) in enumerate(theirs):
            again = theirs[number + 1][0] if number + 1 < len(theirs) else self.end_s
            arrived, heard = self.first("bot_audio", ended), self.first("bot_starts", ended)
            if began > first and arrived < again and not any(a < ended < b for a, b in ours):
                replies.append((arrived - ended, heard - ended))
        return replies

    def barge_ins(self) -> list[BargeIn]:
        """Return each time that the person began to speak while the bot was heard."""
        found: list[BargeIn] = []
        utterances = self.spans("bot")
        for began, _ in self.spans("person"):
            for number, (since, until) in enumerate(utterances):
                if since + 0.1 < began < until:
                    cleared = self.first("clear", began) - began
                    silent = next(b for a, b in self.spans("bot", 0.35) if b >= began) - began
                    found.append(
                        BargeIn(
                            began,
                            "greeting" if number == 0 else "answer",
                            cleared if cleared <= YIELDS_WITHIN_S else math.inf,
                            silent if silent <= YIELDS_WITHIN_S else math.inf,
                        )
                    )
        return found

    def longest_silence(self) -> Span:
        """Return the longest time in which nobody was heard, while the call was up: from when to when."""
        voices = joined(sorted([*self.spans("bot", 0), *self.spans("person", 0)]), 0)
        borders = [0.0, *(t for span in voices for t in span), self.end_s]
        gaps = list(zip(borders[::2], borders[1::2], strict=True))
        return max(gaps, key=lambda gap: gap[1] - gap[0])


def joined(spans: Iterable[Span], join_s: float) -> list[Span]:
    """Return spans in order, those with a shorter gap than `join_s` between them as one."""
    whole: list[Span] = []
    for since, until in spans:
        if whole and since - whole[-1][1] <= join_s:
            whole[-1] = (whole[-1][0], max(until, whole[-1][1]))
        else:
            whole.append((since, until))
    return whole


# --- sound ------------------------------------------------------------------------------------------------------------


def find(sound: Sound, template: Sound) -> tuple[int, float]:
    """Return where a piece of sound is most alike to a template, and how alike: 1 is the same."""
    if not len(sound) or not len(template):
        return 0, 0.0
    size = 1 << (len(sound) + len(template)).bit_length()
    dots = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(template, size)), size)[: len(sound)]
    power = np.concatenate([[0.0], np.cumsum(sound**2)])
    ends = np.minimum(np.arange(len(sound)) + len(template), len(sound))
    local = np.sqrt(np.maximum(power[ends] - power[: len(sound)], 1e6))
    likeness = dots / (local * (np.linalg.norm(template) or 1.0))
    best = int(likeness.argmax())
    return best, float(likeness[best])


def was_heard(sound: Sound, words: str, voice: str) -> bool:
    """True if these words are in the sound, whole."""
    return find(sound, synthesize(words, voice).astype(np.float64))[1] >= ALIKE


def missing_end_s(sound: Sound, text: str, voice: str) -> float:
    """Return how much of a text's sound the callee did not get to hear, counted from its end; all of it if none.

    The text is found by its beginning, the last time that it is there, and then followed frame by frame.
    """
    whole = _without_silence(synthesize(text, voice).astype(np.float64))
    if not len(whole):
        return 0.0
    padded = np.concatenate([sound, np.zeros(len(whole))])
    head = whole[: RATE // 3]
    best, likeness = find(padded, head)
    if likeness < ALIKE:
        return len(whole) / RATE
    while True:  # said twice: the last time counts
        later, likeness = find(padded[best + len(head) :], head)
        if likeness < ALIKE:
            break
        best += len(head) + later
    at, last = best, 0
    for start in range(0, len(whole), FRAME):
        frame = whole[start : start + FRAME]
        if np.sqrt(np.mean(frame**2)) < _AUDIBLE:
            continue
        likeness = find(padded[at + start : at + start + len(frame)], frame)[1]
        if likeness < ALIKE:  # a hole may have moved what comes after it; more than a frame must fit there
            longer = whole[start : start + 4 * FRAME]
            shift, likeness = find(padded[at + start : at + start + len(longer) + _SLACK], longer)
            at += shift if likeness >= ALIKE else 0
        if likeness >= ALIKE:
            last = start + len(frame)
    return round((len(whole) - min(last, len(whole))) / RATE, 3)


_AUDIBLE: Final = 300.0
_SLACK: Final = RATE // 2
"""A hole in the sound may be so long."""


def _without_silence(sound: Sound) -> Sound:
    """Cut off the quiet end, which nobody misses."""
    loud = np.flatnonzero(np.abs(sound) > 2 * _AUDIBLE)
    return sound[: loud[-1] + 1] if len(loud) else sound[:0]


# --- outcomes ---------------------------------------------------------------------------------------------------------


def confusion(outcomes: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Return how often each person ended as what."""
    counts: dict[str, Counter[str]] = {}
    for person, disposition in outcomes:
        counts.setdefault(person, Counter())[disposition] += 1
    return {person: dict(counter.most_common()) for person, counter in sorted(counts.items())}


def right_share(table: Mapping[str, Mapping[str, int]], right: Mapping[str, Sequence[str]]) -> float:
    """Return the share of outcomes that are right for their person."""
    total = sum(sum(row.values()) for row in table.values())
    good = sum(count for person, row in table.items() for name, count in row.items() if name in right[person])
    return good / total if total else math.nan
