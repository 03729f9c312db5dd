"""Do not call: the entries of our own list, and the copies of national registries that calls must be checked against.

An entry says which number, by which campaigns, until when, and where the entry comes from.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from campaigns.campaign import Campaign
from campaigns.places import Place
from worker.rules.law import law_for, national_law

REGISTRY_AGE: Final = timedelta(days=31)
"""How old a copy of a national registry may be: 16 CFR 310.4(b)(3)(iv)."""

EVERYWHERE: Final = ""
PURPOSES: Final = ("informational", "marketing")
_CAMPAIGN: Final = "campaign:"


@dataclass(frozen=True, slots=True)
class Listing:
    """One entry of one number. A number may have several entries, from different lists."""

    source: str  # where the entry comes from, for the operator
    at: datetime | None = None  # since when the number is listed; None: from now
    scope: str = EVERYWHERE  # for all campaigns, for those of a purpose ("marketing"), or for one ("campaign:NAME")
    expires_at: datetime | None = None  # None: never
    name: str = ""  # of the imported list that the entry comes from

    def covers(self, campaign: str, purpose: str, now: datetime) -> bool:
        """True if the entry is in force for a campaign of this name and purpose."""
        in_force = self.expires_at is None or self.expires_at > now
        return in_force and self.scope in {EVERYWHERE, purpose, _CAMPAIGN + campaign}

    def __str__(self) -> str:
        where = f" for {self.scope}" if self.scope else ""
        until = f" until {self.expires_at:%Y-%m-%d}" if self.expires_at else ""
        return f"on the do-not-call list{where}{until} ({self.source})"

    def facts(self) -> dict[str, Any]:
        """Return the entry as it is stored and as `--json` prints it: `at` and `expires_at` in ms, without empty fields."""
        facts = {
            "at": _ms(self.at),
            "source": self.source,
            "scope": self.scope,
            "expires_at": _ms(self.expires_at),
            "list": self.name,
        }
        return {key: value for key, value in facts.items() if value}


@dataclass(frozen=True, slots=True)
class Registry:
    """A list that was imported as a whole, such as a national registry."""

    as_of: date  # the day on which the copy was right
    scope: str = EVERYWHERE
    imported_at: datetime | None = None
    numbers: int = 0

    def facts(self) -> dict[str, Any]:
        """Return the list as it is stored and as `--json` prints it."""
        at = _ms(self.imported_at)
        return {"as_of": self.as_of.isoformat(), "scope": self.scope, "imported_at": at, "numbers": self.numbers}


def scope_of(text: str) -> str:
    """Read a scope as an operator writes it; raises ValueError with a sentence."""
    if text in {"", "everywhere"}:
        return EVERYWHERE
    if text in PURPOSES or text.removeprefix(_CAMPAIGN) != text:
        return text
    raise ValueError(f"--scope {text}: write everywhere, marketing, informational or campaign:NAME")


def asked_during(attempt_id: str) -> str:
    """Return the source of an entry that the person asked for in a call: conclude.lua must write the same words."""
    return f"asked during {attempt_id}"


def read_listings(kept: str | None) -> tuple[Listing, ...]:
    """Return the entries of one number from the text in which they are stored."""
    return tuple(_listing(facts) for facts in json.loads(kept)) if kept else ()


def read_registries(kept: Mapping[str, str]) -> dict[str, Registry]:
    """Return the imported lists by name, from the texts in which they are stored."""
    return {name: _registry(json.loads(text)) for name, text in kept.items()}


def in_force(listings: Iterable[Listing], campaign: str, purpose: str, now: datetime) -> Listing | None:
    """Return the first entry that forbids a campaign to ring, or None."""
    return next((listing for listing in listings if listing.covers(campaign, purpose, now)), None)


def registries_asked(campaign: Campaign) -> set[str]:
    """Return the names of the registries that calls of this campaign must be checked against."""
    laws = (national_law(country, campaign.purpose) for country in campaign.allowed_countries)
    return set() if campaign.rehearsed else {one.registry for one in laws if one.registry}


def registry_problem(campaign: Campaign, place: Place, registries: Mapping[str, Registry], now: datetime) -> str:
    """Return a sentence if we hold no fresh copy of the registry that a call must be checked against, else ""."""
    return copy_problem(law_for(campaign, place).registry, registries, now)


def copy_problem(name: str, registries: Mapping[str, Registry], now: datetime) -> str:
    """Return a sentence if our copy of a registry is missing or too old, else ""; a name of "" asks for none."""
    if not name:
        return ""
    do = f"`dialout dnc import FILE --list {name} --as-of YYYY-MM-DD --scope marketing`"
    kept = registries.get(name)
    if kept is None:
        return f"the registry {name} was never imported, and these calls must be checked against it: {do}"
    if now.date() - kept.as_of > REGISTRY_AGE:
        return (
            f"our copy of the registry {name} is of {kept.as_of}, and may be at most {REGISTRY_AGE.days} days old: {do}"
        )
    return ""


def checked_against(campaign: Campaign, place: Place, registries: Mapping[str, Registry]) -> str:
    """Return what an attempt's record says of the registry that its number was checked against; "" if none was asked."""
    name = law_for(campaign, place).registry
    return f"list {name} as of {registries[name].as_of}" if name in registries else ""


def _listing(facts: Mapping[str, Any]) -> Listing:
    at, expires_at = _moment(facts.get("at")), _moment(facts.get("expires_at"))
    return Listing(facts["source"], at, facts.get("scope", EVERYWHERE), expires_at, facts.get("list", ""))


def _registry(facts: Mapping[str, Any]) -> Registry:
    as_of, at = date.fromisoformat(facts["as_of"]), _moment(facts["imported_at"])
    return Registry(as_of, facts["scope"], at, facts["numbers"])


def _ms(moment: datetime | None) -> int:
    return round(moment.timestamp() * 1000) if moment else 0


def _moment(milliseconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None
