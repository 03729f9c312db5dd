"""How much this machine holds now: what else runs on it takes its share, and a container may have a part of a core only."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Final, Self

import httpx

LATE_S: Final = 0.1
"""A server that usually lets a request wait for longer than this, though the request costs it nothing, has more to do than it can."""

STOOD_STILL_S: Final = 0.4
"""A process that stood still for longer than this has torn words apart: the ear's jitter buffer holds 0.2 s."""

HELD_BACK: Final = 0.5
"""A process that waits for a core in more than this part of the time in which it has work is not given one more call."""

FULL: Final = 0.85
"""Nor is a process that runs for more than this part of the time: the threads of a Python process share one core."""

STARVED: Final = 0.75
"""A process that has waited for more than this part of two seconds has torn words apart, or was late for a turn."""

_WINDOW_S: Final = 2.0
_LEAST_WORK: Final = 0.05

_LOOKS: Final = 7
_BETWEEN_S: Final = 0.15
_SPIN_S: Final = 1.0
_SPIN: Final = (
    "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
)


def cores() -> int:
    """Return on how many cores this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_cores(seconds: float = _SPIN_S) -> float:
    """Return how many seconds of CPU our processes get per second if they want all: 2.0 on two cores with no other work."""
    command = [sys.executable, "-c", _SPIN.format(seconds=seconds)]
    spinning = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(cores())]
    return sum(float(one.communicate()[0]) for one in spinning) / seconds


def children(pid: int) -> list[int]:
    """Return the processes that a process has started; none where there is no /proc."""
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]
    return []


def ran_and_waited(pid: int) -> tuple[float, float]:
    """Return for how many seconds a process's main thread has run, and has waited for a core; zeros where Linux does not tell."""
    with suppress(OSError, ValueError):
        ran, waited, _ = Path(f"/proc/{pid}/schedstat").read_text("ascii").split()
        return int(ran) / 1e9, int(waited) / 1e9
    return 0.0, 0.0


@dataclass(frozen=True, slots=True)
class Beat:
    """How servers were at one moment."""

    at: float  # Unix seconds
    wait_s: float  # the longest wait for an answer
    used: tuple[tuple[float, float], ...]  # for each process: seconds that it has run so far, and waited for a core


class Pulse:
    """Watches servers that hold calls: how long each lets a request wait that costs nothing, and how long it waits for a core."""

    def __init__(self, urls: Sequence[str], pids: Sequence[int]) -> None:
        self._urls, self._pids = urls, pids
        self._beats: list[Beat] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def is_in_time(self) -> bool:
        """True if the servers can hold one call more."""
        beats = self._beats[-_LOOKS:]
        if not beats:
            return True
        work = list(_work(self._beats, beats[-1].at - _WINDOW_S, beats[-1].at))
        is_free = all(one.held_back <= HELD_BACK and one.ran <= FULL for one in work)
        return is_free and median(beat.wait_s for beat in beats) <= LATE_S

    def starved(self, since: float, until: float) -> str:
        """Return why a call between two moments, Unix seconds, proves nothing about the bot; empty if it does."""
        during = [beat for beat in self._beats if beat.at < until and beat.at + beat.wait_s > since]
        if (wait_s := max((beat.wait_s for beat in during), default=0.0)) > STOOD_STILL_S:
            return f"a process stood still for {wait_s:.1f} s"
        if (waited := max((one.held_back for one in _work(self._beats, since, until)), default=0.0)) > STARVED:
            return f"a process waited for a core in {waited:.0%} of two seconds"
        return ""

    def _watch(self) -> None:
        with httpx.Client(timeout=600) as client:
            while not self._over.wait(_BETWEEN_S):
                at, longest_s = time.time(), 0.0
                for url in self._urls:
                    asked = time.time()
                    with suppress(httpx.HTTPError):  # the server has not started yet, or has ended
                        client.get(url)
                    longest_s = max(longest_s, time.time() - asked)
                self._beats.append(Beat(at, longest_s, tuple(ran_and_waited(pid) for pid in self._pids)))


@dataclass(frozen=True, slots=True)
class Work:
    """What a process did in one window: parts of the time in which it ran, and waited for a core."""

    ran: float
    waited: float

    @property
    def held_back(self) -> float:
        """In which part of the time in which it had work it waited. With next to no work, waiting holds nothing up."""
        wanted = self.ran + self.waited
        return self.waited / wanted if wanted > _LEAST_WORK else 0.0


def _work(beats: Sequence[Beat], since: float, until: float) -> Iterator[Work]:
    """Yield what each process did in each window that lies, in part, between two moments."""
    first = 0
    for last in beats:
        while last.at - beats[first].at > _WINDOW_S:
            first += 1
        before = beats[max(0, first - 1)]
        span_s = last.at - before.at
        if before.at < until and last.at > since and span_s >= _WINDOW_S:
            for (ran, waited), (had_run, had_waited) in zip(last.used, before.used, strict=True):
                yield Work((ran - had_run) / span_s, (waited - had_waited) / span_s)
