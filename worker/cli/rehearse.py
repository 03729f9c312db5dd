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

from campaigns.campaign import load_campaign
from worker.cli.inputs import contacts_in
from worker.cli.options import SAMPLE, Json, Refused
from worker.cli.printing import SHOWN, err, out, print_json, results_table, show_errors, status_table
from worker.settings import load_settings
from worker.store.values import Status


def rehearse(  # noqa: PLR0917 - Typer's options
    campaign: Annotated[Path, typer.Argument(help="The campaign's folder.")] = SAMPLE,
    contacts: Annotated[Path | None, typer.Argument(help="Its contacts, with a column person.")] = None,
    record: Annotated[Path | None, typer.Option(help="Write each call as a stereo WAV into this folder.")] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Days in about a minute, by the odds: no bot and no sound.")
    ] = False,
    days: Annotated[float, typer.Option(min=0.01, max=60, help="With --fast: how many days at most.")] = 3,
    start: Annotated[
        datetime | None, typer.Option(help="With --fast: when, by UTC; else before the clocks change.")
    ] = None,
    seed: Annotated[int, typer.Option(help="With --fast: another seed, other people.")] = 1,
    count: Annotated[int, typer.Option(min=1, help="With --fast and without CONTACTS: how many are made up.")] = 2000,
    as_json: Json = False,
) -> None:
    """Run a campaign against a telephone network on this machine: no account, no key, nobody is rung."""
    if fast and record:
        raise Refused(
            "nothing is said in a fast rehearsal, so there is nothing to record: leave out --fast or --record"
        )
    if fast:
        _rehearse_days(campaign, contacts, days=days, start=start, seed=seed, count=count, as_json=as_json)
        return
    from worker.rehearsal import live

    definition = load_campaign(campaign)
    folder = load_settings().data_dir / f"rehearsal-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with _rehearsal_view(as_json) as show:
        outcome = live.rehearse(definition, contacts or campaign / "contacts.csv", folder, show=show, record=record)
    if as_json:
        print_json({"outcomes": outcome.outcomes, "disagreements": outcome.disagreements})
    else:
        show_errors(outcome.row_errors)
        out.print(results_table(outcome.outcomes))
        out.print(
            f"{outcome.seconds:.0f} s; retry delays were shortened and the calling window was open. Logs: {folder}"
        )
    for sentence in outcome.disagreements:
        err.print(f"[red]{sentence}[/]", highlight=False)
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
        err.print(f"[red]{sentence}[/]", highlight=False)
    if not as_json:
        out.print(view.last_line(outcome), highlight=False, soft_wrap=True)
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
            table.add_row(f"[bold]{doing}[/]")
            if found:
                table.add_row(status_table([found]))
            live.update(table)

        yield show
