from zoneinfo import ZoneInfo

import phonenumbers
import pytest

from campaigns import places
from campaigns.contacts import Contact
from campaigns.places import Place, UnknownPlace, place_of, read_label

NEW_YORK, CHICAGO = "America/New_York", "America/Chicago"


def place(phone: str, **columns: str) -> Place:
    return place_of(Contact(phone, columns, 1))


def test_the_column_timezone_counts_before_the_state_and_the_state_before_the_number() -> None:
    number = "+12125550111"
    assert place(number) == Place((NEW_YORK,), ("US-NY",))
    assert place(number, state="tx").zones == (CHICAGO, "America/Denver")
    assert place(number, state="Texas", timezone="America/Denver") == Place(("America/Denver",), ("US-TX",))


@pytest.mark.parametrize(
    ("code", "region"),
    [("10001", "US-NY"), ("02139-1234", "US-MA"), ("2139", "US-MA"), ("501", "US-NY"), ("96950", "US-GU|US-MP")],
)
def test_a_zip_code_tells_the_state_even_if_a_spreadsheet_has_removed_its_zeros(code: str, region: str) -> None:
    assert "|".join(place("+14155550111", zip=code).regions) == region
    assert place("+14155550111", postal_code=code) == place("+14155550111", zip=code)


def test_a_state_in_two_zones_has_both() -> None:
    assert place("+14155550111", zip="32401").zones == (CHICAGO, NEW_YORK)


def test_floridas_law_protects_every_number_with_its_area_code_wherever_the_contact_lives() -> None:
    assert place("+13055550111", state="NY").regions == ("US-FL", "US-NY")
    assert place("+12125550111", state="FL").regions == ("US-FL",)


def test_a_number_that_belongs_to_no_state_may_be_in_any() -> None:
    assert place("+15005551234").regions == ("US",)


def test_other_countries_have_their_own_law_and_columns_like_state_mean_nothing_there() -> None:
    assert place("+442079460101", state="Kent", postal_code="SW1A 1AA") == Place(("Europe/London",), ("GB",))
    assert place("+14165551234", state="ON").regions == ("CA",)
    assert place("+17875551234").regions == ("US-PR",)


@pytest.mark.parametrize(
    ("columns", "column"), [({"state": "New Yrok"}, "state"), ({"zip": "1000l"}, "zip"), ({"postal_code": "09012"}, "postal_code")]
)  # fmt: skip
def test_a_place_that_does_not_exist_is_reported_and_not_guessed(columns: dict[str, str], column: str) -> None:
    with pytest.raises(UnknownPlace) as refused:
        place("+12125550111", **columns)
    assert refused.value.column == column


def test_a_place_is_read_back_from_its_label() -> None:
    for one in (Place(), Place(("UTC",)), Place((CHICAGO, NEW_YORK), ("US-FL", "US-NY"))):
        assert read_label(one.label) == one


def test_the_table_of_states_has_every_area_code_that_the_numbering_library_has_and_zones_that_exist() -> None:
    states = places._states()
    for state in states.by_code.values():
        assert all(ZoneInfo(zone) for zone in state.zones)
    ours = {code for code in map(str, range(200, 1000)) if country(code) in {"US", *places._TERRITORIES}}
    without_a_state = {f"5{n}{n}" for n in (0, 2, 3, 4, 6, 7, 8)} | {"521", "525", "526", "527", "528", "529", "532"}
    toll = {"800", "833", "844", "855", "866", "877", "888", "900"}
    assert ours - without_a_state - toll == set(states.by_area_code), "compare with the numbering plan's news"


def country(area_code: str) -> str | None:
    return phonenumbers.region_code_for_number(phonenumbers.parse(f"+1{area_code}5551234"))
