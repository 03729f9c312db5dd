"""How things look: the consoles, JSON, and what more than one command prints."""

import json
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Column, Table

from campaigns.contacts import RowError
from worker.rules.do_not_call import Listing, Registry
from worker.store.values import Status

out: Final = Console()
err: Final = Console(stderr=True)

SHOWN: Final = 20
_COLORS: Final = {"completed": "green", "failed": "red", "unconfirmed": "red", "do_not_call": "magenta"}


def print_json(facts: Any) -> None:
    """Print facts to standard output."""
    sys.stdout.write(json.dumps(facts, ensure_ascii=False, indent=2) + "\n")


def show_errors(errors: list[RowError]) -> None:
    """Print the first rows that were refused."""
    for error in errors[:SHOWN]:
        err.print(str(error), style="yellow", highlight=False, markup=False)
    if len(errors) > SHOWN:
        err.print("… and more; --rejects FILE writes them all.", style="yellow")


def status_table(found: list[Status], account: str = "") -> Table:
    """Count contacts by state and disposition, a campaign per row."""
    rings, silence = any(one.answer_rate is not None for one in found), any(one.silent for one in found)
    heads: list[str | Column] = [
        Column("campaign", overflow="fold"),
        "state",
        "contacts",
        "due",
        "live",
        "done",
        "refused",
        "lines",
    ]
    heads += ["answer"] * rings + ["silent"] * silence + ["dispositions"]
    table = Table(*heads, caption=account or None, caption_justify="left")
    for one in found:
        counts = ", ".join(f"{name} {count}" for name, count in one.dispositions.items())
        state = one.state.value + (f" ({one.why})" if one.why else "")
        numbers = (one.contacts, one.due, one.live, one.done, one.refused, one.lines_in_use)
        cells = [one.campaign, state, *(f"{number:,}" for number in numbers)]
        cells += ["" if one.answer_rate is None else f"{one.answer_rate:.0%}"] * rings + [f"{one.silent:,}"] * silence
        table.add_row(*cells, counts)
    return table


def results_table(rows: list[dict[str, Any]]) -> Table:
    """Show one row per contact."""
    table = Table(
        "line", "phone", "state", "disposition", "attempts", "s", "reason", "answers", box=None, pad_edge=False
    )
    for row in rows:
        disposition = row["disposition"] or ""
        color = _COLORS.get(disposition, "default")
        answers = ", ".join(f"{key}: {value}" for key, value in row["answers"].items())
        seconds = "" if row["duration_s"] is None else str(row["duration_s"])
        shown = (
            str(row["line"]),
            row["phone"],
            row["state"],
            f"[{color}]{disposition}[/]",
            str(row["attempts"]),
            seconds,
        )
        table.add_row(*shown, row["reason"], answers)
    return table


def describe(listing: Listing, lists: Mapping[str, Registry]) -> str:
    """Say since when and by what a number is on the do-not-call list."""
    copy = f", {listing.name} as of {lists[listing.name].as_of}" if listing.name in lists else ""
    return f"{listing}, since {when(listing.at)}{copy}"


def listing_facts(listing: Listing, lists: Mapping[str, Registry]) -> dict[str, Any]:
    """Return what JSON says of an entry of the do-not-call list."""
    as_of = {"as_of": lists[listing.name].as_of.isoformat()} if listing.name in lists else {}
    return listing.facts() | as_of


def when(moment: datetime | None) -> str:
    """Say a moment in this machine's zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}" if moment else "never"


def iso(moment: datetime | None) -> str | None:
    """Write a moment as JSON does."""
    return moment.isoformat() if moment else None
