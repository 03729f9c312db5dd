"""The people who answer, don't, or aren't people. Each is a short script; they go by what they hear, and read no minds."""

import csv
import random
import re
import tomllib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol


class Line(Protocol):
    """A telephone as the person who holds it knows it."""

    random: random.Random

    async def say(self, name: str) -> None:
        """Speak, and return when it has been spoken."""

    async def pause(self, seconds: float) -> None:
        """Wait."""

    async def caller_speaks(self, within: float = 12.0) -> bool:
        """Wait until the caller's voice is heard; False if it is not within so many seconds."""
        ...

    async def caller_finishes(self, within: float = 30.0) -> bool:
        """Wait until the caller has spoken and then been quiet for a moment; False if they never spoke."""
        ...

    async def press(self, digit: str) -> None:
        """Press a key."""

    async def until_hung_up(self, patience: float = 12.0) -> None:
        """Stay until the caller hangs up, or until they have been silent for too long."""


Script = Callable[[Line], Awaitable[None]]


async def talks(line: Line) -> None:
    """Say hello, hear the caller out, agree, and say goodbye."""
    await line.say("hello")
    if await line.caller_finishes():
        await line.say("yes_confirm")
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up()


async def interested(line: Line) -> None:
    """Ask what it costs, then like it."""
    await line.say("hello")
    if await line.caller_finishes():
        await line.say("how_much")
        await line.caller_finishes(10)
        await line.say("yes_interested")
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up()


async def declines(line: Line) -> None:
    """Politely decline."""
    await line.say("hello")
    if await line.caller_finishes():
        await line.say("no_thanks")
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up()


async def answers(line: Line) -> None:
    """Answer a survey's three questions: a score, a yes or no, a comment."""
    await line.say("hello")
    for reply in (line.random.choice(["score_eight", "score_three"]), "answer_yes", "comment_friendly"):
        if not await line.caller_finishes():
            break
        await line.say(reply)
    await line.until_hung_up()


async def hangs_up(line: Line) -> None:
    """Hang up as soon as it sounds like a machine."""
    if await line.caller_speaks():
        await line.pause(line.random.uniform(0.5, 1.5))


async def wrong_number(line: Line) -> None:
    """Say that this is somebody else."""
    await line.say("hello")
    if await line.caller_finishes():
        await line.say("wrong_number")
    await line.until_hung_up()


async def opts_out(line: Line) -> None:
    """Ask never to be called again."""
    await line.say("hello")
    if await line.caller_finishes():
        await line.say("stop_calling")
    await line.until_hung_up()


async def presses_9(line: Line) -> None:
    """Opt out by key, in the middle of the greeting."""
    if await line.caller_speaks():
        await line.pause(1.0)
        await line.press("9")
    await line.until_hung_up()


async def callback(line: Line) -> None:
    """Ask to be called later."""
    await line.say("hello")
    if await line.caller_finishes():
        await line.say("cannot_talk")
    await line.until_hung_up()


async def interrupts(line: Line) -> None:
    """Talk over the greeting, then listen and agree."""
    await line.say("hello")
    if await line.caller_speaks():
        await line.pause(1.2)
        await line.say("wait_who_is_this")
        await line.caller_finishes(10)
        await line.say("yes_confirm")
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up()


async def silent(line: Line) -> None:
    """Answer, and say nothing at all."""
    await line.until_hung_up(patience=40)


async def voicemail(line: Line) -> None:
    """A machine: its greeting, its tone, and then the tape runs until the caller has been quiet for a while."""
    await line.pause(0.5)
    await line.say("voicemail_greeting")
    await line.pause(0.4)
    await line.say("beep")
    await line.until_hung_up(patience=5)


async def screening(line: Line) -> None:
    """A call screen asks who is calling; then the person comes on."""
    await line.say("screening")
    if await line.caller_finishes():
        await line.say("screening_connect")
        await line.pause(1.5)
        await talks(line)


async def fax(line: Line) -> None:
    """Whistle, and give up."""
    await line.say("fax_tone")
    await line.pause(2)


@dataclass(frozen=True, slots=True)
class Person:
    """How a telephone behaves when it is rung."""

    name: str
    ring: str = "answered"  # or busy, no-answer, rejected, not-found, unreachable
    script: Script | None = None
    answered_by: str = "human"
    rings_s: tuple[float, float] = (0.6, 1.6)


def _person(script: Script, answered_by: str = "human") -> Person:
    return Person(script.__name__, script=script, answered_by=answered_by)


PEOPLE: Final[Mapping[str, Person]] = {
    person.name: person
    for person in (
        *map(_person, (talks, interested, declines, answers, hangs_up, wrong_number, opts_out, presses_9)),
        *map(_person, (callback, interrupts, silent)),
        _person(voicemail, "machine"),
        _person(screening, "machine"),
        _person(fax, "fax"),
        Person("busy", "busy"),
        Person("no_answer", "no-answer"),
        Person("rejects", "rejected"),
        Person("not_in_service", "not-found"),
        Person("unreachable", "unreachable"),
    )
}


class UnknownPerson(ValueError):
    """Nobody of this name lives here."""


def behaviours(text: str) -> list[Person]:
    """Read `busy>talks`: how a number behaves at the first ring, the second, …; the last one repeats."""
    names = [name.strip() for name in text.split(">")]
    if unknown := [name for name in names if name not in PEOPLE]:
        raise UnknownPerson(f"{', '.join(unknown)}: there is no such person; there are {', '.join(sorted(PEOPLE))}")
    return [PEOPLE[name] for name in names]


@dataclass
class Town:
    """Who lives where. Whoever is not listed is drawn by weight, always the same for one seed and number."""

    seed: int = 1
    weights: Mapping[str, float] = field(default_factory=lambda: {"talks": 1.0})
    numbers: dict[str, list[Person]] = field(default_factory=dict)  # by the last nine digits

    def settle(self, number: str, behaviour: str) -> None:
        """Let somebody live at a number, in whatever notation it is written."""
        self.numbers[_tail(number)] = behaviours(behaviour)

    def person(self, number: str, ring: int) -> Person:
        """Return who answers the n-th ring of a number, counted from 1."""
        at_home = self.numbers.get(_tail(number))
        if at_home is None:
            draw = self.dice(number, 0).choices(list(self.weights), list(self.weights.values()))[0]
            at_home = behaviours(draw)
        return at_home[min(ring, len(at_home)) - 1]

    def dice(self, number: str, ring: int) -> random.Random:
        """Return the randomness of one ring: the same in every run with this seed."""
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
            names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
            for row in csv.DictReader(file, names, delimiter=delimiter):
                if row.get("person") and len(_tail(row.get("phone") or "")) >= 7:
                    town.settle(row["phone"], row["person"])
        return town


def _tail(number: str) -> str:
    return re.sub(r"\D", "", number)[-9:]
