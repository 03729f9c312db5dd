"""At the door: rows of a file that no rule will ever let ring are refused with a sentence, before anybody waits."""

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Final

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, ContactsError, ContactsReader, Header, RowError
from campaigns.places import Place, place_of
from worker.rules import policy

CONSENT: Final = "consent_type"
"""The column in which a row says what its contact has agreed to."""


def check_header(header: Header, campaign: Campaign) -> None:
    """Raise ContactsError if the file cannot say of any row what the law asks."""
    if policy.needs_consent_column(campaign) and CONSENT not in header.names:
        raise ContactsError(
            f"{campaign.purpose} calls to {', '.join(campaign.allowed_countries)} need consent on record, and neither the "
            f"file nor the campaign speaks of it: add the columns {CONSENT} (express or written), consent_at, "
            "consent_source and consent_ref, or [consent] attested_by and attested_at to campaign.toml (docs/rules.md)"
        )


def admitted(reader: ContactsReader, campaign: Campaign, now: datetime) -> Iterator[tuple[Contact, Place] | RowError]:
    """Yield each row as a contact with its place, or as the error for which it is refused."""

    @lru_cache(maxsize=20_000)
    def problem(place: Place, consent_type: str, consent_at: str) -> tuple[str, str]:
        """Return the column and the reason for which nobody of a place and a consent is ever rung."""
        columns = {CONSENT: consent_type, "consent_at": consent_at}
        if lacking := policy.consent_problem(campaign, place, columns, now):
            return CONSENT, lacking
        if policy.next_opening(campaign, place, now) is None:
            known = (
                "is never in an open calling window" if place.zones else "has no known time zone; add a column timezone"
            )
            return "phone", known
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
