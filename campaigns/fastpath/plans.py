"""Numbering plans: the phonenumbers library's own patterns, joined into one regular expression for each country.

The library tries a dozen patterns on every number, and for some calling codes those of twenty countries. This module gives
the library's answer or none (tests/campaigns/test_plans.py compares the two); on none, `numbers` asks the library.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc, PhoneNumberType

_WRITTEN: Final = re.compile(r"\+?[0-9 ().-]{7,40}")
"""The usual way to write a number. All others (letters, extensions, other scripts) are left to the library."""

_SEPARATORS: Final = str.maketrans("", "", " ().-")
_SHORTEST: Final = 7
"""Digits. Fewer may be a short number, such as an emergency number."""

_CODES: Final = {str(code): code for code, regions in COUNTRY_CODE_TO_REGION_CODE.items() if "001" not in regions}
"""Calling codes of countries as written -> as numbers. Codes without a country, such as +800, are left out."""


class National(NamedTuple):
    """A number without its calling code."""

    code: int
    digits: str


@dataclass(frozen=True, slots=True)
class _Region:
    """One of the countries that share a calling code."""

    name: str
    leading: re.Pattern[str] | None  # how its numbers begin, and those of no other country of the plan
    types: re.Pattern[str]  # matches a whole number; the group that matched last is named for the type


class Plan:
    """The numbers that one calling code may stand before."""

    def __init__(self, code: int) -> None:
        """Read the library's metadata for a calling code that the library knows."""
        names = COUNTRY_CODE_TO_REGION_CODE[code]
        self._alone = len(names) == 1
        self._regions = tuple(_regions(code, names))

    def kind(self, digits: str) -> tuple[str, int]:
        """Return the country of a national number ("" if it has none) and the number's PhoneNumberType."""
        for region in self._regions:
            found = region.types.match(digits)
            if found or self._alone or (region.leading and region.leading.match(digits)):
                return region.name, _TYPES[found.lastgroup] if found and found.lastgroup else PhoneNumberType.UNKNOWN
        return "", PhoneNumberType.UNKNOWN


@cache
def plan(code: int) -> Plan:
    """Return the plan of a calling code; it is read once."""
    return Plan(code)


def split(e164: str) -> National | None:
    """Split an E.164 number into calling code and national number; None if no country has the code."""
    for length in (1, 2, 3):  # no calling code is the beginning of another
        if code := _CODES.get(e164[1 : 1 + length]):
            return National(code, e164[1 + length :])
    return None


def read(text: str, region: str) -> National | None:
    """Read a number that is written in the usual way of `region`; None if only the library can tell what it means."""
    if not _WRITTEN.fullmatch(text):
        return None
    digits = text.translate(_SEPARATORS)
    if digits.startswith("+"):
        number = split(digits)
        return None if number is None or _habits(main_region(number.code)).is_prefixed(number.digits) else number
    return _habits(region).national(digits) if len(digits) >= _SHORTEST else None


def main_region(code: int) -> str:
    """Return the country of a calling code; if several share it, the main one."""
    return COUNTRY_CODE_TO_REGION_CODE[code][0]


class _Habits:
    """What the people of a country write in front of its numbers: 0 or 1 at home, 00 or 011 for abroad."""

    def __init__(self, region: str) -> None:
        metadata = PhoneMetadata.metadata_for_region(region, None)
        if metadata is None or metadata.country_code is None or metadata.general_desc is None:
            raise ValueError(f"{region} is not a country with telephone numbers")
        self._code = metadata.country_code
        self._abroad = _compiled(metadata.international_prefix)
        self._prefix = _compiled(metadata.national_prefix_for_parsing)
        # A prefix that changes the digits after it, or names a carrier, is left to the library.
        self._plain = bool(self._prefix) and not metadata.national_prefix_transform_rule and self._prefix.groups == 0
        self._whole = re.compile(_pattern(metadata.general_desc) or "(?!)")

    def is_prefixed(self, digits: str) -> bool:
        """Say whether the digits may begin with a prefix that is no part of the number."""
        return bool(self._prefix and self._prefix.match(digits))

    def national(self, digits: str) -> National | None:
        """Return the number that digits without a + mean; None if they may mean another one too."""
        if self._abroad and self._abroad.match(digits):
            return None
        coded = digits.startswith(str(self._code))
        prefix = self._prefix.match(digits) if self._prefix else None
        if prefix is None:
            return None if coded else National(self._code, digits)
        rest = digits[prefix.end() :]
        # In the United States, 1 is both the prefix at home and the calling code.
        if not self._plain or (coded and prefix[0] != str(self._code)) or self.is_prefixed(rest):
            return None
        return National(self._code, rest) if self._whole.match(rest) else None


@cache
def _habits(region: str) -> _Habits:
    return _Habits(region)


def _regions(code: int, names: tuple[str, ...]) -> Iterator[_Region]:
    for name in names:
        metadata = PhoneMetadata.metadata_for_region_or_calling_code(code, name)
        if metadata is None or metadata.general_desc is None or (whole := _pattern(metadata.general_desc)) is None:
            continue
        fixed, mobile = _pattern(metadata.fixed_line), _pattern(metadata.mobile)
        both = fixed if metadata.same_mobile_and_fixed_line_pattern else fixed and mobile and f"(?={fixed}){mobile}"
        named: Mapping[str, str | None] = {
            **{kind: _pattern(getattr(metadata, kind)) for kind in _FIRST},
            "fixed_line_or_mobile": both,
            "fixed_line": fixed,
            "mobile": None if metadata.same_mobile_and_fixed_line_pattern else mobile,
        }
        types = "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in named.items() if pattern)
        yield _Region(name, _compiled(metadata.leading_digits), re.compile(f"(?={whole})(?:{types or '(?!)'})"))


_FIRST: Final = (
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number", "pager", "uan", "voicemail",
)  # fmt: skip
"""In the library's order: a number that matches two of these has the type of the first."""

_TYPES: Final[Mapping[str, int]] = {
    kind: getattr(PhoneNumberType, kind.upper()) for kind in (*_FIRST, "fixed_line_or_mobile", "fixed_line", "mobile")
}


def _pattern(about: PhoneNumberDesc | None) -> str | None:
    """Return a pattern for whole numbers of this description; None if there are no such numbers."""
    if about is None or not about.national_number_pattern:
        return None
    lengths = [str(length) for length in about.possible_length if length > 0]
    if about.possible_length and not lengths:
        return None
    ahead = "(?=" + "|".join(rf"[0-9]{{{length}}}\Z" for length in lengths) + ")" if lengths else ""
    return rf"{ahead}(?:{about.national_number_pattern})\Z"


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    return re.compile(pattern) if pattern else None
