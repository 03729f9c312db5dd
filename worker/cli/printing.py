"""How things look: the two consoles, JSON, and what several commands print."""

import json
import re
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from worker.store.values import Status

if TYPE_CHECKING:
    from campaigns.contacts import RowError
    from worker.rules.do_not_call import Listing, Registry


SHOWN: Final = 20
"""How many of a long list a terminal is shown."""

_COLORS: Final = {"completed": "green", "failed": "red", "unconfirmed": "red", "do_not_call": "magenta"}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Terminal(Console):
    """A console that prints text as it is: a contact's words are no markup, no emoji name and no escape sequence."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text printable, that of a table's cell included: a control character becomes U+FFFD."""
        return super().render_str(_CONTROL.sub("\ufffd", text), **options)


out: Final = Terminal()
err: Final = Terminal(stderr=True)


def print_json(facts: Any) -> None:
    """Print facts to standard output."""
    sys.stdout.write(json.dumps(facts, ensure_ascii=False, indent=2) + "\n")


def plural(count: int, noun: str) -> str:
    """Return "1 row" or "1,200 rows"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def show_errors(errors: list["RowError"]) -> None:
    """Print the first of the rows that were refused."""
    for error in errors[:SHOWN]:
        err.print(str(error), style="yellow")
    if len(errors) > SHOWN:
        err.print("… and more: --rejects FILE writes them all.", style="yellow")


def status_view(found: list["Status"], account: str = "") -> RenderableType:
    """Show campaigns in numbers, a campaign per row; below them, how their calls ended and why one does not ring."""
    rings, silence = any(one.answer_rate is not None for one in found), any(one.silent for one in found)
    names = ["contacts", "due", "live", "done", "refused", "lines", *["answered"] * rings, *["silent"] * silence]
    numbers = (Column(name, justify="right", no_wrap=True) for name in names)
    table = Table(
        Column("campaign", overflow="fold"), Column("state", no_wrap=True), *numbers, box=None, pad_edge=False
    )
    below: list[str] = []
    for one in found:
        counts = (one.contacts, one.due, one.live, one.done, one.refused, one.lines_in_use)
        cells = [one.campaign, one.state.value, *(f"{number:,}" for number in counts)]
        cells += ["" if one.answer_rate is None else f"{one.answer_rate:.0%}"] * rings + [f"{one.silent:,}"] * silence
        table.add_row(*cells)
        if one.dispositions:
            below.append(
                f"{one.campaign}: " + ", ".join(f"{name} {count:,}" for name, count in one.dispositions.items())
            )
        if one.why:
            below.append(f"{one.campaign} is {one.state.value}: {one.why}")
    return Group(table, *below, *[account] * bool(account))


def results_table(rows: list[dict[str, Any]]) -> Table:
    """Show one row per contact."""
    table = Table(
        "row", "phone", "state", "disposition", "attempts", "s", "reason", "answers", box=None, pad_edge=False
    )
    for row in rows:
        disposition = row["disposition"] or ""
        answers = ", ".join(f"{key}: {value}" for key, value in row["answers"].items())
        table.add_row(
            str(row["line"]),
            row["phone"],
            row["state"],
            Text(disposition, style=_COLORS.get(disposition, "default")),
            str(row["attempts"]),
            "" if row["duration_s"] is None else str(row["duration_s"]),
            row["reason"],
            answers,
        )
    return table


def describe(listing: "Listing", lists: Mapping[str, "Registry"]) -> str:
    """Say since when and by what a number is on the do-not-call list."""
    copy = f", {listing.name} as of {lists[listing.name].as_of}" if listing.name in lists else ""
    return f"{listing}, since {when(listing.at)}{copy}"


def listing_facts(listing: "Listing", lists: Mapping[str, "Registry"]) -> dict[str, Any]:
    """Return what JSON says about an entry of the do-not-call list."""
    as_of = {"as_of": lists[listing.name].as_of.isoformat()} if listing.name in lists else {}
    return listing.facts() | as_of


def when(moment: datetime | None) -> str:
    """Say a moment in this machine's zone."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}" if moment else "never"


def iso(moment: datetime | None) -> str | None:
    """Write a moment as JSON does."""
    return moment.isoformat() if moment else None
