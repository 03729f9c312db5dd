"""Hours: when a contact's phone may ring, by its own clock, the campaign's calling window and the law.

Times are zone-aware datetimes. Clock changes are handled: a time that a clock shows twice, or skips, is never an hour for
calls by mistake.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from campaigns.campaign import Campaign
from campaigns.places import Place
from worker.rules.law import UnknownRegion, jurisdiction, law_for, public_holidays
from worker.rules.rule import Rule

SEARCH_DAYS: Final = 62
"""How far ahead an opening is searched: past any combination of weekdays, holidays and a blackout of some weeks."""


def next_opening(campaign: Campaign, place: Place, after: datetime) -> datetime | None:
    """Return the first instant at or after `after` at which it is an hour for calls wherever the contact may be.

    A contact that may be in several zones may be in any of them, so all of them must be open. None: there is no such
    instant within SEARCH_DAYS, or no zone is known.
    """
    if not place.zones:
        return None
    instant = after.astimezone(UTC)
    limit = instant + timedelta(days=SEARCH_DAYS)
    while instant <= limit:
        latest = max(_opening_in(zone, campaign, place, instant) for zone in place.zones)
        if latest <= instant:
            return instant
        instant = latest
    return None


def closed(campaign: Campaign, place: Place, now: datetime) -> tuple[Rule, str] | None:
    """Return the rule by which it is no hour for calls at `now`, and a sentence; None if it is one in every zone."""
    return next((found for zone in place.zones if (found := _closed_in(zone, campaign, place, now))), None)


def open_places(campaign: Campaign, places: Iterable[Place], now: datetime) -> list[Place]:
    """Return the places where it is an hour for calls.

    A place without a known zone counts as open: its contacts are claimed, and then refused by `zone_unknown`.
    """
    return [place for place in places if not closed(campaign, place, now)]


def day_of(zone: str, now: datetime) -> tuple[datetime, datetime]:
    """Return when the day of `now` began in a zone, and when the next one begins."""
    local = now.astimezone(ZoneInfo(zone))
    midnights = (datetime.combine(local.date() + timedelta(days=n), time(0), local.tzinfo) for n in (0, 1))
    began, ends = (midnight.astimezone(UTC) for midnight in midnights)
    return began, ends


def in_zone_of(zones: Sequence[str], moment: datetime) -> datetime:
    """Return a moment as a contact's clock shows it: in the first of the zones, or in UTC if none is known."""
    return moment.astimezone(ZoneInfo(zones[0]) if zones else UTC)


def _opening_in(zone: str, campaign: Campaign, place: Place, after: datetime) -> datetime:
    """Return the first instant at or after `after` at which one zone is open."""
    today = after.astimezone(ZoneInfo(zone)).date()
    for ahead in range(SEARCH_DAYS + 2):
        span = _span(today + timedelta(days=ahead), zone, campaign, place)
        if span and after < span[1]:
            return max(after, span[0])
    return after + timedelta(days=SEARCH_DAYS + 1)


def _closed_in(zone: str, campaign: Campaign, place: Place, now: datetime) -> tuple[Rule, str] | None:
    """Return the rule by which one zone is closed, and a sentence; None: it is open."""
    local = now.astimezone(ZoneInfo(zone))
    day = local.date()
    if off := _day_off(day, campaign, place):
        return off
    span = _span(day, zone, campaign, place)
    if span and span[0] <= now < span[1]:
        return None
    window, lawful = campaign.calling_window, law_for(campaign, place).hours[day.weekday()]
    if window.start <= local.time() < window.end and not (lawful and lawful[0] <= local.time() < lawful[1]):
        return (
            Rule.LEGAL_HOURS,
            f"outside the hours that the law of {jurisdiction(place)} allows: it is {local:%A %H:%M} in {zone}",
        )
    again = " for the second time today" if local.fold else ""
    return Rule.CALLING_WINDOW, f"outside the calling window: it is {local:%H:%M} in {zone}{again}"


def _span(day: date, zone: str, campaign: Campaign, place: Place) -> tuple[datetime, datetime] | None:
    """Return when a day opens and closes in a zone, or None if it is no day for calls."""
    lawful = law_for(campaign, place).hours[day.weekday()]
    if lawful is None or _day_off(day, campaign, place):
        return None
    window = campaign.calling_window
    opens = max(_instants(day, max(window.start, lawful[0]), zone))
    closes = min(_instants(day, min(window.end, lawful[1]), zone))
    return (opens, closes) if opens < closes else None


def _day_off(day: date, campaign: Campaign, place: Place) -> tuple[Rule, str] | None:
    """Return the rule by which nobody is rung on a day, and a sentence; None: it is a day for calls."""
    window = campaign.calling_window
    if not window.includes_day(day):
        return Rule.CALLING_WINDOW, f"{day:%A} is not among the calling window's weekdays"
    if day in window.blackout:
        return Rule.BLACKOUT, f"{day} is a blackout date of the campaign"
    for region in _keeps_holidays(campaign, place):
        if holiday := _holiday(region, day):
            return Rule.HOLIDAY, f"{day} is {holiday} in {region}"
    return None


def _keeps_holidays(campaign: Campaign, place: Place) -> tuple[str, ...]:
    """Return the regions whose public holidays are kept free: those that the campaign asks for, and the law's."""
    asked = campaign.calling_window.holidays
    own = (asked,) if isinstance(asked, str) else place.regions if asked else ()
    return own + law_for(campaign, place).closed_on_holidays_of


def _holiday(region: str, day: date) -> str:
    try:
        return public_holidays(region, day.year).get(day, "")
    except UnknownRegion:
        # A campaign that names an unknown region does not start. For a contact's own region, no day can be kept free.
        return ""


def _instants(day: date, at: time, zone: str) -> tuple[datetime, datetime]:
    """Return the two instants, in UTC, that a clock may mean by a time of day.

    They are the same instant twice, except where the clock is set back (it shows the time twice) or forward (it skips
    the time, which then has two readings an hour apart).
    """
    local = datetime.combine(day, at, tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)
