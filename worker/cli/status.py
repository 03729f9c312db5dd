"""`dialout status`: campaigns in numbers, and what all calls together use."""

import time
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from campaigns.campaign import Campaign
from worker.cli.inputs import open_store
from worker.cli.options import Json, name_of
from worker.cli.printing import SHOWN, iso, out, plural, print_json, status_view
from worker.rules import brakes
from worker.rules.hours import next_opening
from worker.settings import load_settings
from worker.store import Store
from worker.store.values import Status


def status(
    campaign: Annotated[
        str | None,
        typer.Argument(metavar="CAMPAIGN", help="The campaign's name, or its folder. Default: all campaigns."),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Update the table twice a second, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Show each campaign's contacts, counted by their state and by how their calls ended."""
    store = open_store()
    names = [name_of(campaign)] if campaign else store.campaigns.names()
    if as_json:
        facts = [_status_facts(store, store.reading.status(name)) for name in names]
        print_json(facts[0] if campaign else facts)
    elif not names:
        out.print("There are no campaigns yet. Begin with `dialout enqueue CAMPAIGN CONTACTS`.")
    elif watch:
        from rich.live import Live  # only for --watch: it imports a fifth of rich

        with Live(console=out, refresh_per_second=4) as live:
            while True:
                live.update(status_view([store.reading.status(name) for name in names], _account_line(store)))
                time.sleep(0.5)
    else:
        out.print(status_view([store.reading.status(name) for name in names], _account_line(store)))
        _show_brakes(store, names)


def _status_facts(store: Store, found: Status) -> dict[str, Any]:
    (definition, _, _), now = store.campaigns.get(found.campaign), store.now()
    return {
        "campaign": found.campaign,
        "state": found.state.value,
        "why": found.why,
        "contacts": found.contacts,
        "due": found.due,
        "live": found.live,
        "done": found.done,
        "refused": found.refused,
        "rows_refused": found.rows_refused,
        "dispositions": dict(found.dispositions),
        "lines_in_use": found.lines_in_use,
        "answer_rate": found.answer_rate,
        "silent_answers": found.silent,
        "account": _account_facts(store),
        "next_opening": iso(_next_opening(found, definition, now)),
        "brakes": _brake_facts(store, definition, now),
    }


def _account_facts(store: Store) -> dict[str, Any]:
    settings = load_settings()
    held = store.pace.occupied(timedelta(seconds=settings.bot_rest_s))
    return {
        "lines": settings.lines,
        "lines_in_use": held.lines,
        "lines_inbound": held.inbound,
        "lines_for_inbound": settings.lines_for_inbound,
        "ringing": held.ringing,
        "warm_bots": settings.bots_at_once,
        "bots_cooling": held.cooling,
        "bots_idle": held.idle,
        "bots_counted_at": iso(held.counted_at),
    }


def _account_line(store: Store) -> str:
    facts = _account_facts(store)
    told = [f"{facts['lines_in_use']} of {plural(facts['lines'], 'line')} in use, {facts['ringing']} ringing"]
    if facts["lines_inbound"] or facts["lines_for_inbound"]:
        kept = f"{plural(facts['lines_for_inbound'], 'line')} kept for them"
        told.append(f"{plural(facts['lines_inbound'], 'inbound call')} ({kept})")
    if facts["bots_idle"] is not None:
        told.append(f"{plural(facts['bots_idle'], 'idle bot')} at {facts['bots_counted_at'][11:19]} UTC")
    elif facts["warm_bots"] is not None:
        told.append(f"{plural(facts['warm_bots'], 'warm bot')}, {facts['bots_cooling']} of them being replaced")
    return "; ".join(told) + "."


def _brake_facts(store: Store, definition: Campaign, now: datetime) -> dict[str, Any]:
    counted, (held, attempts) = store.brakes.counted(definition, now), store.brakes.holding(definition.name)
    return {
        "held": held or None,
        "attempts": attempts,
        "canary_left": brakes.canary_left(definition, counted),
        "calls_today": counted.today,
        "people": counted.people,
        "abandoned": len(counted.abandoned),
        "abandoned_share": round(counted.abandoned_share, 4),
        "warning": brakes.warning(definition, counted),
        "attempts_by_mark": {mark: count for mark, count in sorted(counted.totals.items()) if count},
    }


def _show_brakes(store: Store, names: list[str]) -> None:
    for name in names:
        facts = _brake_facts(store, store.campaigns.get(name)[0], store.now())
        if facts["warning"]:
            out.print(f"{name}: {facts['warning']}.", style="yellow")
        if facts["canary_left"] is not None and not facts["held"]:
            out.print(f"{name}: pauses for your approval after {plural(facts['canary_left'], 'more attempt')}.")
        for attempt_id in facts["attempts"][:SHOWN]:
            if case := store.attempts.case(attempt_id):
                out.print(f"  {case.phone} ({attempt_id}): {case.attempt.get('reason', '')}")


def _next_opening(found: Status, definition: Campaign, now: datetime) -> datetime | None:
    openings = [
        opening
        for place, (count, first) in found.due_by_place.items()
        if count and (opening := next_opening(definition, place, max(first or now, now)))
    ]
    return min(openings, default=None)
