"""Numbering plans: what a number is, by the phonenumbers library's own patterns, put together into one for each country.

The library tries a dozen patterns on every number, some of them in twenty countries; a file has a million of them. What
is here answers as the library does or not at all (tests/campaigns/test_plans.py holds them against each other).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumberDesc, PhoneNumberType

_WRITTEN: Final = re.compile(r"\+?[0-9 ().-]{7,40}")
"""How numbers are mostly written. Every other way (letters, extensions, other scripts) is the library's business."""

_SEPARATORS: Final = str.maketrans("", "", " ().-")
_SHORTEST: Final = 7
"""Digits. Fewer may be a short number, such as an emergency one."""


_CODES: Final = {str(code): code for code, regions in COUNTRY_CODE_TO_REGION_CODE.items() if "001" not in regions}
"""The calling codes of countries, by how they are written: none begins with a zero. (+800 and its like are nowhere.)"""


class National(NamedTuple):
    """A number without its calling code."""

    code: int
    digits: str


@dataclass(frozen=True, slots=True)
class _Region:
    """A country of a plan that several may share."""

    name: str
    leading: re.Pattern[str] | None  # the digits that its numbers, and no other's, begin with
    types: re.Pattern[str]  # a whole number; the last group is named for its type


class Plan:
    """The numbers of one calling code."""

    def __init__(self, code: int) -> None:
        """Read the library's metadata of a calling code that it knows."""
        names = COUNTRY_CODE_TO_REGION_CODE[code]
        self._alone = len(names) == 1
        self._regions = tuple(_regions(code, names))

    def kind(self, digits: str) -> tuple[str, int]:
        """Return the region that a national number is in ("" for none) and its PhoneNumberType."""
        for region in self._regions:
            found = region.types.match(digits)
            if found or self._alone or (region.leading and region.leading.match(digits)):
                return region.name, _TYPES[found.lastgroup] if found and found.lastgroup else PhoneNumberType.UNKNOWN
        return "", PhoneNumberType.UNKNOWN


@cache
def plan(code: int) -> Plan:
    """Return the plan of a calling code."""
    return Plan(code)


def split(e164: str) -> National | None:
    """Take the calling code off an E.164 number; None if it is no country's."""
    for length in (1, 2, 3):  # no code is the beginning of another
        if code := _CODES.get(e164[1 : 1 + length]):
            return National(code, e164[1 + length :])
    return None


def read(text: str, region: str) -> National | None:
    """Read a number as it is mostly written in `region`; None if it takes the whole library to tell what is meant."""
    if not _WRITTEN.fullmatch(text):
        return None
    digits = text.translate(_SEPARATORS)
    if digits.startswith("+"):
        number = split(digits)
        return None if number is None or _habits(main_region(number.code)).is_prefixed(number.digits) else number
    return _habits(region).national(digits) if len(digits) >= _SHORTEST else None


def main_region(code: int) -> str:
    """Return the country of a calling code, or the greatest of those that share it."""
    return COUNTRY_CODE_TO_REGION_CODE[code][0]


class _Habits:
    """How a country's people write its numbers: what they put in front."""

    def __init__(self, region: str) -> None:
        metadata = PhoneMetadata.metadata_for_region(region, None)
        if metadata is None or metadata.country_code is None or metadata.general_desc is None:
            raise ValueError(f"{region} is no region that has telephone numbers")
        self._code = metadata.country_code
        self._abroad = _compiled(metadata.international_prefix)
        self._prefix = _compiled(metadata.national_prefix_for_parsing)
        # Where a prefix changes the digits behind it, or may name a carrier, the library is asked.
        self._plain = bool(self._prefix) and not metadata.national_prefix_transform_rule and self._prefix.groups == 0
        self._whole = re.compile(_pattern(metadata.general_desc) or "(?!)")

    def is_prefixed(self, digits: str) -> bool:
        """True if the digits may begin with what is no part of the number."""
        return bool(self._prefix and self._prefix.match(digits))

    def national(self, digits: str) -> National | None:
        """Return the number that digits without a + mean, if no other is possible."""
        if self._abroad and self._abroad.match(digits):
            return None
        coded = digits.startswith(str(self._code))
        prefix = self._prefix.match(digits) if self._prefix else None
        if prefix is None:
            return None if coded else National(self._code, digits)
        rest = digits[prefix.end() :]
        # In the United States, 1 is both what is dialed in front and the calling code.
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
"""In the library's order: what matches two of them is of the first type."""

_TYPES: Final[Mapping[str, int]] = {
    kind: getattr(PhoneNumberType, kind.upper()) for kind in (*_FIRST, "fixed_line_or_mobile", "fixed_line", "mobile")
}


def _pattern(about: PhoneNumberDesc | None) -> str | None:
    """Return what a whole number of this description matches; None if there are no such numbers."""
    if about is None or not about.national_number_pattern:
        return None
    lengths = [str(length) for length in about.possible_length if length > 0]
    if about.possible_length and not lengths:
        return None
    ahead = "(?=" + "|".join(rf"[0-9]{{{length}}}\Z" for length in lengths) + ")" if lengths else ""
    return rf"{ahead}(?:{about.national_number_pattern})\Z"


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    return re.compile(pattern) if pattern else None
