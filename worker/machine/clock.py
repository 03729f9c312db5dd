"""A server's clock, read once and carried on by this process's own."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Clock:
    """What a server's clock said. It said so at some instant between our question and its answer."""

    now: datetime  # by the server's clock
    asked_at: float  # seconds, by our monotonic clock
    told_at: float

    def until(self, moment: datetime, at: float) -> float:
        """Return how many seconds to wait until the moment has certainly come by the server's clock.

        `at` is now, by our monotonic clock (s).
        """
        return max(0.0, (moment - self.now).total_seconds() - (at - self.told_at))

    def latest(self, at: float) -> datetime:
        """Return the latest time that the server's clock can have shown at `at`, an instant of our monotonic clock."""
        return self.now + timedelta(seconds=at - self.asked_at)
