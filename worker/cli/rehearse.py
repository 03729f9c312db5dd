"""`dialout rehearse`: a campaign against a telephone network on this machine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table
from rich.text import Text

from campaigns.campaign import load_campaign
from worker.cli.inputs import contacts_in
from worker.cli.options import SAMPLE, Json, Refused
from worker.cli.printing import SHOWN, err, out, print_json, results_table, show_errors, status_view
from worker.rehearsal import live
from worker.settings import load_settings
from worker.store.values import Status


def rehearse(  # noqa: PLR0917 - Typer's options
    campaign: Annotated[
        Path, typer.Argument(metavar="CAMPAIGN", help="The campaign's folder.", show_default="the sample")
    ] = SAMPLE,
    contacts: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONTACTS", help="A CSV file with columns phone and person. Default: the folder's contacts.csv."
        ),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Record each call into this folder, as a stereo WAV file.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Rehearse days in about a minute, without a bot and without sound.")
    ] = False,
    days: Annotated[float, typer.Option(min=0.01, max=60, help="With --fast: rehearse at most this many days.")] = 3,
    start: Annotated[
        datetime | None,
        typer.Option(help="With --fast: when the rehearsal begins, in UTC. Default: just before the clocks change."),
    ] = None,
    seed: Annotated[int, typer.Option(help="With --fast: another seed makes people behave differently.")] = 1,
    count: Annotated[
        int, typer.Option(min=1, help="With --fast and without CONTACTS: how many contacts to make up.")
    ] = 2000,
    as_json: Json = False,
) -> None:
    """Run a campaign against a telephone network on this machine. It needs no account and no key, and calls nobody."""
    if fast and record:
        raise Refused(
            "nothing is said in a fast rehearsal, so there is nothing to record: leave out --fast or --record"
        )
    if fast:
        _rehearse_days(campaign, contacts, days=days, start=start, seed=seed, count=count, as_json=as_json)
    else:
        _rehearse_live(campaign, contacts or campaign / "contacts.csv", record=record, as_json=as_json)


def _rehearse_live(campaign: Path, contacts: Path, *, record: Path | None, as_json: bool) -> None:
    definition = load_campaign(campaign)
    folder = load_settings().data_dir / f"rehearsal-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with contacts_in(contacts, definition), _rehearsal_view(as_json) as show:
        outcome = live.rehearse(definition, contacts, folder, show=show, record=record)
    if as_json:
        print_json({"outcomes": outcome.outcomes, "disagreements": outcome.disagreements})
    else:
        show_errors(outcome.row_errors)
        out.print(results_table(outcome.outcomes))
        out.print(
            f"{outcome.seconds:.0f} s; retry delays were shortened and the calling window was open. Logs: {folder}"
        )
    for sentence in outcome.disagreements:
        err.print(sentence, style="red")
    calls = sum(row["attempts"] for row in outcome.outcomes)
    agree = not outcome.disagreements
    verdict = "agree" if agree else f"DISAGREE in {len(outcome.disagreements)} places"
    (err if as_json else out).print(
        f"The dialer's records and the telephone network's {verdict}: {len(outcome.outcomes)} contacts, {calls} calls."
    )
    if not agree:
        raise typer.Exit(1)


def _rehearse_days(
    campaign: Path, contacts: Path | None, *, days: float, start: datetime | None, seed: int, count: int, as_json: bool
) -> None:
    # Celery and FastAPI take a second to import.
    from worker.rehearsal.fast import view
    from worker.rehearsal.fast.days import rehearse
    from worker.rehearsal.fast.odds import Odds
    from worker.rehearsal.fast.sample import NoFiction, write_contacts

    definition, settings = load_campaign(campaign), load_settings()
    folder = settings.data_dir / f"rehearsal-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    if contacts is None:
        contacts = folder / "contacts.csv"
        try:
            write_contacts(contacts, definition, count, seed)
        except NoFiction as none:
            raise Refused(str(none)) from none
    logging.basicConfig(filename=folder / "dialer.log", format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    with contacts_in(contacts, definition), _rehearsal_view(as_json) as show:
        begin = start.replace(tzinfo=UTC) if start else None
        outcome = rehearse(definition, contacts, folder, settings, days=days, odds=Odds(seed), start=begin, show=show)
    if as_json:
        print_json(outcome.facts())
    else:
        show_errors(outcome.row_errors)
        view.show(outcome, out, folder)
    for sentence in outcome.sentences[:SHOWN]:
        err.print(sentence, style="red")
    if not as_json:
        out.print(view.last_line(outcome), soft_wrap=True)
    if outcome.sentences:
        raise typer.Exit(1)


@contextmanager
def _rehearsal_view(as_json: bool) -> Iterator[Any]:
    if as_json:
        yield lambda _status, _doing: None
        return
    with Live(console=err, refresh_per_second=4, transient=True) as live:

        def show(found: Status | None, doing: str) -> None:
            table = Table(box=None, show_header=False)
            table.add_row(Text(doing, "bold"))
            if found:
                table.add_row(status_view([found]))
            live.update(table)

        yield show
