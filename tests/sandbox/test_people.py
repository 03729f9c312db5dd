from pathlib import Path

import pytest

from sandbox.people import PEOPLE, Town, UnknownPerson, behaviours

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_people_live_where_a_file_says_whatever_separates_its_columns(tmp_path: Path, delimiter: str) -> None:
    file = tmp_path / "people.csv"
    file.write_text("phone,name,person\n(212) 555-0111,Ada,busy>talks\n".replace(",", delimiter), "utf-8")
    town = Town.load(file, seed=1)
    assert [town.person("+12125550111", ring).name for ring in (1, 2, 3)] == ["busy", "talks", "talks"]


@pytest.mark.parametrize("sample", ["appointment_reminder", "renewal_offer", "patient_survey"])
def test_every_sample_names_people_who_exist(sample: str) -> None:
    assert len(Town.load(ROOT / "campaigns" / sample / "contacts.csv", seed=1).numbers) >= 20


def test_an_unknown_person_is_named_with_those_who_exist() -> None:
    with pytest.raises(UnknownPerson, match=r"nobody: there is no such person; there are .*talks"):
        behaviours("busy>nobody")
    assert len(PEOPLE) == 19


def test_whoever_is_not_listed_is_always_the_same_person() -> None:
    town = Town(7, {"talks": 1.0, "busy": 1.0, "silent": 1.0})
    drawn = [town.person(f"+1212555{n:04d}", 1).name for n in range(60)]
    assert set(drawn) == {"talks", "busy", "silent"}
    assert drawn == [town.person(f"+1212555{n:04d}", 1).name for n in range(60)]
