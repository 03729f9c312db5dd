"""When a contact wants to be called again: a moment in their time zone, within the hours in which we may ring."""

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from campaigns.call import Hours

LATEST: Final = timedelta(days=60)
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class BadTime(ValueError):
    """We cannot call then. The message tells the model what to propose."""


def parse_when(text: str, hours: Hours | None, now: datetime) -> datetime | None:
    """Return the moment that is meant; None if the text names none, so that the campaign's own delay decides.

    `now` has a zone. Raises BadTime for a moment that is over, more than 60 days away, or outside the hours.
    """
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    zone = zone_of(hours)
    if zone is None and at.tzinfo is None:
        return None
    at = at.replace(tzinfo=zone) if at.tzinfo is None else at.astimezone(zone)
    if at <= now:
        raise BadTime(
            f"{at:%A %H:%M} is over; it is now {now.astimezone(at.tzinfo):%A, %Y-%m-%d %H:%M} there: ask again"
        )
    if at > now + LATEST:
        raise BadTime(f"that is more than {LATEST.days} days away: propose an earlier day")
    if hours and not (hours.start <= at.time() < hours.end and at.weekday() in hours.weekdays):
        raise BadTime(f"we may call only {in_words(hours)}: propose a time then")
    return at


def in_words(hours: Hours) -> str:
    """Return the hours as a person would say them."""
    days = "every day" if len(hours.weekdays) == len(_DAYS) else "on " + ", ".join(_DAYS[day] for day in hours.weekdays)
    return f"{days} from {hours.start:%H:%M} to {hours.end:%H:%M}"


def zone_of(hours: Hours | None) -> ZoneInfo | None:
    """Return the contact's zone; None if there are no hours, or their zone is not in this machine's database."""
    if hours is None:
        return None
    try:
        return ZoneInfo(hours.zone)
    except (ZoneInfoNotFoundError, ValueError):
        return None
