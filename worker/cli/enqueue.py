"""`dialout enqueue`: the contacts of a file become contacts of a campaign."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from campaigns.campaign import load_campaign
from campaigns.contacts import RowError
from worker.cli.inputs import contacts_in, open_store, refuse_unless_it_may_start, rejects_in
from worker.cli.options import File, Folder, Json, Rejects
from worker.cli.printing import SHOWN, err, out, print_json, show_errors
from worker.dialing.enlisting import enlist, error_facts
from worker.rules.admission import admitted, check_header
from worker.store.values import Enlisted

_LONG: Final = 1_000_000
"""Bytes from which on a file gets a progress bar. A shorter one is enlisted within a second."""


def enqueue(
    campaign: Folder,
    contacts: File,
    paused: Annotated[bool, typer.Option("--paused", help="Enlist, but do not ring until `resume`.")] = False,
    rejects: Rejects = None,
    as_json: Json = False,
) -> None:
    """Enlist the contacts of a file; ringing begins when a worker runs. The same file twice changes nothing."""
    definition, store = load_campaign(campaign), open_store()
    refuse_unless_it_may_start(definition, store)
    total = Enlisted()
    errors: list[RowError] = []
    refused = 0
    with (
        contacts_in(contacts, definition) as reader,
        _progress(contacts, as_json) as advance,
        rejects_in(rejects, reader) as reject,
    ):
        check_header(reader.header, definition)
        store.campaigns.define(definition, paused=paused)
        for batch in enlist(store, definition, admitted(reader, definition, store.now())):
            total += batch.enlisted
            refused += len(batch.refused)
            errors += batch.refused[: max(0, SHOWN + 1 - len(errors))]
            reject(batch.refused)
            advance(batch.rows)
    facts = {
        "campaign": definition.name,
        "rows": total.new + total.known + refused,
        "enlisted": total.new,
        "known": total.known,
        "do_not_call": total.refused,
        "refused": refused,
    }
    if as_json:
        print_json(facts | {"errors": [error_facts(error) for error in errors[:SHOWN]]})
        return
    show_errors(errors)
    out.print(
        f"[bold]{total.new:,}[/] contacts enlisted in {definition.name}, {total.known:,} were in it already, "
        f"{refused:,} rows refused" + (f", {total.refused:,} on the do-not-call list" if total.refused else "") + "."
    )
    if paused:
        out.print(f"Nobody is rung until you say `dialout resume {definition.name}`.")


@contextmanager
def _progress(contacts: Path, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar while a long file is read; yields what moves it by so many rows."""
    if quiet or contacts.stat().st_size < _LONG:
        yield lambda _rows: None
        return
    with contacts.open("rb") as file:
        total = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    columns = (TextColumn("enlisting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("enlisting", total=total)
        yield lambda rows: progress.advance(task, rows)
