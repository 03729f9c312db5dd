"""The law: what the law of a place asks of a call, read from law.toml, and the place's public holidays.

Only the data is here, and what is strictest where several laws hold. Whether a contact may be rung is decided in may_ring.py.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import lru_cache
from importlib import resources
from typing import Any, Final, Literal

from campaigns.campaign import Campaign
from campaigns.places import Place

Consent = Literal["none", "express", "written"]
CONSENTS: Final[tuple[Consent, ...]] = ("none", "express", "written")
"""From the least to the most: a person who has given one kind has given the kinds before it too."""

Hours = tuple[time, time]
"""From when until when, in the contact's own zone. The end is not included."""

ALL_DAY: Final[Hours] = (time(0), time.max)
_SATURDAY, _SUNDAY = 5, 6


class UnknownRegion(ValueError):
    """The public holidays of this country or state are not known."""


@dataclass(frozen=True, slots=True, order=True)
class Cap:
    """The most attempts to one number in any period of a length, over all campaigns."""

    attempts: int
    period: timedelta

    def __str__(self) -> str:
        times = "once" if self.attempts == 1 else f"{self.attempts} times"
        return f"{times} in {self.period.total_seconds() / 3600:g} hours"


@dataclass(frozen=True, slots=True)
class Law:
    """What the law asks of a call for one purpose. Where several laws hold, the strictest of each is here."""

    hours: tuple[Hours | None, ...] = (ALL_DAY,) * 7  # for each weekday, Monday first; None: no calls on that day
    caps: tuple[Cap, ...] = ()
    closed_on_holidays_of: tuple[str, ...] = ()  # the regions on whose public holidays there are no calls
    consent: Consent = "none"
    registry: str = ""  # we must hold a fresh copy of this do-not-call registry; "" if there is none


NO_LAW: Final = Law()
"""The law of a rehearsal, which rings nobody."""


def law_for(campaign: Campaign, place: Place) -> Law:
    """Return the strictest law that a call of this campaign to this place may be under.

    A rehearsal is under no law, for it rings nobody.
    """
    return NO_LAW if campaign.rehearsed else law_of(place.regions, campaign.purpose)


def jurisdiction(place: Place) -> str:
    """Return the regions whose law holds at a place, as a sentence names them."""
    return ", ".join(place.regions) or "an unknown country"


@lru_cache(maxsize=10_000)
def law_of(regions: tuple[str, ...], purpose: str) -> Law:
    """Return the strictest of the laws of these regions, which may be countries ("GB") or states ("US-FL").

    "US" alone stands for a number of the United States whose state is not known, which is under the laws of all states.
    """
    tables = _tables()
    names = {"any"}
    for region in regions:
        country, _, state = region.partition("-")
        names |= {country, region}
        if country == "US" and not state:
            names |= {name for name in tables if name.startswith("US-")}
    return _strictest((name for name in sorted(names) if name in tables), purpose)


@lru_cache(maxsize=1_000)
def national_law(country: str, purpose: str) -> Law:
    """Return what holds everywhere in a country. A campaign's own rules are compared with it before the campaign starts."""
    return _strictest((name for name in ("any", country) if name in _tables()), purpose)


def _strictest(names: Iterable[str], purpose: str) -> Law:
    hours: list[Hours | None] = [ALL_DAY] * 7
    caps: dict[timedelta, int] = {}
    holidays_of: list[str] = []
    consent: Consent = "none"
    registry = ""
    for name in names:
        table = _tables()[name]
        consent = max(consent, table.get("consent", {}).get(purpose, "none"), key=CONSENTS.index)
        registry = table.get("registry", {}).get(purpose, registry)
        if table.get("only", purpose) != purpose:
            continue
        hours = [_both(known, _hours(table, weekday)) for weekday, known in enumerate(hours)]
        for cap in table.get("caps", ()):
            period = timedelta(hours=cap["hours"])
            caps[period] = min(cap["attempts"], caps.get(period, cap["attempts"]))
        if table.get("holidays") == "closed":
            holidays_of.append(name)
    return Law(
        hours=tuple(hours),
        caps=tuple(sorted(Cap(attempts, period) for period, attempts in caps.items())),
        closed_on_holidays_of=tuple(holidays_of),
        consent=consent,
        registry=registry,
    )


def _hours(table: dict[str, Any], weekday: int) -> Hours | None:
    text = table.get("hours", "")
    if weekday in {_SATURDAY, _SUNDAY}:
        text = table.get("saturday" if weekday == _SATURDAY else "sunday", text)
    if text == "closed":
        return None
    if not text:
        return ALL_DAY
    start, _, end = text.partition("-")
    return time.fromisoformat(start), time.fromisoformat(end)


def _both(one: Hours | None, other: Hours | None) -> Hours | None:
    if one is None or other is None:
        return None
    start, end = max(one[0], other[0]), min(one[1], other[1])
    return (start, end) if start < end else None


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    return tomllib.loads(resources.files("worker.rules").joinpath("law.toml").read_text("utf-8"))


@lru_cache(maxsize=2_000)
def public_holidays(region: str, year: int) -> dict[date, str]:
    """Return the public holidays of a country or state by day; raises UnknownRegion if they are not known."""
    import holidays  # its first import takes most of a second, which `dialout status` need not wait for

    country, _, subdivision = region.partition("-")
    try:
        found = holidays.country_holidays(country, subdiv=subdivision or None, years=year)
    except NotImplementedError:
        raise UnknownRegion(f"no public holidays of {region} are known") from None
    return {day: str(name) for day, name in found.items()}
