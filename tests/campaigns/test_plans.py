"""The fast path for numbers, compared with the phonenumbers library."""

import phonenumbers
import pytest
from hypothesis import HealthCheck, assume, example, given
from hypothesis import strategies as st
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    SUPPORTED_REGIONS,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
)
from phonenumbers.timezone import time_zones_for_number

from campaigns import numbers
from campaigns.fastpath import plans
from tests.search import examples

TYPES = sorted(value for name, value in vars(PhoneNumberType).items() if name.isupper())
MANY = examples(1000)

regions = st.sampled_from(sorted(SUPPORTED_REGIONS))
digits = st.text("0123456789", min_size=1, max_size=15)


def library(number: PhoneNumber) -> tuple[str, int]:
    return phonenumbers.region_code_for_number(number) or "", phonenumbers.number_type(number)


def examples_of(region: str) -> list[PhoneNumber]:
    found = [phonenumbers.example_number_for_type(region, kind) for kind in TYPES]
    return [number for number in found if number]


@st.composite
def like_numbers(draw: st.DrawFn) -> PhoneNumber:
    """Numbers like those that exist: an example of some country and type, with a few digits changed."""
    number = draw(st.sampled_from(examples_of(draw(regions))))
    national = list(phonenumbers.national_significant_number(number))
    for _ in range(draw(st.integers(0, 4))):
        national[draw(st.integers(0, len(national) - 1))] = draw(st.sampled_from("0123456789"))
    national += draw(st.lists(st.sampled_from("0123456789"), max_size=1))
    changed = "".join(national)
    assume(changed.strip("0"))
    leading = len(changed) - len(changed.lstrip("0"))
    return PhoneNumber(
        number.country_code,
        int(changed),
        italian_leading_zero=bool(leading) or None,
        number_of_leading_zeros=leading if leading > 1 else None,
    )


def national(number: PhoneNumber) -> str:
    return phonenumbers.national_significant_number(number)


@pytest.mark.parametrize("code", sorted(COUNTRY_CODE_TO_REGION_CODE))
def test_every_country_s_numbers_are_of_the_type_that_the_library_says(code: int) -> None:
    for region in COUNTRY_CODE_TO_REGION_CODE[code]:
        found = examples_of(region)
        if region == "001":
            found = [number] if (number := phonenumbers.example_number_for_non_geo_entity(code)) else []
        assert found
        for number in found:
            assert plans.plan(code).kind(national(number)) == library(number)


@MANY
@given(number=like_numbers())
def test_numbers_near_to_those_that_exist_are_of_the_type_that_the_library_says(number: PhoneNumber) -> None:
    assert plans.plan(number.country_code).kind(national(number)) == library(number)


@MANY
@given(local=st.integers(2_000_000_000, 9_999_999_999))
@example(local=9836097150)
@example(local=2125550111)
def test_numbers_of_north_america_are_of_the_type_that_the_library_says(local: int) -> None:
    assert plans.plan(1).kind(str(local)) == library(PhoneNumber(1, local))


@given(number=like_numbers())
def test_a_number_is_split_after_its_calling_code(number: PhoneNumber) -> None:
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    assert plans.split(e164) == (number.country_code, national(number))


separated = st.lists(st.sampled_from([" ", "(", ")", "-", ".", "", "", ""]), max_size=20)


@st.composite
def written(draw: st.DrawFn) -> tuple[str, str]:
    """A number as people may write it, and the country in which they do."""
    region = draw(regions)
    number = draw(like_numbers())
    text = draw(
        st.sampled_from(
            [
                f"+{number.country_code}{national(number)}",
                national(number),
                f"0{national(number)}",
                f"1{national(number)}",
                f"00{number.country_code}{national(number)}",
                f"{number.country_code}{national(number)}",
                f"+{number.country_code}0{national(number)}",
            ]
        )
    )
    if draw(st.booleans()):
        region = phonenumbers.region_code_for_number(number) or region
    head, rest = (text[0], text[1:]) if text[0] == "+" else ("", text)
    between = draw(separated) + [""] * len(rest)
    spread = "".join(f"{gap}{digit}" for gap, digit in zip(between, rest, strict=False))
    return head + spread, region


@examples(
    1000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)  # most of the texts are no numbers
@given(given_=written() | st.tuples(st.text("+0123456789 ().-", max_size=22), regions))
@example(given_=("12125550111", "US"))
@example(given_=("(212) 555-0111", "US"))
@example(given_=("020 7946 0018", "GB"))
@example(given_=("8 812 123-45-67", "RU"))
@example(given_=("+39 06 1234 5678", "IT"))
def test_the_fast_path_reads_a_number_as_the_library_does(given_: tuple[str, str]) -> None:
    text, region = given_
    read = plans.read(text, region)
    assume(read)
    assert read
    known = plans.plan(read.code).kind(read.digits)[1] != PhoneNumberType.UNKNOWN
    assume(known)
    number = phonenumbers.parse(text, region)
    assert (number.country_code, national(number), number.extension) == (read.code, read.digits, None)


@MANY
@given(given_=written() | st.tuples(st.text("+0123456789 ().-", max_size=22), regions), countries=st.sets(regions))
def test_the_fast_path_accepts_nothing_that_the_library_refuses(given_: tuple[str, str], countries: set[str]) -> None:
    text, region = given_
    allowed = (*countries, region)
    accepted = numbers._plain(text, region, allowed)
    if accepted:
        assert numbers._examined(text, region, allowed) == accepted


@pytest.mark.parametrize("text", ["2125550111", "(303) 555-0112", "+1 212-555-0111", "1.604.555.0133", "12125550111"])
def test_the_fast_path_reads_the_usual_ways_to_write_numbers(text: str) -> None:
    assert numbers._plain(text, "US", ("US", "CA"))


@pytest.mark.parametrize("text", ["+012012000000", "+ 0 1 201 200 0000", "+0012012000000"])
def test_a_zero_after_the_plus_is_no_calling_code(text: str) -> None:
    assert plans.read(text, "US") is None
    assert plans.split(text.replace(" ", "")) is None


@pytest.mark.parametrize("code", [800, 808, 870, 878, 881, 882, 883, 888, 979])
def test_a_number_that_belongs_to_no_country_is_refused_and_has_no_zone(code: int) -> None:
    for number in (f"+{code}{'1' * length}" for length in range(4, 13)):
        with pytest.raises(numbers.BadNumber):
            numbers.parse(number, "US", ("US",))
        assert numbers.zones(number) == ()


@pytest.mark.parametrize("text", [".......", "(  )  ----", "+.......", "+       "])
def test_a_cell_without_a_digit_is_refused(text: str) -> None:
    with pytest.raises(numbers.BadNumber):
        numbers.parse(text, "US", ("US",))


def test_the_fast_path_reads_british_and_german_lists() -> None:
    assert numbers._plain("020 8765 4321", "GB", ("GB",)) == "+442087654321"
    assert numbers._plain("+44 7400 123456", "GB", ("GB",)) == "+447400123456"
    assert numbers._plain("030 123456", "DE", ("DE",)) == "+4930123456"


@MANY
@given(number=like_numbers())
def test_the_zones_are_those_that_the_library_says(number: PhoneNumber) -> None:
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    assume(not numbers._FICTION.fullmatch(e164))
    theirs = sorted(zone for zone in time_zones_for_number(number) if zone != "Etc/Unknown")
    assert list(numbers.zones(e164)) == theirs


@given(number=st.from_regex(numbers._FICTION, fullmatch=True))
def test_numbers_of_fiction_have_a_zone(number: str) -> None:
    assert numbers.zones(number.replace(" ", ""))
