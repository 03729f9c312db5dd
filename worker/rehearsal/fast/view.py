"""Prints what came of a fast rehearsal: a few sentences and tables, and the verdict as the last line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from worker.rehearsal.fast.days import DaysRehearsed
from worker.rules.states import CampaignState

_BAR: Final = 40


def show(outcome: DaysRehearsed, console: Console, folder: Path) -> None:
    """Print what happened on the days that were rehearsed."""
    days = (outcome.end - outcome.start).total_seconds() / 86_400
    console.print(
        f"{days:.1f} days, from {outcome.start:%a %d %b %Y %H:%M %Z}, in {outcome.seconds:.0f} s: "
        f"{outcome.requests:,} requests, {outcome.calls:,} calls, {outcome.calls_to_us:,} calls to us, "
        f"{outcome.verdict.most_lines} lines at most.",
        highlight=False,
    )
    console.print("\nRequests by the hour where the contact is", style="bold")
    console.print(_bars({f"{hour:02}:00": times for hour, times in sorted(outcome.requests_by_hour.items())}))
    console.print("\nContacts by how they ended", style="bold")
    console.print(_bars(dict(outcome.dispositions().most_common())))
    if outcome.postponed_by:
        console.print("\nAttempts that a rule kept from being dialed", style="bold")
        console.print(_bars(dict(sorted(outcome.postponed_by.items(), key=lambda item: -item[1]))))
    if outcome.verdict.silent:
        console.print(
            f"\n{outcome.verdict.silent} people who answered waited longer than 2 s for the bot, "
            f"{outcome.verdict.cold} of them because no bot was warm."
        )
    if outcome.verdict.waiting:
        console.print(f"{outcome.verdict.waiting:,} contacts wait for another day.")
    for at, why in outcome.pauses:
        console.print(f"{at.astimezone(outcome.start.tzinfo):%a %d %b %H:%M}: {why}", style="yellow", highlight=False)
    if outcome.state is not CampaignState.RUNNING:
        console.print(f"The campaign is {outcome.state}: {outcome.why}", style="yellow")
    console.print(f"The network's records: {folder / 'records.jsonl'}", highlight=False)


def last_line(outcome: DaysRehearsed) -> str:
    """Return the auditor's verdict."""
    verdict, total = outcome.verdict, f"{len(outcome.outcomes):,} contacts, {outcome.calls:,} calls"
    if not outcome.sentences:
        return f"PASSED: {total}; nobody was rung twice or outside the rules, and no contact is lost."
    kinds = {
        "rung twice": verdict.rung_twice,
        "outside the rules": verdict.outside_the_rules,
        "lost": verdict.lost,
        "wrong": verdict.wrong,
        "tasks broken": outcome.broken,
    }
    return f"FAILED: {total}; " + ", ".join(f"{len(found)} {kind}" for kind, found in kinds.items() if found) + "."


def _bars(counts: Mapping[str, int]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    most = max(counts.values(), default=1)
    for name, times in counts.items():
        table.add_row(name, f"{times:,}", "█" * round(_BAR * times / most))
    return table
