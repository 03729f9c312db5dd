"""What was heard on a stream, and when: both voices as they sounded on the wire, not as anyone meant them to."""

import time
from bisect import insort
from typing import Any, Final

QUIET_S: Final = 0.3
"""Quiet that ends a voice."""

SAME_BURST_S: Final = 0.2
"""An ear that runs dry in mid-speech and is fed again within this time was starved: later, it was a pause."""


class Timeline:
    """Notes of what happened, in order, in seconds since `begin`."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._begun = time.monotonic()

    def begin(self) -> None:
        """Count from now: the `start` message is sent."""
        self._begun = time.monotonic()

    def now(self) -> float:
        """Return the seconds since the `start` message."""
        return time.monotonic() - self._begun

    def note(self, what: str, t: float | None = None) -> None:
        """Note what happened: now, or at a time gone by."""
        insort(
            self.entries, {"t": round(self.now() if t is None else t, 3), "what": what}, key=lambda entry: entry["t"]
        )


class Voice:
    """Turns a sequence of frames, loud or not, into `<who>_starts` and `<who>_stops`."""

    def __init__(self, who: str, timeline: Timeline) -> None:
        self.speaks = False
        self._who, self._timeline = who, timeline
        self._until = 0.0

    def frame(self, t: float, length_s: float, *, loud: bool) -> None:
        """Take a frame that sounds from `t` on."""
        if loud:
            if not self.speaks:
                self.speaks = True
                self._timeline.note(f"{self._who}_starts", t)
            self._until = t + length_s
        elif self.speaks and t - self._until >= QUIET_S:
            self.end()

    def end(self) -> None:
        """Stop, if it speaks: when it was last loud."""
        if self.speaks:
            self.speaks = False
            self._timeline.note(f"{self._who}_stops", self._until)


class Arrivals:
    """Notes `bot_audio`: the first audible message of each burst, as it comes in."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._last: float | None = None

    def audible(self) -> None:
        """Take a message with a voice in it."""
        now = self._timeline.now()
        if self._last is None or now - self._last >= QUIET_S:
            self._timeline.note("bot_audio", now)
        self._last = now

    def end(self) -> None:
        """Let the next one be a burst of its own."""
        self._last = None
