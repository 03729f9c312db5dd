"""Files of very many people: numbers that could be anybody's, written as people write them, and some rows that are bad."""

import csv
import random
from pathlib import Path
from typing import Final

from campaigns import numbers

DUPLICATES: Final = 0.01
WRONG: Final = 0.01
INCOMPLETE: Final = 0.01
"""Shares of the rows: a number again, a number that is none, a column that is empty."""

_STYLES: Final = ("+1{0}{1}{2}", "({0}) {1}-{2}", "{0}-{1}-{2}", "{0}{1}{2}", "+1 {0} {1} {2}", "{0}.{1}.{2}")
_NAMES: Final = ("Ada Lovelace", "Blaise Pascal", "Emmy Noether", "Kurt Gödel", "Sofja Kowalewskaja", "Alan Turing")
_LOCALS: Final = ("2000000", "6111234", "9999999")
_ANYWHERE: Final = 10
"""So many zones are no place."""

_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_TIMES: Final = ("nine o'clock", "half past ten", "noon", "a quarter to three", "four")


def area_codes() -> list[str]:
    """Return the area codes of which the sample campaign may ring every number."""
    codes = map(str, range(200, 1000))
    # Personal numbers (500 and others) may be anywhere, and no hour suits all of America.
    placed = (code for code in codes if 0 < len(numbers.zones(f"+1{code}{_LOCALS[0]}")) < _ANYWHERE)
    return [code for code in placed if all(_may_be_rung(f"+1{code}{local}") for local in _LOCALS)]


def _may_be_rung(number: str) -> bool:
    try:
        numbers.parse(number, "US", ("US",))
    except numbers.BadNumber:
        return False
    return True


def write_crowd(path: Path, rows: int, seed: int = 1) -> int:
    """Write a CSV of so many rows with a header and three columns besides the phone; returns how many are contacts.

    Bad rows are spread all over the file. No two contacts have the same number.
    """
    chance = random.Random(seed)
    codes = area_codes()
    each = 8_000_000
    good = 0
    start, step = (
        chance.randrange(each * len(codes)),
        1_000_003,
    )  # a stride without common factor meets each number once
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["phone", "name", "day", "time"])
        last = ""
        for number in range(rows):
            area, local = divmod((start + number * step) % (each * len(codes)), each)
            digits = f"{2_000_000 + local:07d}"
            phone = chance.choice(_STYLES).format(codes[area], digits[:3], digits[3:])
            name, day, time = chance.choice(_NAMES), chance.choice(_DAYS), chance.choice(_TIMES)
            kind = chance.random()
            if kind < DUPLICATES and last:
                phone = last
            elif kind < DUPLICATES + WRONG:
                phone = phone[:-1]
            elif kind < DUPLICATES + WRONG + INCOMPLETE:
                name = ""
            else:
                good, last = good + 1, phone
            writer.writerow([phone, name, day, time])
    return good
