"""Moments and spans in milliseconds, as Redis keeps them and as the scripts count them."""

from datetime import UTC, datetime, timedelta


def ms(value: datetime | timedelta) -> int:
    """Return a moment (milliseconds since 1970) or a span as whole milliseconds."""
    seconds = value.timestamp() if isinstance(value, datetime) else value.total_seconds()
    return round(seconds * 1000)


def moment(milliseconds: float | str) -> datetime:
    """Read a moment that was kept as milliseconds since 1970."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


def moment_or_none(milliseconds: float | str | None) -> datetime | None:
    """Read a moment that may not have been kept: an empty or missing field is None."""
    return moment(milliseconds) if milliseconds else None
