"""`dialout results`: the outcome of every contact of a campaign."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import indent
from typing import Annotated, Any, Final, TextIO

import typer

from worker.cli.inputs import open_store
from worker.cli.options import Json, Name, name_of
from worker.cli.printing import err, out, plural, results_table

_ROWS_SHOWN: Final = 1000


def results(
    campaign: Name,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write to this file: JSON Lines if it ends in .jsonl, else CSV."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the outcome of every contact, one row each, whether it was called or not."""
    store = open_store()
    rows = store.reading.each_outcome(name_of(campaign))
    if output:
        write = _write_json_lines if output.suffix == ".jsonl" else _write_csv
        with output.open("w", encoding="utf-8", newline="") as file:
            count = write(rows, file)
        err.print(f"{plural(count, 'contact')} written to {output}.")
    elif as_json:
        _write_json(rows, sys.stdout)
    elif sys.stdout.isatty():
        out.print(results_table(list(islice(rows, _ROWS_SHOWN))))
        if next(rows, None):
            err.print(f"These are the first {_ROWS_SHOWN:,}: -o FILE writes them all.", style="yellow")
    else:
        _write_csv(rows, sys.stdout)


def _write_csv(rows: Iterable[dict[str, Any]], file: TextIO) -> int:
    """Write rows as CSV; returns how many. Their columns are known only once all rows were read, so they are kept in a file."""
    with TemporaryFile("w+", encoding="utf-8", newline="") as kept:
        # A transcript does not fit into a cell. The JSON forms have it.
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
    """Write what `print_json` writes for a list, but one row at a time."""
    before = "[\n"
    for row in rows:
        file.write(before + indent(json.dumps(row, ensure_ascii=False, indent=2), "  "))
        before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")
