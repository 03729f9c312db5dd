"""The telephone network as the dialer knows it."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from worker.rules.evidence import FoundCall
from worker.telnyx.order import Dialed, DialOrder


class Phone(Protocol):
    """Telnyx, or the network of a fast rehearsal.

    What each method returns and raises stands in `worker.telnyx.carrier.Carrier`; all raise CarrierError.
    """

    def warm_up(self) -> None:
        """Do now what the first dial would wait for."""
        ...

    def dial(self, order: DialOrder, may_leave: Callable[[], bool]) -> Dialed:
        """Place one call, if `may_leave` says yes at the last moment."""
        ...

    def find(self, to: str, begun_at: datetime) -> list[FoundCall]:
        """Return the calls to a number that a dial begun at an instant may have placed."""
        ...

    def fetch(self, call_sid: str) -> FoundCall | None:
        """Return one call, or None if the network does not know it."""
        ...

    def hang_up(self, call_sid: str) -> None:
        """End a call."""
        ...

    def numbers(self) -> dict[str, str]:
        """Return the numbers that we may call from, and the application that calls to each reach ("" for none)."""
        ...
