"""Where a contact may be: every time zone, and every region whose law may protect them. All candidates count; none is guessed."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final, Protocol

from campaigns import numbers

_TERRITORIES: Final = frozenset({"AS", "GU", "MP", "PR", "VI"})
"""Territories that have a country's code of their own but are under the law of the United States (ISO 3166)."""

_POSTAL_COLUMNS: Final = ("postal_code", "zip")
PLACE_COLUMNS: Final = frozenset({"state", *_POSTAL_COLUMNS})
"""The columns whose text is examined: a place that does not exist makes the row a bad one."""

_ZIP_DIGITS: Final = 5
_AREA: Final = len("+1212")
"""The first 5 characters of a number tell its country and, within North America, its area code."""


class Located(Protocol):
    """What `place_of` needs of a contact."""

    @property
    def phone(self) -> str:
        """The number in E.164."""
        ...

    @property
    def columns(self) -> "Columns":
        """The row's other columns."""
        ...


class Columns(Protocol):
    """The columns of a row, by name."""

    def get(self, name: str, default: str, /) -> str:
        """Return the text of a column, or the default if the file has no such column."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contact may be. All candidates count.

    The calling window must be open in every zone, and we obey the strictest law of all regions.
    """

    zones: tuple[str, ...] = ()  # IANA, sorted; empty: not known
    regions: tuple[str, ...] = ()  # ISO 3166, sorted: "GB", "US-FL", or "US" where the state is not known

    @property
    def label(self) -> str:
        """The place as one word, for `read_label`."""
        return "|".join(self.zones) + "@" + "|".join(self.regions)


def read_label(label: str) -> Place:
    """Read `Place.label` back."""
    zones, _, regions = label.partition("@")
    return Place(tuple(filter(None, zones.split("|"))), tuple(filter(None, regions.split("|"))))


class UnknownPlace(ValueError):
    """A column names a place that does not exist. `column` is the column's name; the message is the reason."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


@dataclass(frozen=True, slots=True)
class State:
    """A state or territory of the United States: see us_states.toml."""

    code: str  # two letters
    name: str
    zones: tuple[str, ...]
    presumes_residence: bool


@dataclass(frozen=True)
class _States:
    by_code: dict[str, State]
    by_name: dict[str, State]
    by_area_code: dict[str, State]
    by_postal: dict[str, tuple[State, ...]]  # by the first three digits of a ZIP code


def place_of(contact: Located) -> Place:
    """Return where a contact may be; raises UnknownPlace.

    The time zone comes from the column `timezone`; else from the states that `state` and `postal_code` (or `zip`) name;
    else from the number. The law is that of those states. The state of the area code is added if no column names a state,
    or if its law presumes that everybody with its area code lives there.
    """
    columns, phone = contact.columns, contact.phone
    timezone, state = columns.get("timezone", ""), columns.get("state", "")
    postal = next(((name, text) for name in _POSTAL_COLUMNS if (text := columns.get(name, ""))), ("", ""))
    zones, regions = _told(phone[:_AREA], len(phone), timezone, state, postal)
    return Place(zones or numbers.zones(phone), regions)


def regions_of(phone: str) -> tuple[str, ...]:
    """Return the regions that an E.164 number alone tells: the state of its area code, or its country; () if neither is known."""
    return _told(phone[:_AREA], len(phone), "", "", ("", ""))[1]


@lru_cache(maxsize=20_000)
def _told(
    area: str, length: int, timezone: str, state: str, postal: tuple[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the zones and regions that columns and area code tell. Without zones, the whole number must tell them."""
    zones = (timezone,) if timezone else ()
    country = numbers.country(area, length)
    if country != "US" and country not in _TERRITORIES:
        return zones, (country,) if country else ()
    named = {*_by_name(state), *_by_postal(*postal)}
    zones = zones or tuple(sorted({zone for one in named for zone in one.zones}))
    of_number = _states().by_area_code.get(area[2:])
    lawful = named | ({of_number} if of_number and (of_number.presumes_residence or not named) else set[State]())
    return zones, tuple(sorted(f"US-{one.code}" for one in lawful)) or ("US",)


def _by_name(text: str) -> tuple[State, ...]:
    if not text:
        return ()
    words = " ".join(text.replace(".", "").upper().removeprefix("US-").split())
    found = _states().by_code.get(words) or _states().by_name.get(words)
    if found is None:
        raise UnknownPlace("state", "is not a state of the United States; write two letters, such as NY")
    return (found,)


def _by_postal(column: str, text: str) -> tuple[State, ...]:
    if not text:
        return ()
    digits = text.partition("-")[0].strip()
    # A spreadsheet may have removed the zeros in front.
    found = _states().by_postal.get(digits.zfill(_ZIP_DIGITS)[:3], ()) if _is_zip(digits) else ()
    if not found:
        raise UnknownPlace(column, "is not a ZIP code of any state; write five digits, such as 10001")
    return found


def _is_zip(digits: str) -> bool:
    return digits.isascii() and digits.isdigit() and len(digits) <= _ZIP_DIGITS


@lru_cache(maxsize=1)
def _states() -> _States:
    kept = tomllib.loads(resources.files("campaigns").joinpath("us_states.toml").read_text("utf-8"))
    read = _States({}, {}, {}, {})
    for code, facts in kept.items():
        state = State(code, facts["name"], tuple(facts["zones"]), facts.get("presumes_residence", False))
        read.by_code[code] = state
        read.by_name[facts["name"].replace(".", "").upper()] = state
        for area_code in facts["area_codes"]:
            read.by_area_code[str(area_code)] = state
        for span in facts["postal"]:
            first, _, last = span.partition("-")
            for prefix in range(int(first), int(last or first) + 1):
                read.by_postal[f"{prefix:03d}"] = (*read.by_postal.get(f"{prefix:03d}", ()), state)
    return read
