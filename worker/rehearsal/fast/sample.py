"""Makes up contacts for a fast rehearsal: numbers reserved for fiction, in as many time zones as a country has."""

import csv
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Final

from campaigns.campaign import Campaign

_NANP: Final[Mapping[str, tuple[str, ...]]] = {
    # With Arizona (602), which changes no clocks, Hawaii (808), Alaska (907), and areas in two zones (850, 812, 605).
    "US": (
        "212", "602", "808", "312", "415", "303", "850", "907", "617", "214", "206", "812", "305", "713", "310", "404",
        "503", "605", "702", "215", "504", "801", "313", "619", "505",
    ),
    "CA": ("416", "709", "604", "403", "514", "204", "902", "506", "613", "250"),  # 709 is Newfoundland, on the half hour
}  # fmt: skip
_GB: Final = ("2079460", "1134960", "1164960", "1314960", "1414960", "2896496", "2920180", "7700900")

_NAMES: Final = ("Ada Lovelace", "Alan Turing", "Grace Hopper", "Edsger Dijkstra", "Barbara Liskov", "Donald Knuth")
_WORDS: Final = ("Tuesday", "nine thirty", "the 5th of December", "twenty-nine")


class NoFiction(ValueError):
    """There are not enough fictional numbers to make contacts of. The message says what to do."""


def write_contacts(file: Path, campaign: Campaign, how_many: int, seed: int) -> None:
    """Write a CSV of contacts with the columns that the campaign's templates need; raises NoFiction."""
    numbers = list(islice(_numbers(campaign.allowed_countries), how_many))
    if len(numbers) < how_many:
        raise NoFiction(
            f"in {', '.join(campaign.allowed_countries)} only {len(numbers):,} numbers known to us are reserved for "
            "fiction: make up fewer contacts with --count, or name a CSV of yours"
        )
    columns, chance = sorted(campaign.required_columns), Random(seed)  # noqa: S311
    with file.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(["phone", *columns])
        for number in numbers:
            writer.writerow([number, *(chance.choice(_NAMES if "name" in name else _WORDS) for name in columns)])


def _numbers(countries: tuple[str, ...]) -> Iterator[str]:
    # One number of each area after the other, so that even a few contacts live in many zones.
    areas = chain.from_iterable(_NANP.get(country, ()) for country in countries)
    prefixes = [f"+1{area}55501" for area in areas]
    if "GB" in countries:
        prefixes += [f"+44{area}{hundred}" for area in _GB for hundred in range(10)]
    for last in range(100):
        yield from (f"{prefix}{last:02}" for prefix in prefixes)
