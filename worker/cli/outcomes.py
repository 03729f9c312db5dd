"""What became of it: results, why."""

import csv
import json
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import indent
from typing import Annotated, Any, Final, TextIO

import typer
from rich.table import Table

from worker.cli.given import Json, Name, Region, any_number, name_of, open_store
from worker.cli.printing import describe, err, listing_facts, out, print_json, results_table, when
from worker.cli.stories import Decision, stories
from worker.store.values import contact_of

_ROWS_SHOWN: Final = 1000


def results(
    campaign: Name,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A .csv or .jsonl file.")] = None,
    as_json: Json = False,
) -> None:
    """Print one row per contact, all of them, dialed or not."""
    rows = open_store().reading.each_outcome(name_of(campaign))
    if output:
        write = _write_json_lines if output.suffix == ".jsonl" else _write_csv
        with output.open("w", encoding="utf-8", newline="") as file:
            count = write(rows, file)
        err.print(f"{count:,} contacts written to {output}.")
    elif as_json:
        _write_json(rows, sys.stdout)
    elif sys.stdout.isatty():
        out.print(results_table(list(islice(rows, _ROWS_SHOWN))))
        if next(rows, None):
            err.print("… and more; -o FILE writes them all.", style="yellow")
    else:
        _write_csv(rows, sys.stdout)


def why(number: str, region: Region = "US", as_json: Json = False) -> None:
    """Tell each decision about a number, or an attempt's: why it was rung, or was not, by which rule, and who says so."""
    store = open_store()
    named = store.reading.standing(contact_of(number)) if re.fullmatch(r"[a-z2-7]{16}(#\w+)?", number) else None
    phone = named.phone if named else any_number(number, region)
    told, listed, lists = stories(store, phone), store.do_not_call.entries_of(phone), store.do_not_call.registries()
    if as_json:
        entries = [listing_facts(listing, lists) for listing in listed]
        print_json({"phone": phone, "do_not_call": entries, "campaigns": [story.facts() for story in told]})
        return
    for listing in listed:
        out.print(f"{phone} is {describe(listing, lists)}.", style="magenta", highlight=False)
    if not told:
        out.print(f"No campaign has {phone}.")
    for story in told:
        zones = ", ".join(story.zones) or "no known zone"
        out.print(
            f"\n[bold]{story.campaign}[/], line {story.line}, {zones}: {story.state}, {story.now}.", highlight=False
        )
        out.print(_decisions_table(story.decisions))


def _decisions_table(decisions: tuple[Decision, ...]) -> Table:
    table = Table("when", "attempt", "what", "rule", "witness", "", box=None, pad_edge=False)
    for one in decisions:
        due = f"; due {when(one.due)}" if one.due else ""
        at = f"{one.at.astimezone():%m-%d %H:%M:%S}"
        table.add_row(at, one.attempt, one.event, one.rule, one.witness, one.reason + due)
    return table


def _write_csv(rows: Iterable[dict[str, Any]], file: TextIO) -> int:
    """Write rows whose columns are only known when all have been seen; returns how many."""
    with TemporaryFile("w+", encoding="utf-8", newline="") as kept:
        # What was said is in the JSON forms: a cell is no place for it.
        names: dict[str, None] = {}

        def seen() -> Iterator[dict[str, Any]]:
            for row in rows:
                names.update(dict.fromkeys(row))
                yield row

        count = _write_json_lines(seen(), kept)
        kept.seek(0)
        shown = [name for name in names if name != "transcript"]
        writer = csv.DictWriter(file, shown, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in map(json.loads, kept):
            tables = {name: json.dumps(row[name], ensure_ascii=False) for name in ("answers", "usage", "problems")}
            writer.writerow(row | tables)
    return count


def _write_json_lines(rows: Iterable[dict[str, Any]], file: TextIO) -> int:
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007 - the count is the answer
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


def _write_json(rows: Iterable[dict[str, Any]], file: TextIO) -> None:
    """Write what `print_json` does of a list, one at a time."""
    before = "[\n"
    for row in rows:
        file.write(before + indent(json.dumps(row, ensure_ascii=False, indent=2), "  "))
        before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")
