import random
from pathlib import Path

import pytest

from sandbox.clips import CLIPS
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


ENDS = {"completed", "callback", "do_not_call", "wrong_number", "voicemail", "no_answer", "busy", "rejected",
        "invalid_number", "failed"}  # fmt: skip


def test_every_person_says_how_a_call_to_them_should_end() -> None:
    assert all(person.ends_in and person.ends_in <= ENDS for person in PEOPLE.values())
    assert set().union(*(person.ends_in for person in PEOPLE.values())) == ENDS


class Stub:
    """A telephone whose caller always speaks, and on which no time passes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.is_put_through = False
        self.done: list[str] = []

    async def say(self, name: str) -> None:
        self.done.append(name)

    async def pause(self, seconds: float) -> None:
        self.done.append(f"{seconds:.2f}")

    async def press(self, digit: str) -> None:
        self.done.append(digit)

    async def caller_speaks(self, within: float = 12.0) -> bool:
        return True

    async def caller_finishes(self, within: float = 30.0) -> bool:
        return True

    async def until_hung_up(self, patience: float = 12.0) -> None:
        pass


async def played(name: str, seed: int) -> list[str]:
    script = PEOPLE[name].script
    assert script
    phone = Stub(seed)
    await script(phone)
    return phone.done


@pytest.mark.parametrize("name", [name for name, person in PEOPLE.items() if person.script])
async def test_everybody_says_only_what_was_recorded_and_the_same_for_one_seed(name: str) -> None:
    done = await played(name, 1)
    assert all(what in CLIPS or what == "9" or "." in what for what in done)
    assert done == await played(name, 1)


@pytest.mark.parametrize("name", ["slow_talker", "opts_out_rudely", "screening", "voicemail", "fax", "wants_later"])
async def test_people_of_a_kind_are_not_all_alike(name: str) -> None:
    assert len({tuple(await played(name, seed)) for seed in range(20)}) > 1


def test_a_number_that_is_not_listed_always_draws_the_same_person() -> None:
    town = Town(7, {"talks": 1.0, "busy": 1.0, "silent": 1.0})
    drawn = [town.person(f"+1212555{n:04d}", 1).name for n in range(60)]
    assert set(drawn) == {"talks", "busy", "silent"}
    assert drawn == [town.person(f"+1212555{n:04d}", 1).name for n in range(60)]
