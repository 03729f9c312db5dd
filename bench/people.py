"""Everybody who answers: how each call should end, and how it did."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.analysis import confusion, right_share
from bench.calls import Call, Ring, place_all
from bench.result import Result, Row, Size
from bench.stage import Stage
from sandbox.people import PEOPLE

ANSWERING: Final = tuple(name for name, person in PEOPLE.items() if person.script)
NO_REPORT: Final = "no report"


async def everybody(folder: Path, size: Size) -> Result:
    """Ring each kind of person so many times, mixed, and compare what the bot says with who they are."""
    async with Stage(folder) as stage:
        rings = [Ring(person) for _ in range(size.calls) for person in ANSWERING]
        calls = await place_all(stage, rings, at_once=size.at_once)
    rows = [_row(person, [call for call in calls if call.ring.person == person]) for person in sorted(ANSWERING)]
    _show(rows)
    table = confusion((call.ring.person, _ended(call)) for call in calls)
    share = right_share(table, {person: sorted(PEOPLE[person].ends_in) for person in ANSWERING})
    wrong = [str(row["person"]) for row in rows if row["right"] != row["calls"]]
    return Result(
        "people",
        not wrong,
        f"{share:.1%} of {len(calls)} calls with {len(ANSWERING)} kinds of people ended as they should"
        + (f"; not always: {', '.join(wrong)}" if wrong else ""),
        rows,
    )


def _ended(call: Call) -> str:
    return call.report.disposition.value if call.report else NO_REPORT


def _row(person: str, calls: Sequence[Call]) -> Row:
    right = sorted(PEOPLE[person].ends_in)
    ended = confusion((person, _ended(call)) for call in calls)[person]
    # Where something went wrong, one example says more than a count.
    example = next((call for call in calls if _ended(call) not in right), None)
    said = example.report.reason if example and example.report else ""
    return {
        "person": person,
        "calls": len(calls),
        "right": sum(ended.get(name, 0) for name in right),
        "ended": ", ".join(f"{name} {count}" for name, count in ended.items()),
        "may_end": ", ".join(right),
        "a_wrong_one": f"{example.attempt_id}: {said}" if example else "",
    }


def _show(rows: Sequence[Row]) -> None:
    table = Table(title="who answered, and how it ended")
    for column in ("person", "right", "ended", "may end", "a wrong one"):
        table.add_column(column)
    for row in rows:
        told = [str(row[column]) for column in ("person", "ended", "may_end", "a_wrong_one")]
        count = f"{row['right']}/{row['calls']}"
        table.add_row(told[0], count, *told[1:], style="" if row["right"] == row["calls"] else "bold red")
    Console().print(table)
