"""Admission: which campaigns may not start, and which rows of a file are refused before they become contacts.

A row that no rule will ever let ring is refused with a sentence at once, instead of waiting in vain.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, ContactsError, ContactsReader, Header, RowError
from campaigns.places import Place, place_of
from worker.rules.consent import consent_problem, needs_consent_column
from worker.rules.do_not_call import Registry, copy_problem
from worker.rules.hours import SEARCH_DAYS, next_opening
from worker.rules.law import UnknownRegion, national_law, public_holidays

CONSENT: Final = "consent_type"
"""The column in which a row records what its contact has agreed to."""


def objections(campaign: Campaign, registries: Mapping[str, Registry] | None, now: datetime) -> list[str]:
    """Return a sentence for each reason for which a campaign may not start.

    `registries` holds the imported copies by name; None: the store was not asked, and they are not judged.
    """
    found: list[str] = []
    window = campaign.calling_window
    for country in campaign.allowed_countries:
        national = national_law(country, campaign.purpose)
        start = max(hours[0] for hours in national.hours if hours)
        end = min(hours[1] for hours in national.hours if hours)
        if window.start < start or window.end > end:
            found.append(
                f"calling_window: {window.start:%H:%M} to {window.end:%H:%M} is wider than the law's {start:%H:%M} to "
                f"{end:%H:%M} ({country}): narrow it"
            )
        own = campaign.retry.max_per_day
        day = [cap.attempts for cap in national.caps if cap.period == timedelta(days=1)]
        if own and day and own > min(day):
            found.append(
                f"retry.max_per_day: {own} is more than the {min(day)} that the law allows ({country}): lower it"
            )
        if registries is not None and (stale := copy_problem(national.registry, registries, now)):
            found.append(stale)
    if isinstance(window.holidays, str):
        try:
            public_holidays(window.holidays, now.year)
        except UnknownRegion as unknown:
            found.append(f"calling_window.holidays: {unknown}; name another, or list the days in blackout")
    return found


def check_header(header: Header, campaign: Campaign) -> None:
    """Raise ContactsError if the file has no column for the consent that the law asks each row to record."""
    if needs_consent_column(campaign) and CONSENT not in header.names:
        raise ContactsError(
            f"{campaign.purpose} calls to {', '.join(campaign.allowed_countries)} need consent on record, and neither the "
            f"file nor the campaign records any: add the columns {CONSENT} (express or written), consent_at, consent_source "
            "and consent_ref to the file, or [consent] attested_by and attested_at to campaign.toml (docs/rules.md)"
        )


def admitted(reader: ContactsReader, campaign: Campaign, now: datetime) -> Iterator[tuple[Contact, Place] | RowError]:
    """Yield each row as a contact with its place, or as the error that says why it is refused."""

    @lru_cache(maxsize=20_000)
    def problem(place: Place, consent_type: str, consent_at: str) -> tuple[str, str]:
        """Return the column and the reason if a contact of this place and consent is never rung, else two empty texts."""
        columns = {CONSENT: consent_type, "consent_at": consent_at}
        if lacking := consent_problem(campaign, place, columns, now):
            return CONSENT, lacking
        if next_opening(campaign, place, now) is None:
            if not place.zones:
                return "phone", "has no known time zone: add a column timezone"
            return "phone", f"has no time in the next {SEARCH_DAYS} days at which it may be rung: see [calling_window]"
        return "", ""

    for row in reader:
        if isinstance(row, RowError):
            yield row
            continue
        place, columns = place_of(row), row.columns
        column, reason = problem(place, columns.get(CONSENT, ""), columns.get("consent_at", ""))
        if reason:
            value = row.phone if column == "phone" else columns.get(column, "")
            yield RowError(row.line, column, value, reason, reader.header.row_of(row))
        else:
            yield row, place
