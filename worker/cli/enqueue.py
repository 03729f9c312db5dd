"""`dialout enqueue`: add the contacts of a file to a campaign."""

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
from worker.cli.printing import SHOWN, err, out, plural, print_json, show_errors
from worker.dialing.enlisting import enlist, error_facts
from worker.rules.admission import admitted, check_header
from worker.store.values import Enlisted

_LONG: Final = 1_000_000
"""Bytes. A file of this size or more gets a progress bar; a shorter one is done within a second."""


def enqueue(
    campaign: Folder,
    contacts: File,
    paused: Annotated[bool, typer.Option("--paused", help="Call nobody until `dialout resume`.")] = False,
    rejects: Rejects = None,
    as_json: Json = False,
) -> None:
    """Add the contacts of a file to a campaign. A running worker calls them. The same file twice changes nothing."""
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
        f"{plural(total.new, 'contact')} added to {definition.name}, {total.known:,} already in it, "
        f"{plural(refused, 'row')} refused."
    )
    if total.refused:
        out.print(f"Of those added, {total.refused:,} will not be called: they are on the do-not-call list.")
    if paused:
        out.print(f"Nobody is called until you run `dialout resume {definition.name}`.")


@contextmanager
def _progress(contacts: Path, quiet: bool) -> Iterator[Callable[[int], None]]:
    """Show a progress bar for a long file; yields a function that moves it on by a number of rows."""
    if quiet or contacts.stat().st_size < _LONG:
        yield lambda _rows: None
        return
    with contacts.open("rb") as file:
        total = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    columns = (TextColumn("adding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("adding", total=total)
        yield lambda rows: progress.advance(task, rows)
