"""What sounded on a stream, and when: both voices as they were on the wire, whatever either side meant to do."""

import time
from bisect import insort
from typing import Any, Final

QUIET_S: Final = 0.3
"""A voice has stopped after this much quiet."""

SAME_BURST_S: Final = 0.2
"""If the bot's sound runs out in mid-sentence and goes on within this time, it came too late; after this time, it was a pause."""


class StreamTimeline:
    """What happened on one stream, in order. Times are in seconds since `begin`."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self._begun = time.monotonic()

    def begin(self) -> None:
        """Count from now, when the `start` message is sent."""
        self._begun = time.monotonic()

    def now(self) -> float:
        """Return the seconds since the `start` message."""
        return time.monotonic() - self._begun

    def note(self, what: str, t: float | None = None) -> None:
        """Note what happened, now or at an earlier time `t`."""
        insort(
            self.entries, {"t": round(self.now() if t is None else t, 3), "what": what}, key=lambda entry: entry["t"]
        )


class VoiceTrack:
    """Turns loud and quiet frames into the notes `person_starts`, `person_stops`, and the same for `bot`."""

    def __init__(self, who: str, timeline: StreamTimeline) -> None:
        self.speaks = False
        self._who, self._timeline = who, timeline
        self._until = 0.0

    def frame(self, t: float, length_s: float, *, loud: bool) -> None:
        """Take a frame that sounds from `t` on, for `length_s`."""
        if loud:
            if not self.speaks:
                self.speaks = True
                self._timeline.note(f"{self._who}_starts", t)
            self._until = t + length_s
        elif self.speaks and t - self._until >= QUIET_S:
            self.end()

    def end(self) -> None:
        """End the voice, if it speaks, at the moment when it was last loud."""
        if self.speaks:
            self.speaks = False
            self._timeline.note(f"{self._who}_stops", self._until)


class Arrivals:
    """Notes `bot_audio` when the first message of a burst with a voice in it comes in."""

    def __init__(self, timeline: StreamTimeline) -> None:
        self._timeline = timeline
        self._last: float | None = None

    def audible(self) -> None:
        """Take a message that has a voice in it."""
        now = self._timeline.now()
        if self._last is None or now - self._last >= QUIET_S:
            self._timeline.note("bot_audio", now)
        self._last = now

    def end(self) -> None:
        """End the burst: the next message begins another one."""
        self._last = None
