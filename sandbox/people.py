"""The people in the sandbox, the machines among them, and the numbers at which they live."""

import csv
import random
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sandbox import machines, scripts
from sandbox.telephone import Script


@dataclass(frozen=True, slots=True)
class Person:
    """How a telephone behaves when it rings, and what the person who answers it does."""

    name: str
    ring: str = "answered"  # or: busy, no-answer, rejected, not-found, unreachable
    script: Script | None = None
    answered_by: str = "human"  # what the carrier's detection reports: human, machine or fax
    rings_s: tuple[float, float] = (0.6, 1.6)  # how long it rings before the answer: from, to
    ends_in: frozenset[str] = frozenset(
        {"completed"}
    )  # the dispositions that a correct dialer may record for this call


def _people(*kinds: Script, answered_by: str = "human", ends_in: str = "completed") -> list[Person]:
    right = frozenset(ends_in.split())
    return [Person(script.__name__, script=script, answered_by=answered_by, ends_in=right) for script in kinds]


PEOPLE: Final[Mapping[str, Person]] = {
    person.name: person
    for person in (
        *_people(scripts.talks, scripts.interested, scripts.asks_robot, scripts.declines, scripts.answers),
        *_people(
            scripts.silent_then_talks, scripts.slow_talker, scripts.backchannels, scripts.hello_over, scripts.interrupts
        ),
        *_people(scripts.hangs_up, ends_in="rejected"),
        *_people(scripts.hangs_up_mid),
        *_people(scripts.wrong_number, ends_in="wrong_number"),
        *_people(scripts.opts_out, scripts.opts_out_rudely, scripts.presses_9, ends_in="do_not_call"),
        *_people(scripts.callback, scripts.wants_later, ends_in="callback"),
        *_people(scripts.wants_person, ends_in="completed callback"),
        *_people(scripts.silent, ends_in="no_answer"),
        *_people(
            machines.voicemail,
            machines.voicemail_long,
            machines.voicemail_no_beep,
            answered_by="machine",
            ends_in="voicemail",
        ),
        *_people(machines.voicemail_full, machines.menu, answered_by="machine", ends_in="voicemail"),
        *_people(machines.screening, answered_by="machine"),
        *_people(machines.screening_rejects, answered_by="machine", ends_in="voicemail rejected"),
        *_people(machines.fax, answered_by="fax", ends_in="voicemail"),
        Person("busy", "busy", ends_in=frozenset({"busy"})),
        Person("no_answer", "no-answer", ends_in=frozenset({"no_answer"})),
        Person("rejects", "rejected", ends_in=frozenset({"rejected"})),
        Person("not_in_service", "not-found", ends_in=frozenset({"invalid_number"})),
        Person("unreachable", "unreachable", ends_in=frozenset({"failed", "no_answer"})),
    )
}


class UnknownPerson(ValueError):
    """There is no person of this name. The message lists those who exist."""


def behaviours(text: str) -> list[Person]:
    """Read `busy>talks`: the person of the first ring, the second, and so on; the last one answers all later rings."""
    names = [name.strip() for name in text.split(">")]
    if unknown := [name for name in names if name not in PEOPLE]:
        raise UnknownPerson(f"{', '.join(unknown)}: there is no such person; there are {', '.join(sorted(PEOPLE))}")
    return [PEOPLE[name] for name in names]


@dataclass
class Town:
    """Which people live at which number. For other numbers, seed and number together draw one person by weight."""

    seed: int = 1
    weights: Mapping[str, float] = field(default_factory=lambda: {"talks": 1.0})
    numbers: dict[str, list[Person]] = field(default_factory=dict[str, list[Person]])  # by the last nine digits

    def settle(self, number: str, behaviour: str) -> None:
        """Let people live at a number, which may be written in any notation."""
        self.numbers[_tail(number)] = behaviours(behaviour)

    def person(self, number: str, ring: int) -> Person:
        """Return the person for ring number `ring` of this number; 1 is the first."""
        residents = self.numbers.get(_tail(number))
        if residents is None:
            drawn = self.dice(number, 0).choices(list(self.weights), list(self.weights.values()))[0]
            residents = behaviours(drawn)
        return residents[min(ring, len(residents)) - 1]

    def dice(self, number: str, ring: int) -> random.Random:
        """Return the random numbers of one ring; every run with this seed draws the same."""
        return random.Random(f"{self.seed}:{_tail(number)}:{ring}")  # noqa: S311 - for variety, not for secrets

    @classmethod
    def load(cls, path: Path, seed: int) -> "Town":
        """Load a CSV with columns phone and person, or a TOML file with seed, [weights] and [numbers]."""
        if path.suffix == ".toml":
            table = tomllib.loads(path.read_text("utf-8"))
            town = cls(table.get("seed", seed), table.get("weights", {"talks": 1.0}))
            for number, behaviour in table.get("numbers", {}).items():
                town.settle(number, behaviour)
            return town
        town = cls(seed)
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = file.readline()
            delimiter = max(",;\t", key=header.count)
            names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), list[str]())]
            for row in csv.DictReader(file, names, delimiter=delimiter):
                if row.get("person") and len(_tail(row.get("phone") or "")) >= 7:
                    town.settle(row["phone"], row["person"])
        return town


def _tail(number: str) -> str:
    return re.sub(r"\D", "", number)[-9:]
