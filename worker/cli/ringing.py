"""While it rings: status, numbers, pause, resume, stop."""

import time
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from campaigns.campaign import Campaign
from worker.cli.given import Json, Name, Refused, name_of, open_store
from worker.cli.printing import SHOWN, iso, out, print_json, status_table, when
from worker.dialing import braking
from worker.rules import brakes, caller_ids, policy
from worker.rules.caller_ids import CallerId, NumberState
from worker.rules.caller_ids import Limits as CallerIdLimits
from worker.rules.states import CampaignState
from worker.settings import load_settings
from worker.store import Store
from worker.store.values import Status


def status(
    campaign: Annotated[str | None, typer.Argument(help="A campaign's name; without one, all.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Count contacts by state and disposition."""
    store = open_store()
    names = [name_of(campaign)] if campaign else store.campaigns.names()
    if as_json:
        facts = [_status_facts(store, store.reading.status(name)) for name in names]
        print_json(facts[0] if campaign else facts)
    elif not names:
        out.print("No campaign was enqueued yet: `dialout enqueue CAMPAIGN CONTACTS`.")
    elif watch:
        with Live(console=out, refresh_per_second=4) as live:
            while True:
                live.update(status_table([store.reading.status(name) for name in names], _account_line(store)))
                time.sleep(0.5)
    else:
        out.print(status_table([store.reading.status(name) for name in names], _account_line(store)))
        _show_brakes(store, names)


def numbers(as_json: Json = False) -> None:
    """Show each number that we call from: its calls today, how it is answered, and whether it rests."""
    store, settings = open_store(), load_settings()
    now = store.now()
    found = store.own_numbers.read(braking.all_caller_ids(store, settings), now)
    limits = braking.caller_id_limits(settings)
    if as_json:
        print_json([one.facts(limits, now) for one in found])
        return
    if not found:
        out.print("No caller ID is set: put CALLER_IDS into .env, or caller_ids into a campaign.")
        return
    table = Table("number", "today", "answered", "before", "", box=None, pad_edge=False)
    for one in found:
        rates = ("" if rate is None else f"{rate:.0%}" for rate in (one.answer_rate, one.past_rate))
        table.add_row(one.number, f"{one.today:,}", *rates, _standing_of(one, limits, now))
    out.print(table)


def _standing_of(one: CallerId, limits: CallerIdLimits, now: datetime) -> str:
    until = when(caller_ids.free_at(one, limits, now))
    return {
        NumberState.FREE: "",
        NumberState.NOT_OURS: f"[red]not used: {braking.NOT_OURS}[/]",
        NumberState.RESTS: f"[yellow]rests until {until}: it was answered far less than before[/]",
        NumberState.DONE: f"has made its calls of the day; the next is {until}",
        NumberState.COOLS: "cools down",
    }[caller_ids.state_of(one, limits, now)]


def pause(campaign: Name) -> None:
    """Hold a campaign. Takes effect on the very next dial; calls under way go on."""
    _set_state(campaign, CampaignState.PAUSED, "paused by the operator")


def resume(campaign: Name) -> None:
    """Let a paused campaign ring again. This approves what its brakes have shown you (docs/brakes.md)."""
    held, _ = open_store().brakes.holding(name_of(campaign))
    _set_state(campaign, CampaignState.RUNNING, "")
    if held:
        approved = "its first attempts are approved" if held == "canary" else "attempts are counted anew"
        out.print(f"The brake {held} is released: {approved}.")


def stop(
    campaign: Name, hang_up: Annotated[bool, typer.Option("--hang-up", help="End the calls under way too.")] = False
) -> None:
    """End a campaign for good: who was not rung yet is canceled."""
    _set_state(campaign, CampaignState.STOPPED, "stopped by the operator")
    if hang_up:
        from worker.app import carrier
        from worker.telnyx.carrier import CarrierError

        store, failed = open_store(), list[str]()
        for attempt_id in store.attempts.live(name_of(campaign)):
            case = store.attempts.case(attempt_id)
            if case and case.begun and (sid := case.evidence.call_sid):
                try:
                    carrier().hang_up(sid)
                except CarrierError as error:
                    failed.append(f"{case.phone}: {error}")
        if failed:
            raise Refused("\n".join(["These calls could not be ended; say it again:", *failed]))


def _set_state(campaign: str, state: CampaignState, why: str) -> None:
    name = name_of(campaign)
    open_store().campaigns.set_state(name, state, why)
    out.print(f"{name} is {state.value}.")


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
    told = [f"lines {facts['lines_in_use']} of {facts['lines']}"]
    if facts["lines_inbound"] or facts["lines_for_inbound"]:
        told.append(f"inbound {facts['lines_inbound']} ({facts['lines_for_inbound']} kept)")
    if facts["bots_idle"] is not None:
        told.append(f"bots idle {facts['bots_idle']} at {facts['bots_counted_at'][11:19]}")
    elif facts["warm_bots"] is not None:
        told.append(f"warm bots {facts['warm_bots']}, {facts['bots_cooling']} of them cooling")
    return ", ".join([*told, f"ringing {facts['ringing']}"])


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
            out.print(f"[yellow]{name}: {facts['warning']}.[/]", highlight=False)
        if facts["canary_left"] is not None and not facts["held"]:
            out.print(
                f"{name}: {facts['canary_left']} more attempts until it holds for your approval.", highlight=False
            )
        for attempt_id in facts["attempts"][:SHOWN]:
            case = store.attempts.case(attempt_id)
            if case:
                told = f"{case.phone} ({attempt_id}): {case.attempt.get('reason', '')}"
                out.print(f"  {told}", highlight=False, markup=False)


def _next_opening(found: Status, definition: Campaign, now: datetime) -> datetime | None:
    openings = [
        opening
        for place, (count, first) in found.due_by_place.items()
        if count and (opening := policy.next_opening(definition, place, max(first or now, now)))
    ]
    return min(openings, default=None)
