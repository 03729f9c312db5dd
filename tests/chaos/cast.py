"""Who is rung in a run: two campaigns with their files, people with habits, numbers that nobody may ring, and a poison row."""

import csv
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

QUIET: Final = {"rejects": 30, "not_in_service": 25, "busy": 6, "busy>rejects": 15, "no_answer>not_in_service": 8,
                "no_answer": 4, "unreachable>rejects": 12}  # fmt: skip
"""People who never talk, by weight. Each costs a dial and a few callbacks."""

TALKERS: Final = {
    "talks": 4,
    "busy>talks": 2,
    "hangs_up": 4,
    "opts_out": 2,
    "presses_9": 2,
    "voicemail": 2,
    "callback": 2,
}
"""People who keep the bot busy for about ten seconds each, by weight."""

DELAYS: Final = {"busy": 4, "no_answer": 6, "failed": 3, "canceled": 3, "unconfirmed": 5, "callback": 3, "voicemail": 3}
"""Seconds to the next attempt, by disposition."""

MAX_ATTEMPTS: Final = 3

_TOML: Final = """
business_name = "Harbour Dental"
callback_number = "+12125550100"
purpose = "informational"
[calling_window]
start = {start}
end = {end}
holidays = false
[consent]
attested_by = "the chaos"
attested_at = 2026-01-01
[pacing]
calls_per_second = {rate}
lines = {lines}
[call]
ring_timeout_s = 15
time_limit_s = {time_limit_s}
[brakes]
canary = 0
failed = 1.0
canceled = 1.0
short = 1.0
abandoned = 1.0
[retry]
max_attempts = {attempts}
rejected = []
{delays}
"""
_GREETING: Final = (
    "Hello {{ name }}, this is the automated assistant of Harbour Dental. {% if 7 // (divisor | int) %}{% endif %}"
    "Will you be here on {{ day }}?"
)


@dataclass(frozen=True)
class Part:
    """One campaign of a run."""

    folder: Path
    contacts: Path

    @property
    def name(self) -> str:
        """The campaign's name."""
        return self.folder.name

    @property
    def results(self) -> Path:
        """Where `dialout results` is to write."""
        return self.folder.parent / f"{self.name}-results.csv"


@dataclass(frozen=True)
class Cast:
    """Everything that a run is given, and that the auditor must know."""

    parts: tuple[Part, ...]
    people: Path
    do_not_call: Path
    window: tuple[str, str]  # local times


def assemble(
    folder: Path, count: int, *, rate: float, lines: int, talkers: float, seed: int, kinds: Mapping[str, int] = QUIET,
    opens_in_s: float = 60.0, one_campaign: bool = False, time_limit_s: int = 45,
) -> Cast:  # fmt: skip
    """Write the files of a run with `count` contacts, a share of `talkers` among them."""
    dice = random.Random(seed)
    now = datetime.now(UTC)
    # One zone is open throughout. In one it becomes nine o'clock a minute after the start. In one it is past eight already.
    opens = now + timedelta(seconds=opens_in_s)
    window = (f"{opens:%M:%S}", f"{now - timedelta(minutes=1):%M:%S}")
    here = now.hour
    east = opens.hour
    zones = {
        "open": _zone(13 - here),
        "opens": _zone(9 - east),
        "closed": _zone(20 - (now - timedelta(minutes=1)).hour),
    }
    start, end = f"09:{window[0]}", f"20:{window[1]}"
    people: dict[str, str] = {}
    banned: list[str] = []
    parts: list[Part] = []
    names = ("first",) if one_campaign else ("first", "second")
    for number, name in enumerate(names):
        part = Part(folder / name, folder / f"{name}.csv")
        part.folder.mkdir(parents=True)
        delays = "".join(f'{key} = ["{s}s", "{s}s"]\n' for key, s in DELAYS.items())
        toml = _TOML.format(
            start=start, end=end, rate=rate, lines=lines, attempts=MAX_ATTEMPTS, delays=delays, time_limit_s=time_limit_s
        )  # fmt: skip
        (part.folder / "campaign.toml").write_text(toml, "utf-8")
        (part.folder / "greeting.j2").write_text(_GREETING, "utf-8")
        (part.folder / "instructions.j2").write_text("Ask {{ name }} whether they will come.", "utf-8")
        with part.contacts.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["phone", "name", "day", "divisor", "timezone"])
            for n in range(count // len(names)):
                # A few numbers are in both files: one telephone, two campaigns.
                shared = not one_campaign and n % 50 == 0
                phone = f"+1212{2_000_000 + (0 if shared else number * 2_500_000) + n * 37}"
                chosen = TALKERS if dice.random() < talkers else kinds
                people[phone] = dice.choices(list(chosen), list(chosen.values()))[0]
                if n % 97 == 5:
                    banned.append(phone)
                place = "closed" if n % 101 == 7 else "opens" if n % 20 == 9 else "open"
                writer.writerow([phone, f"N{n}", "Tuesday", 0 if n % 211 == 3 else 1, zones[place]])
        parts.append(part)
    town = folder / "people.csv"
    town.write_text("phone,person\n" + "".join(f"{phone},{person}\n" for phone, person in people.items()), "utf-8")
    do_not_call = folder / "do-not-call.csv"
    do_not_call.write_text("".join(f"{phone}\n" for phone in banned), "utf-8")
    return Cast(tuple(parts), town, do_not_call, (start, end))


def _zone(offset_h: int) -> str:
    """Return the zone so many hours ahead of UTC. Its name has the POSIX sign, which is the opposite one."""
    offset_h = (offset_h + 11) % 24 - 11
    return f"Etc/GMT{-offset_h:+d}" if offset_h else "Etc/GMT"
