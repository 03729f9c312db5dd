"""When a dial must have been with the carrier: reckoned from its last byte and from how long the answer took."""

from typing import Final

from worker.rules.timing import LONGEST_WAY_S

_SHARE: Final = 0.95


class Usual:
    """The time within which nineteen of twenty answers come, learned from each answer.

    A request whose answer takes longer may have been held up on its way, and then the pace at the carrier is not the pace
    at which requests left. The bench misses this: at 30 dials a second on a busy machine (load average 10 to 16 on two
    cores), the busiest second had 31 dials in two of four runs without it, and in none of six with it.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    def arrived_at(self, left_at: float | None, answered_at: float | None) -> float | None:
        """Return when a dial must have been with the carrier, by the monotonic clock (s); None if it never left."""
        if not left_at or not answered_at:
            return left_at
        return left_at + min(LONGEST_WAY_S, self.excess_of(answered_at - left_at))

    def excess_of(self, took_s: float) -> float:
        """Return by how much longer than usual an answer took, and learn from it."""
        if not self.seconds:
            self.seconds = took_s
        excess = max(0.0, took_s - self.seconds)
        # A slow answer moves it up by a big step, a quick one down by a small step; it rests where their shares balance.
        step = max(0.001, self.seconds / 20)
        self.seconds += step * (_SHARE if excess else _SHARE - 1)
        return excess
