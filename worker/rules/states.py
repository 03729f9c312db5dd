"""The states of a campaign and of a contact: closed enums, whose values the record, Lua and `--json` use."""

from enum import StrEnum
from typing import Final


class CampaignState(StrEnum):
    """Whether a campaign's contacts may be claimed."""

    RUNNING = "running"
    PAUSED = "paused"  # until the operator resumes it
    STOPPED = "stopped"  # for good: its waiting contacts are canceled


class ContactState(StrEnum):
    """Where a contact of a campaign stands."""

    DUE = "due"  # waits to be rung, now or later
    LIVE = "live"  # an attempt is claimed or under way
    DONE = "done"  # no more attempts follow
    REFUSED = "refused"  # a rule refused it for good, before or between attempts


OVER: Final = frozenset({ContactState.DONE, ContactState.REFUSED})
"""The states in which a contact has its outcome, and is not rung again."""
