"""Telephone numbers: which may be rung at all, and where they are. The phonenumbers library decides, by its own tables."""

import re
from functools import cache, lru_cache
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType
from phonenumbers.phonenumberutil import is_number_type_geographical
from phonenumbers.tzdata import TIMEZONE_DATA, TIMEZONE_LONGEST_PREFIX

from campaigns.fastpath import plans

# Numbers that are reserved for fiction. They ring nobody, so rehearsals and samples use them; the numbering plans call many of
# them invalid. North America: 555-0100 to 555-0199 in every area code (ATIS-0300115). United Kingdom: Ofcom's "telephone
# numbers for use in TV and radio drama programmes".
_FICTION: Final = re.compile(
    r"\+1(?!8(?:00|33|44|55|66|77|88)|900)[2-9]\d{2}55501\d{2}"
    r"|\+44(?:20 ?79460|113 ?4960|114 ?4960|115 ?4960|116 ?4960|117 ?4960|118 ?4960|121 ?4960|131 ?4960|141 ?4960"
    r"|151 ?4960|161 ?4960|191 ?4980|28 ?96496|29 ?20180|1632 ?960|7700 ?900)\d{3}"
)

_REFUSED: Final = {
    PhoneNumberType.PREMIUM_RATE: "a premium-rate number",
    PhoneNumberType.SHARED_COST: "a shared-cost number",
    PhoneNumberType.TOLL_FREE: "a toll-free number; the law forbids automated voices to call it",
    PhoneNumberType.PAGER: "a pager",
    PhoneNumberType.UAN: "a company-wide access number",
    PhoneNumberType.VOICEMAIL: "a voicemail access number",
}

_REASONS: Final = {
    NumberParseException.INVALID_COUNTRY_CODE: "begins with a country code that does not exist",
    NumberParseException.NOT_A_NUMBER: "is not a telephone number",
    NumberParseException.TOO_SHORT_AFTER_IDD: "is too short",
    NumberParseException.TOO_SHORT_NSN: "is too short",
    NumberParseException.TOO_LONG: "is too long",
}

_LONGEST: Final = 40
"""Characters of a number as people write it. Longer text is no number, and is not parsed."""

_SHORT: Final = range(2, 7)
"""The number of digits of emergency numbers and other short ones."""


class BadNumber(ValueError):
    """This number may not be rung, or is none. The message is the reason, without the number."""


def parse(text: str, region: str, countries: tuple[str, ...]) -> str:
    """Return the E.164 form of a contact's number as people in `region` write it; raises BadNumber with the reason."""
    # `_examined` alone gives the same answers, ten times slower.
    return _plain(text, region, countries) or _examined(text, region, countries)


def _plain(text: str, region: str, countries: tuple[str, ...]) -> str | None:
    """Return the E.164 form of a number that is plainly good; None for all others, the bad ones too."""
    number = plans.read(text, region)
    if number is None:
        return None
    country, kind = plans.plan(number.code).kind(number.digits)
    if country not in countries or kind == PhoneNumberType.UNKNOWN or kind in _REFUSED:
        return None
    return f"+{number.code}{number.digits}"


def _examined(text: str, region: str, countries: tuple[str, ...]) -> str:
    number = _parsed(text, region)
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    country = phonenumbers.region_code_for_number(number) or _country_of_fiction(e164)
    if not _FICTION.fullmatch(e164):
        _refuse_bad(number)
    elif country is None:
        raise BadNumber("is not a valid number")
    if country not in countries:
        raise BadNumber(f"is in {country or 'no country'}, and this campaign calls only {', '.join(countries)}")
    return e164


def own(text: str) -> str:
    """Return the E.164 form of one of our own numbers, which must be written with + and the country code."""
    if not text.startswith("+"):
        raise BadNumber("write the number with + and the country code, such as +12125550100")
    number = _parsed(text, None)
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if not (_FICTION.fullmatch(e164) or phonenumbers.is_possible_number(number)):
        raise BadNumber("is not a possible number")
    return e164


def _parsed(text: str, region: str | None) -> phonenumbers.PhoneNumber:
    digits = re.sub(r"\D", "", text)
    if region and not text.lstrip().startswith("+") and len(digits) in _SHORT:
        raise BadNumber("is an emergency or short number")
    if len(text) > _LONGEST:
        raise BadNumber("is too long")
    try:
        number = phonenumbers.parse(text, region)
    except NumberParseException as error:
        raise BadNumber(_REASONS.get(error.error_type, "is not a telephone number")) from error
    if number.extension:
        raise BadNumber("has an extension, which cannot be dialed; give a direct number")
    return number


def _refuse_bad(number: phonenumbers.PhoneNumber) -> None:
    if not phonenumbers.is_possible_number(number):
        raise BadNumber("is not a possible number")
    kind = phonenumbers.number_type(number)
    if kind in _REFUSED:
        raise BadNumber(f"is {_REFUSED[kind]}")
    if kind == PhoneNumberType.UNKNOWN:
        raise BadNumber("is not a valid number")


def _country_of_fiction(e164: str) -> str | None:
    if not _FICTION.fullmatch(e164):
        return None
    # A fictional number belongs to no block, so ask for the country of a valid number with the same area code.
    if e164.startswith("+44"):
        return "GB"
    sibling = phonenumbers.parse(f"{e164[:5]}5551234", None)
    return phonenumbers.region_code_for_number(sibling)


@lru_cache(maxsize=10_000)
def country(prefix: str, length: int) -> str:
    """Return the country of the numbers that begin with `prefix` (+ and digits), such as "GB"; "" if there is no one country.

    `length` is the length of the whole number. Where countries share a calling code, the prefix may be too short to tell
    them apart; the answer is then the main country of that code.
    """
    if prefix.startswith("+1"):
        prefix, length = f"{prefix[:5]}555", len("+12125550100")
    number = phonenumbers.parse(prefix.ljust(length, "1"), None)
    found = phonenumbers.region_code_for_number(number)
    # A prefix that is no whole number still tells the calling code, and its main country has most of the numbers.
    found = found or phonenumbers.region_code_for_country_code(number.country_code or 0)
    return found if found not in {"001", "ZZ"} else ""


def zones(e164: str) -> tuple[str, ...]:
    """Return every IANA time zone that the number may be in, sorted; empty if none is known."""
    if e164.startswith("+44") and _FICTION.fullmatch(e164):
        return ("Europe/London",)
    number = plans.split(e164)
    if number is None:
        return ()
    _, kind = plans.plan(number.code).kind(number.digits)
    if kind == PhoneNumberType.UNKNOWN and not _FICTION.fullmatch(e164):
        return ()
    # A mobile or other number without a place may be anywhere in its country.
    placed = kind == PhoneNumberType.UNKNOWN or is_number_type_geographical(kind, number.code)
    return _zones_of_prefix(_known_prefix(e164[1:] if placed else str(number.code)))


def _known_prefix(digits: str) -> str:
    """Return the longest beginning of these digits whose time zones are known; empty if there is none."""
    for length in range(TIMEZONE_LONGEST_PREFIX, 0, -1):
        if digits[:length] in TIMEZONE_DATA:
            return digits[:length]
    return ""


@cache
def _zones_of_prefix(prefix: str) -> tuple[str, ...]:
    return tuple(sorted(zone for zone in TIMEZONE_DATA.get(prefix, ()) if zone != "Etc/Unknown"))
