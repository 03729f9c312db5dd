"""The preflight: what would happen to a file of contacts, found out by doing all of it but the ringing."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, RowError, zones_of
from campaigns.templates import RenderError
from worker import briefing, policy, texml
from worker.settings import Settings


@dataclass
class Forecast:
    """What `dialout check` found."""

    rows: int = 0
    contacts: int = 0
    open_now: int = 0
    fetched: int = 0  # briefs whose script travels by brief_url
    first_opening: datetime | None = None
    refused: Counter[str] = field(default_factory=Counter)  # column -> rows

    def facts(self, campaign: Campaign, settings: Settings) -> dict[str, Any]:
        """Return the forecast as JSON facts: see docs/json.md."""
        rate = min(campaign.pacing.calls_per_second, settings.calls_per_second)
        lines = min(campaign.pacing.lines, settings.lines)
        return {
            "campaign": campaign.name,
            "rows": self.rows,
            "contacts": self.contacts,
            "refused": sum(self.refused.values()),
            "refused_by_column": dict(self.refused),
            "open_now": self.open_now,
            "first_opening": self.first_opening.isoformat() if self.first_opening else None,
            "calls_per_second": rate,
            "lines": lines,
            "warm_bots": lines,
            "shortest_s": round(self.contacts / rate) if rate else None,
            "scripts_by_url": self.fetched,
        }


def examine(
    rows: Iterable[Contact | RowError], campaign: Campaign, settings: Settings, now: datetime, forecast: Forecast
) -> Iterator[RowError]:
    """Render every row as if it were dialed now; yields the bad ones, and counts the rest into `forecast`."""
    for row in rows:
        forecast.rows += 1
        error = row if isinstance(row, RowError) else _problem(row, campaign, settings, now, forecast)
        if error:
            forecast.refused[error.column or "row"] += 1
            yield error


def _problem(
    contact: Contact, campaign: Campaign, settings: Settings, now: datetime, forecast: Forecast
) -> RowError | None:
    def bad(column: str, reason: str) -> RowError:
        return RowError(contact.line, column, contact.phone, reason, tuple(contact.columns.values()))

    zones = zones_of(contact)
    try:
        document = briefing.outbound_document(contact, zones, campaign, settings, attempt_id="x" * 16 + "#1", now=now)
    except (RenderError, texml.DocumentTooLong) as error:
        return bad("", str(error))
    opening = policy.next_opening(campaign.calling_window, zones, now)
    if opening is None:
        return bad("phone", "has no known time zone; add a column timezone")
    forecast.contacts += 1
    forecast.fetched += "brief_url" in document
    forecast.open_now += opening == now
    forecast.first_opening = min(opening, forecast.first_opening or opening)
    return None
