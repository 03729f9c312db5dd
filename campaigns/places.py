"""Where a contact may be: every zone whose clock may be theirs, every region whose law may protect them. Nothing guessed."""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Final, Protocol

from campaigns import numbers

_TERRITORIES: Final = frozenset({"AS", "GU", "MP", "PR", "VI"})
"""Countries by their numbers, but under the law of the United States."""

_POSTAL_COLUMNS: Final = ("postal_code", "zip")
PLACE_COLUMNS: Final = frozenset({"state", *_POSTAL_COLUMNS})
"""The columns that may name a place that there is not."""

_ZIP_DIGITS: Final = 5
_AREA: Final = len("+1212")
"""So much of a number tells its country, and within North America its area code."""


class Located(Protocol):
    """What of a contact tells where they may be."""

    @property
    def phone(self) -> str: ...
    @property
    def columns(self) -> "Columns": ...


class Columns(Protocol):
    """A row's own columns."""

    def get(self, name: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a contact may be: candidates, all of which count.

    The calling window must be open in every zone, and the strictest of the regions' laws is kept.
    """

    zones: tuple[str, ...] = ()  # IANA, sorted; none: not known
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
    """A column names a place that there is not. `column` is its name, the message the reason."""

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
    by_postal: dict[str, tuple[State, ...]]  # of three digits


def place_of(contact: Located) -> Place:
    """Return where a contact may be; raises UnknownPlace.

    The clock: the column `timezone`, else the states of `state` and of `postal_code` or `zip`, else the number's area.
    The law: those states and, if there are none or if its law presumes it, the state of the number's area code.
    """
    columns, phone = contact.columns, contact.phone
    timezone, state = columns.get("timezone", ""), columns.get("state", "")
    postal = next(((name, text) for name in _POSTAL_COLUMNS if (text := columns.get(name, ""))), ("", ""))
    zones, regions = _told(phone[:_AREA], len(phone), timezone, state, postal)
    return Place(zones or numbers.zones(phone), regions)


def regions_of(phone: str) -> tuple[str, ...]:
    """Return the regions that an E.164 number tells by itself: the state of its area code, or its country; none: ()."""
    return _told(phone[:_AREA], len(phone), "", "", ("", ""))[1]


@lru_cache(maxsize=20_000)
def _told(
    area: str, length: int, timezone: str, state: str, postal: tuple[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the zones and regions that all but the rest of the number tell; no zones: that must tell them."""
    zones = (timezone,) if timezone else ()
    country = numbers.country(area, length)
    if country != "US" and country not in _TERRITORIES:
        return zones, (country,) if country else ()
    told = {*_by_name(state), *_by_postal(*postal)}
    zones = zones or tuple(sorted({zone for one in told for zone in one.zones}))
    its_own = _states().by_area_code.get(area[2:])
    lawful = told | ({its_own} if its_own and (its_own.presumes_residence or not told) else set[State]())
    return zones, tuple(sorted(f"US-{one.code}" for one in lawful)) or ("US",)


def _by_name(text: str) -> tuple[State, ...]:
    if not text:
        return ()
    words = " ".join(text.replace(".", "").upper().removeprefix("US-").split())
    found = _states().by_code.get(words) or _states().by_name.get(words)
    if found is None:
        raise UnknownPlace("state", "is no state of the United States; write its two letters, such as NY")
    return (found,)


def _by_postal(column: str, text: str) -> tuple[State, ...]:
    if not text:
        return ()
    digits = text.partition("-")[0].strip()
    # A spreadsheet may have eaten the zeros in front.
    found = _states().by_postal.get(digits.zfill(_ZIP_DIGITS)[:3], ()) if _is_zip(digits) else ()
    if not found:
        raise UnknownPlace(column, "is no ZIP code of a state; write its five digits, such as 10001")
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
