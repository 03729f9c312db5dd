"""Consent: whether a contact has agreed to be called, as far as the law of its place asks for that."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from campaigns.campaign import Campaign
from campaigns.places import Place
from worker.rules.law import CONSENTS, jurisdiction, law_for, national_law


def consent_problem(campaign: Campaign, place: Place, columns: Mapping[str, str], now: datetime) -> str:
    """Return a sentence about the consent that is missing for a contact, or "" if none is.

    What the contact's own row says counts before the campaign's attestation for all rows: a row that records less consent
    than the law asks for is not rung, whatever the campaign attests.
    """
    needed = law_for(campaign, place).consent
    if needed == "none":
        return ""
    rules, said = campaign.consent, columns.get("consent_type", "").strip().lower()
    if said or not rules.attested_by:
        if said not in CONSENTS:
            return f"consent_type says {said or 'nothing'}: write none, express or written"
        if CONSENTS.index(said) < CONSENTS.index(needed):
            return f"consent is {said}, and {campaign.purpose} calls to {jurisdiction(place)} need {needed} consent"
        given, dated = columns.get("consent_at", "").strip(), "consent_at"
    else:
        given, dated = (rules.attested_at.isoformat() if rules.attested_at else ""), "attested_at"
    at = _moment(given)
    if given and at is None:
        return f"{dated} is not a date: write it as 2026-03-31"
    if rules.max_age_days and at is None:
        return f"{dated} is empty, and max_age_days limits how old consent may be"
    if rules.max_age_days and at and not timedelta(days=-1) < now - at <= timedelta(days=rules.max_age_days):
        return f"{dated} is not within the last {rules.max_age_days} days"
    return ""


def needs_consent_column(campaign: Campaign) -> bool:
    """True if the rows themselves must say that consent was given."""
    asked = any(national_law(country, campaign.purpose).consent != "none" for country in campaign.allowed_countries)
    return asked and not campaign.consent.attested_by and not campaign.rehearsed


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
