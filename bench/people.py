"""Everybody who answers: how each call should end, and how it did."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.analysis import confusion, right_share
from bench.calls import Ring, place_all
from bench.result import Result, Row, Size
from bench.stage import Stage
from sandbox.people import PEOPLE

ANSWERING: Final = tuple(name for name, person in PEOPLE.items() if person.script)
NO_REPORT: Final = "no report"


def right_for(person: str) -> Sequence[str]:
    """Return the dispositions that are right for somebody."""
    return tuple(getattr(PEOPLE[person], "ends_in", ()))


async def everybody(folder: Path, size: Size) -> Result:
    """Ring each kind of person so many times, mixed, and compare what the bot says with who they are."""
    async with Stage(folder) as stage:
        rings = [Ring(person) for _ in range(size.calls) for person in ANSWERING]
        calls = await place_all(stage, rings, at_once=size.at_once)
    outcomes = [(call.ring.person, call.report.disposition.value if call.report else NO_REPORT) for call in calls]
    table = confusion(outcomes)
    right = {person: right_for(person) for person in table}
    share = right_share(table, right)
    rows: list[Row] = []
    for person, row in table.items():
        good = sum(count for name, count in row.items() if name in right[person])
        ended = ", ".join(f"{name} {count}" for name, count in row.items())
        rows.append(
            {
                "person": person,
                "calls": sum(row.values()),
                "right": good,
                "ended": ended,
                "may_end": ", ".join(right[person]),
            }
        )
    _show(rows)
    wrong = [str(row["person"]) for row in rows if row["right"] != row["calls"]]
    return Result(
        "people",
        share == 1,
        f"{share:.1%} of {len(calls)} calls ended as they should"
        + (f"; not always: {', '.join(wrong)}" if wrong else ""),
        rows,
    )


def _show(rows: Sequence[Row]) -> None:
    table = Table(title="who answered, and how it ended")
    for column in ("person", "right", "ended", "may end"):
        table.add_column(column)
    for row in rows:
        good = row["right"] == row["calls"]
        table.add_row(
            str(row["person"]), f"{row['right']}/{row['calls']}", str(row["ended"]), str(row["may_end"]),
            style="" if good else "bold red",
        )  # fmt: skip
    Console().print(table)
