"""The `dialout` command. Exit codes: 0 done, 1 the input or the state forbids it (with a sentence), 2 wrong usage."""

import csv
import json
import logging
import os
import re
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import indent
from typing import Annotated, Any, Final, TextIO

import redis
import typer
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from campaigns.campaign import Campaign, CampaignError, load_campaign
from campaigns.contacts import (
    Contact,
    ContactsError,
    ContactsReader,
    RowError,
    read_contacts,
    rejects_writer,
    write_rejects,
)
from campaigns.numbers import BadNumber, parse
from campaigns.places import UnknownPlace, place_of
from worker import brakes, braking, caller_ids, policy
from worker import check as preflight
from worker.admission import admitted, check_header
from worker.caller_ids import CallerId, NumberState
from worker.caller_ids import Limits as CallerIdLimits
from worker.embedded import EmbeddedRedis, NoServer
from worker.enlisting import enlist, error_facts
from worker.listings import Listing, Registry, scope_of
from worker.processes import ProcessDied, Processes
from worker.settings import Settings, SettingsError, load_settings
from worker.store import CampaignState, Enlisted, Status, Store, StoreError, contact_of
from worker.why import Decision, stories

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Outbound AI voice campaigns: a CSV becomes conversations, and every row an outcome.",
)
dnc = typer.Typer(no_args_is_help=True, help="The do-not-call list: numbers that nobody may ring, in any campaign.")
app.add_typer(dnc, name="dnc")

out: Final = Console()
err: Final = Console(stderr=True)

_SHOWN: Final = 20
_ROWS_SHOWN: Final = 1000
_DNC_BATCH: Final = 1000
_US_LINE: Final = re.compile(r"(?:\+?1[ -]?)?([2-9]\d{2}),?([2-9]\d{6})(?:,|$)")
"""A number of the United States without ado, also as the national registry writes it: area code, comma, seven digits."""

SAMPLE: Final = Path(__file__).parents[1] / "campaigns" / "appointment_reminder"

Folder = Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="The campaign's folder.")]
File = Annotated[Path, typer.Argument(metavar="CONTACTS", help="A CSV with a column phone.")]
Name = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name or folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table (docs/json.md).")]
Rejects = Annotated[Path | None, typer.Option("--rejects", help="Write the bad rows here, with a column reason.")]


class Refused(Exception):
    """The command cannot be carried out. The message says why, and what to do."""


# --- before anything is rung ------------------------------------------------------------------------------------------


@app.command()
def check(campaign: Folder, contacts: File, rejects: Rejects = None, as_json: Json = False) -> None:
    """Say what would happen: rows refused and why, windows, the time it would take. Rings nobody."""
    definition, settings, now = load_campaign(campaign), load_settings(), datetime.now(UTC)
    store = _store_if_any()
    registries = store.registries() if store else None
    objections = policy.objections(definition, registries, now)
    found = preflight.Found()
    lookup = store.rung_or_listed if store else None
    with _contacts(contacts, definition) as reader:
        try:
            check_header(reader.header, definition)
        except ContactsError as error:
            objections.append(str(error))
        errors = list(preflight.examine(reader, definition, settings, now, found, lookup=lookup, registries=registries))
        _write_rejects(rejects, reader, errors)
    facts = found.facts(definition, settings, now) | {
        "may_start": not objections,
        "objections": objections,
        "store": store is not None,
        "caller_ids_not_ours": _strangers(definition, settings),
    }
    for number in facts["caller_ids_not_ours"] or ():
        err.print(f"{number} would not be used: {braking.NOT_OURS}.", style="red", highlight=False)
    if as_json:
        _print_json(facts | {"errors": [error_facts(error) for error in errors]})
    else:
        _show_errors(errors)
        _show_forecast(found, facts)
        for sentence in objections:
            err.print(f"The campaign may not start: {sentence}", style="red", highlight=False, markup=False)
    if objections:
        raise typer.Exit(1)


def _show_forecast(found: preflight.Found, facts: dict[str, Any]) -> None:
    def counts(rules: Counter[str]) -> str:
        return ", ".join(f"{rule} {count:,}" for rule, count in rules.most_common())

    out.print(
        f"[bold]{found.contacts:,} of {found.rows:,}[/] rows would be rung, {facts['refused']:,} would not", end=""
    )
    out.print(f": {counts(found.rules)}." if found.rules else ".")
    held = f" (the others wait: {counts(found.held)})" if found.held else ""
    out.print(f"{found.open_now:,} of them now{held}; the first opening is {_when(found.first_opening)}.")
    finish = facts["finish"] and _when(datetime.fromisoformat(facts["finish"]))
    out.print(
        f"At {facts['calls_per_second']:g} calls per second on {facts['lines']} lines it is over about {finish or 'never'}: "
        f"{facts['dials']:,} dials, {facts['answers']:,} answers, {facts['minutes']:,} minutes of talk, "
        f"with {facts['warm_bots']} warm bots (docs/rules.md says how this is reckoned)."
    )
    cost = (
        f"It will cost about {facts['cost']:,.2f}."
        if facts["cost"] is not None
        else "What it costs: no prices set (PRICE_… in .env)."
    )
    out.print(cost, highlight=False)
    if not facts["store"]:
        out.print(
            "No store could be asked: do-not-call list, registries and earlier calls are left out.", style="yellow"
        )


@app.command()
def enqueue(
    campaign: Folder,
    contacts: File,
    paused: Annotated[bool, typer.Option("--paused", help="Enlist, but do not ring until `resume`.")] = False,
    rejects: Rejects = None,
    as_json: Json = False,
) -> None:
    """Enlist the contacts of a file; ringing begins when a worker runs. The same file twice changes nothing."""
    definition, store = load_campaign(campaign), _store()
    _may_start(definition, store)
    total = Enlisted()
    errors: list[RowError] = []
    refused = 0
    with (
        _contacts(contacts, definition) as reader,
        _progress(contacts, as_json) as advance,
        _rejects(rejects, reader) as reject,
    ):
        check_header(reader.header, definition)
        store.define(definition, paused=paused)
        for batch in enlist(store, definition, admitted(reader, definition, store.now())):
            total += batch.enlisted
            refused += len(batch.refused)
            errors += batch.refused[: max(0, _SHOWN + 1 - len(errors))]
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
        _print_json(facts | {"errors": [error_facts(error) for error in errors[:_SHOWN]]})
        return
    _show_errors(errors)
    out.print(
        f"[bold]{total.new:,}[/] contacts enlisted in {definition.name}, {total.known:,} were in it already, "
        f"{refused:,} rows refused" + (f", {total.refused:,} on the do-not-call list" if total.refused else "") + "."
    )
    if paused:
        out.print(f"Nobody is rung until you say `dialout resume {definition.name}`.")


@app.command()
def call(
    campaign: Folder,
    number: str,
    values: Annotated[list[str] | None, typer.Option("--set", help="A column of the contact, as name=Ada.")] = None,
) -> None:
    """Place one test call, under the campaign's own rules."""
    definition, store = load_campaign(campaign), _store()
    columns = dict(_pair(value) for value in values or ())
    if missing := sorted(definition.required_columns - columns.keys()):
        raise Refused(f"the templates use {', '.join(missing)}: add " + " ".join(f"--set {name}=…" for name in missing))
    contact = Contact(_number(number, definition), columns, 1)
    try:
        place = place_of(contact)
    except UnknownPlace as error:
        raise Refused(f"--set {error.column}=…: {columns[error.column]} {error}") from None
    _may_start(definition, store)
    if problem := policy.consent_problem(definition, place, columns, store.now()):
        raise Refused(f"{problem} (--set consent_type=express)")
    store.define(definition)
    enlisted = store.enlist(definition, [(contact, place)], store.now())
    if not enlisted.new:
        raise Refused(
            f"{number} is in {definition.name} already, and is not rung again for a test: see `dialout results`"
        )
    out.print(f"{number} is due in {definition.name}; a running worker rings it when the calling window is open.")


# --- while it rings ---------------------------------------------------------------------------------------------------


@app.command()
def status(
    campaign: Annotated[str | None, typer.Argument(help="A campaign's name; without one, all.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Count contacts by state and disposition."""
    store = _store()
    names = [_name(campaign)] if campaign else store.campaigns()
    if as_json:
        facts = [_status_facts(store, store.status(name)) for name in names]
        _print_json(facts[0] if campaign else facts)
    elif not names:
        out.print("No campaign was enqueued yet: `dialout enqueue CAMPAIGN CONTACTS`.")
    elif watch:
        with Live(console=out, refresh_per_second=4) as live:
            while True:
                live.update(_status_table([store.status(name) for name in names], _account_line(store)))
                time.sleep(0.5)
    else:
        out.print(_status_table([store.status(name) for name in names], _account_line(store)))
        _show_brakes(store, names)


@app.command()
def numbers(as_json: Json = False) -> None:
    """Show each number that we call from: its calls today, how it is answered, and whether it rests."""
    store, settings = _store(), load_settings()
    now = store.now()
    found = store.own_numbers(braking.all_caller_ids(store, settings), now)
    limits = braking.caller_id_limits(settings)
    if as_json:
        _print_json([one.facts(limits, now) for one in found])
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
    until = _when(caller_ids.free_at(one, limits, now))
    return {
        NumberState.FREE: "",
        NumberState.NOT_OURS: f"[red]not used: {braking.NOT_OURS}[/]",
        NumberState.RESTS: f"[yellow]rests until {until}: it was answered far less than before[/]",
        NumberState.DONE: f"has made its calls of the day; the next is {until}",
        NumberState.COOLS: "cools down",
    }[caller_ids.state_of(one, limits, now)]


@app.command()
def pause(campaign: Name) -> None:
    """Hold a campaign. Takes effect on the very next dial; calls under way go on."""
    _set_state(campaign, CampaignState.PAUSED, "paused by the operator")


@app.command()
def resume(campaign: Name) -> None:
    """Let a paused campaign ring again. This approves what its brakes have shown you (docs/brakes.md)."""
    held, _ = _store().held(_name(campaign))
    _set_state(campaign, CampaignState.RUNNING, "")
    if held:
        approved = "its first attempts are approved" if held == "canary" else "attempts are counted anew"
        out.print(f"The brake {held} is released: {approved}.")


@app.command()
def stop(
    campaign: Name, hang_up: Annotated[bool, typer.Option("--hang-up", help="End the calls under way too.")] = False
) -> None:
    """End a campaign for good: who was not rung yet is canceled."""
    _set_state(campaign, CampaignState.STOPPED, "stopped by the operator")
    if hang_up:
        from worker.app import carrier
        from worker.carrier import CarrierError

        store, failed = _store(), list[str]()
        for attempt_id in store.live(_name(campaign)):
            case = store.case(attempt_id)
            if case and case.begun and (sid := case.evidence.call_sid):
                try:
                    carrier().hang_up(sid)
                except CarrierError as error:
                    failed.append(f"{case.phone}: {error}")
        if failed:
            raise Refused("\n".join(["These calls could not be ended; say it again:", *failed]))


@app.command()
def results(
    campaign: Name,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A .csv or .jsonl file.")] = None,
    as_json: Json = False,
) -> None:
    """Print one row per contact, all of them, dialed or not."""
    rows = _store().each_outcome(_name(campaign))
    if output:
        write = _write_json_lines if output.suffix == ".jsonl" else _write_csv
        with output.open("w", encoding="utf-8", newline="") as file:
            count = write(rows, file)
        err.print(f"{count:,} contacts written to {output}.")
    elif as_json:
        _write_json(rows, sys.stdout)
    elif sys.stdout.isatty():
        out.print(_results_table(list(islice(rows, _ROWS_SHOWN))))
        if next(rows, None):
            err.print("… and more; -o FILE writes them all.", style="yellow")
    else:
        _write_csv(rows, sys.stdout)


@app.command()
def why(
    number: str,
    region: Annotated[str, typer.Option(help="How a number without + is read.")] = "US",
    as_json: Json = False,
) -> None:
    """Tell each decision about a number, or an attempt's: why it was rung, or was not, by which rule, and who says so."""
    store = _store()
    named = store.standing(contact_of(number)) if re.fullmatch(r"[a-z2-7]{16}(#\w+)?", number) else None
    phone = named.phone if named else _any_number(number, region)
    told, listed, lists = stories(store, phone), store.listed(phone), store.registries()
    if as_json:
        entries = [_listing_facts(listing, lists) for listing in listed]
        _print_json({"phone": phone, "do_not_call": entries, "campaigns": [story.facts() for story in told]})
        return
    for listing in listed:
        out.print(f"{phone} is {_listing(listing, lists)}.", style="magenta", highlight=False)
    if not told:
        out.print(f"No campaign has {phone}.")
    for story in told:
        zones = ", ".join(story.zones) or "no known zone"
        out.print(
            f"\n[bold]{story.campaign}[/], line {story.line}, {zones}: {story.state}, {story.now}.", highlight=False
        )
        out.print(_decisions_table(story.decisions))


# --- the do-not-call list -----------------------------------------------------------------------------------------------


Region = Annotated[str, typer.Option(help="How a number without + is read.")]


Scope = Annotated[str, typer.Option(help="everywhere, marketing, informational or campaign:NAME.")]
Expires = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Until when; without it, for ever.")]


@dnc.command("add")
def dnc_add(number: str, region: Region = "US", scope: Scope = "everywhere", expires: Expires = None) -> None:
    """Ring this number never again; what waits for it is withdrawn in every campaign of the scope."""
    phone = _any_number(number, region)
    new = _store().add_do_not_call(phone, "operator", scope=_scope(scope), expires_at=_midnight(expires))
    out.print("Added." if new else "It was on the list already.")


@dnc.command("remove")
def dnc_remove(number: str, region: Region = "US") -> None:
    """Take a number off the list, whatever put it there."""
    out.print("Removed." if _store().remove_do_not_call(_any_number(number, region)) else "It was not on the list.")


@dnc.command("import")
def dnc_import(  # noqa: PLR0917 - Typer's options
    file: Path,
    region: Region = "US",
    name: Annotated[str, typer.Option("--list", help="The list that this is a whole copy of, such as us-dnc.")] = "",
    as_of: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day that the copy shows.")] = None,
    scope: Scope = "everywhere",
    expires: Expires = None,
) -> None:
    """Add a number per line; lines that are no number are reported, and the rest is added all the same."""
    if bool(name) != bool(as_of):
        raise Refused("--list and --as-of go together: a registry's copy has a name and a day")
    store = _store()
    day = as_of.date() if as_of else None
    if day and day > store.now().date():
        raise Refused(f"--as-of {day} lies in the future")
    listing = Listing(f"import of {file.name}", scope=_scope(scope), expires_at=_midnight(expires), name=name)
    added = total = bad = 0
    for phones, errors in _listed_numbers(file, region):
        added += store.list_numbers(phones, listing)
        total += len(phones)
        bad += len(errors)
        for error in errors:
            err.print(error, highlight=False)
    if day:
        store.imported(name, Registry(day, listing.scope, numbers=total))
    out.print(f"{added:,} numbers added, {total - added:,} were listed already, {bad:,} lines refused.")
    if bad:
        raise typer.Exit(1)


@dnc.command("list")
def dnc_list(as_json: Json = False) -> None:
    """Print the list."""
    store = _store()
    entries, lists = store.do_not_call(), store.registries()
    if as_json:
        _print_json([{"phone": phone, **_listing_facts(listing, lists)} for phone, listing in entries])
        return
    for phone, listing in sorted(entries, key=lambda entry: entry[0]):
        out.print(f"{phone}  {_listing(listing, lists)}", highlight=False)


@dnc.command("lists")
def dnc_lists(as_json: Json = False) -> None:
    """Print which lists were imported as a whole, and what day they show."""
    lists = _store().registries()
    if as_json:
        _print_json([{"list": name, **kept.facts()} for name, kept in lists.items()])
        return
    for name, kept in lists.items():
        scope = kept.scope or "everywhere"
        out.print(f"{name}  as of {kept.as_of}, {kept.numbers:,} numbers, {scope}, imported {_when(kept.imported_at)}")


def _listed_numbers(file: Path, region: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield batches of numbers, with a sentence for each line that is none."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            numbered = ((line, text.strip()) for line, text in enumerate(lines, 1))
            while batch := list(islice(numbered, _DNC_BATCH)):
                phones, errors = list[str](), list[str]()
                for line, text in batch:
                    if not text or (line == 1 and not any(c.isdigit() for c in text)):
                        continue
                    try:
                        phones.append(_listed_number(text, region))
                    except Refused as error:
                        errors.append(f"line {line}: {error}")
                yield phones, errors
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(f"{file}: this file is not UTF-8") from None


def _listed_number(text: str, region: str) -> str:
    """Read a line of a do-not-call file: a number and what follows a comma, or the US registry's area code, comma, rest."""
    if region == "US" and (plain := _US_LINE.match(text)):
        return f"+1{plain[1]}{plain[2]}"
    return _any_number(text.split(",", maxsplit=1)[0].strip(), region)


def _scope(text: str) -> str:
    try:
        return scope_of(text)
    except ValueError as error:
        raise Refused(str(error)) from None


def _midnight(day: datetime | None) -> datetime | None:
    return day.replace(tzinfo=UTC) if day else None


def _listing(listing: Listing, lists: Mapping[str, Registry]) -> str:
    copy = f", {listing.name} as of {lists[listing.name].as_of}" if listing.name in lists else ""
    return f"{listing}, since {_when(listing.at)}{copy}"


def _listing_facts(listing: Listing, lists: Mapping[str, Registry]) -> dict[str, Any]:
    as_of = {"as_of": lists[listing.name].as_of.isoformat()} if listing.name in lists else {}
    return listing.facts() | as_of


# --- running it ---------------------------------------------------------------------------------------------------------


@app.command()
def up(port: Annotated[int, typer.Option(help="Of the callbacks server.")] = 8000) -> None:
    """Run worker, beat, callbacks and, without REDIS_URL, an embedded Redis, in this terminal."""
    settings = load_settings()
    settings.require_carrier()
    server = None if settings.redis_url else EmbeddedRedis(settings.data_dir).start()
    environment = {"REDIS_URL": server.url} if server else {}
    try:
        _ask_whose_numbers(Store.at(server.url if server else settings.redis_url), settings)
        with Processes() as processes:
            processes.start_dialer(environment, port=port)
            err.print("Worker, beat and callbacks are running. Ctrl-C ends them.")
            _until_interrupted(lambda: _revive(processes, server))
    finally:
        if server:
            server.stop()


def _strangers(definition: Campaign, settings: Settings) -> list[str] | None:
    """Return the campaign's caller IDs that Telnyx says are not ours; None if it was not asked, or does not say."""
    if not settings.telnyx_api_key.get_secret_value() or not settings.telnyx_texml_app_id:
        return None
    from worker.carrier import Carrier, CarrierError

    key, app_id = settings.telnyx_api_key.get_secret_value(), settings.telnyx_texml_app_id
    carrier = Carrier(api_key=key, app_id=app_id, base_url=settings.telnyx_base_url)
    try:
        owned = carrier.numbers()
    except CarrierError:
        return None
    finally:
        carrier.close()
    return [number for number in definition.caller_ids or settings.caller_ids if number not in owned]


def _ask_whose_numbers(store: Store, settings: Settings) -> None:
    from worker.app import carrier
    from worker.carrier import CarrierError

    try:
        strangers = braking.ask_whose(store, carrier(), braking.all_caller_ids(store, settings))
    except CarrierError as error:
        err.print(braking.UNKNOWN % error, style="yellow", highlight=False)
        return
    for number in strangers:
        err.print(f"Nobody is called from {number}: {braking.NOT_OURS}.", style="red", highlight=False)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Look at everything that a call needs (Redis, Telnyx, numbers, callbacks, agent), and say what is to be mended."""
    from worker.doctor import examine

    findings = []
    for one in examine(load_settings()):
        findings.append(one)
        if not as_json:
            verdict = {True: "[green]ok[/]  ", False: "[red]mend[/]", None: "[yellow]note[/]"}[one.ok]
            out.print(f"{verdict}  {one.check:<12}{one.says}", highlight=False, soft_wrap=True)
    well = all(one.ok is not False for one in findings)
    if as_json:
        _print_json({"ok": well, "checks": [one.facts() for one in findings]})
    if not well:
        raise typer.Exit(1)


@app.command()
def sandbox(  # noqa: PLR0917 - Typer's options
    people: Annotated[Path | None, typer.Option(help="CSV with columns phone and person.")] = None,
    record: Annotated[Path | None, typer.Option(help="Write each call as a stereo WAV into this folder.")] = None,
    records: Annotated[Path | None, typer.Option(help="Append call detail records to this file.")] = None,
    callbacks_port: Annotated[int, typer.Option(help="Where your callbacks server will listen.")] = 8000,
    telnyx_port: int = 8931,
    providers_port: int = 8932,
    agent_port: int = 8933,
    env_file: Annotated[Path, typer.Option(help="Where to write the settings.")] = Path("sandbox.env"),
) -> None:
    """Run the stand-ins (and, without REDIS_URL, an embedded Redis) in the foreground; print the settings for them."""
    settings = load_settings()
    server = None if settings.redis_url else EmbeddedRedis(settings.data_dir).start()
    ours = {
        "REDIS_URL": settings.redis_url or (server.url if server else ""),
        "PUBLIC_URL": f"http://127.0.0.1:{callbacks_port}",
        "BRIEF_SECRET": settings.brief_secret.get_secret_value() or secrets.token_urlsafe(32),
        "LINES": "10",
        "CALLS_PER_SECOND": "5",
    }
    ports = {"--telnyx-port": telnyx_port, "--providers-port": providers_port, "--agent-port": agent_port}
    options = ["--people", str(people or SAMPLE / "contacts.csv")]
    options += [part for name, port in ports.items() for part in (name, str(port))]
    options += ["--record", str(record)] if record else []
    options += ["--records", str(records)] if records else []
    try:
        with Processes() as processes:
            _announce(ours | processes.start_sandbox(options, ours).read("# ready"), env_file)
            _until_interrupted(processes.check)
    finally:
        if server:
            server.stop()


@app.command()
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
    from worker import rehearsal

    definition = load_campaign(campaign)
    folder = load_settings().data_dir / f"rehearsal-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with _rehearsal_view(as_json) as show:
        outcome = rehearsal.rehearse(
            definition, contacts or campaign / "contacts.csv", folder, show=show, record=record
        )
    if as_json:
        _print_json({"outcomes": outcome.outcomes, "disagreements": outcome.disagreements})
    else:
        _show_errors(outcome.row_errors)
        out.print(_results_table(outcome.outcomes))
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
    from worker.fast import view
    from worker.fast.odds import Odds
    from worker.fast.rehearsal import rehearse
    from worker.fast.sample import NoFiction, write_contacts

    definition = load_campaign(campaign)
    folder = load_settings().data_dir / f"rehearsal-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder.mkdir(parents=True)
    if contacts is None:
        contacts = folder / "contacts.csv"
        try:
            write_contacts(contacts, definition, count, seed)
        except NoFiction as none:
            raise Refused(str(none)) from none
    logging.basicConfig(filename=folder / "dialer.log", format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    with _contacts(contacts, definition), _rehearsal_view(as_json) as show:
        begin = start.replace(tzinfo=UTC) if start else None
        outcome = rehearse(definition, contacts, folder, days=days, odds=Odds(seed), start=begin, show=show)
    if as_json:
        _print_json(outcome.facts())
    else:
        _show_errors(outcome.row_errors)
        view.show(outcome, out, folder)
    for sentence in outcome.sentences[:_SHOWN]:
        err.print(f"[red]{sentence}[/]", highlight=False)
    if not as_json:
        out.print(view.last_line(outcome), highlight=False, soft_wrap=True)
    if outcome.sentences:
        raise typer.Exit(1)


# --- how things look ------------------------------------------------------------------------------------------------------


def _status_facts(store: Store, found: Status) -> dict[str, Any]:
    (definition, _, _), now = store.campaign(found.campaign), store.now()
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
        "next_opening": _iso(_next_opening(found, definition, now)),
        "brakes": _brake_facts(store, definition, now),
    }


def _account_facts(store: Store) -> dict[str, Any]:
    settings = load_settings()
    held = store.occupied(timedelta(seconds=settings.bot_rest_s))
    return {
        "lines": settings.lines,
        "lines_in_use": held.lines,
        "lines_inbound": held.inbound,
        "lines_for_inbound": settings.lines_for_inbound,
        "ringing": held.ringing,
        "warm_bots": settings.bots_at_once,
        "bots_cooling": held.cooling,
        "bots_idle": held.idle,
        "bots_counted_at": _iso(held.counted_at),
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
    counted, (held, attempts) = store.counted(definition, now), store.held(definition.name)
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
        facts = _brake_facts(store, store.campaign(name)[0], store.now())
        if facts["warning"]:
            out.print(f"[yellow]{name}: {facts['warning']}.[/]", highlight=False)
        if facts["canary_left"] is not None and not facts["held"]:
            out.print(
                f"{name}: {facts['canary_left']} more attempts until it holds for your approval.", highlight=False
            )
        for attempt_id in facts["attempts"][:_SHOWN]:
            case = store.case(attempt_id)
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


def _status_table(found: list[Status], account: str = "") -> Table:
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


_COLORS: Final = {"completed": "green", "failed": "red", "unconfirmed": "red", "do_not_call": "magenta"}


def _results_table(rows: list[dict[str, Any]]) -> Table:
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


def _decisions_table(decisions: tuple[Decision, ...]) -> Table:
    table = Table("when", "attempt", "what", "rule", "witness", "", box=None, pad_edge=False)
    for one in decisions:
        due = f"; due {_when(one.due)}" if one.due else ""
        at = f"{one.at.astimezone():%m-%d %H:%M:%S}"
        table.add_row(at, one.attempt, one.event, one.rule, one.witness, one.reason + due)
    return table


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
                table.add_row(_status_table([found]))
            live.update(table)

        yield show


@contextmanager
def _progress(contacts: Path, quiet: bool) -> Iterator[Any]:
    if quiet or contacts.stat().st_size < 1_000_000:  # noqa: PLR2004 - shorter ones are done in a blink
        yield lambda _count: None
        return
    with contacts.open("rb") as file:
        total = sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
    columns = (TextColumn("enlisting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:
        task = progress.add_task("enlisting", total=total)
        yield lambda count: progress.advance(task, count)


def _show_errors(errors: list[RowError]) -> None:
    for error in errors[:_SHOWN]:
        err.print(str(error), style="yellow", highlight=False, markup=False)
    if len(errors) > _SHOWN:
        err.print("… and more; --rejects FILE writes them all.", style="yellow")


def _write_csv(rows: Iterable[dict[str, Any]], file: TextIO) -> int:
    """Write rows whose columns are only known when all have been seen; returns how many."""
    with TemporaryFile("w+", encoding="utf-8", newline="") as kept:
        # What was said is in the JSON forms: a cell is no place for it.
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
    """Write what `_print_json` does of a list, one at a time."""
    before = "[\n"
    for row in rows:
        file.write(before + indent(json.dumps(row, ensure_ascii=False, indent=2), "  "))
        before = ",\n"
    file.write("[]\n" if before == "[\n" else "\n]\n")


def _print_json(facts: Any) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=False, indent=2) + "\n")


def _when(moment: datetime | None) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M %Z}" if moment else "never"


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


# --- reading what was given -------------------------------------------------------------------------------------------------


def _store() -> Store:
    store = Store.at(load_settings().store_url)
    store.ping()
    return store


def _store_if_any() -> Store | None:
    try:
        return _store()
    except (SettingsError, StoreError):
        return None


def _may_start(campaign: Campaign, store: Store) -> None:
    if objections := policy.objections(campaign, store.registries(), store.now()):
        raise Refused(f"{campaign.name} may not start:\n" + "\n".join(objections))


def _set_state(campaign: str, state: CampaignState, why: str) -> None:
    name = _name(campaign)
    _store().set_state(name, state, why)
    out.print(f"{name} is {state.value}.")


def _name(campaign: str) -> str:
    return campaign.rstrip("/").rpartition("/")[2]


@contextmanager
def _contacts(path: Path, campaign: Campaign) -> Iterator[ContactsReader]:
    try:
        with path.open("rb") as file:
            yield read_contacts(file, campaign)
    except FileNotFoundError:
        raise Refused(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise Refused(f"{path}: this is a folder; name the CSV in it") from None
    except ContactsError as error:
        raise Refused(f"{path}: {error}") from None


@contextmanager
def _rejects(path: Path | None, reader: ContactsReader) -> Iterator[Callable[[Iterable[RowError]], object]]:
    if path is None:
        yield lambda _errors: None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        write = rejects_writer(file, reader.header)
        yield lambda errors: [write(error) for error in errors]


def _write_rejects(path: Path | None, reader: ContactsReader, errors: list[RowError]) -> None:
    if path:
        with path.open("w", encoding="utf-8", newline="") as file:
            write_rejects(file, reader.header, errors)


def _pair(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not given:
        raise Refused(f"--set {text}: write name=value")
    return name, value


def _number(text: str, campaign: Campaign) -> str:
    try:
        return parse(text, campaign.default_region, campaign.allowed_countries)
    except BadNumber as error:
        raise Refused(f"{text} {error}") from None


def _any_number(text: str, region: str) -> str:
    from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_possible_number
    from phonenumbers import parse as parse_number

    try:
        number = parse_number(text, region)
    except NumberParseException:
        raise Refused(f"{text} is not a telephone number") from None
    if not is_possible_number(number):
        raise Refused(f"{text} is not a possible number")
    return format_number(number, PhoneNumberFormat.E164)


def _announce(settings: dict[str, str], env_file: Path) -> None:
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    descriptor = os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    sys.stdout.write(text)
    sys.stdout.flush()
    port = re.search(r":(\d+)$", settings["PUBLIC_URL"])
    err.print(
        f"\nThese settings are in {env_file}. In three more terminals:\n"
        f"  uv run --env-file {env_file} celery -A worker worker\n"
        f"  uv run --env-file {env_file} celery -A worker beat\n"
        f"  uv run --env-file {env_file} uvicorn worker.callbacks:app --port {port[1] if port else 8000}\n"
        f"Then: uv run --env-file {env_file} dialout enqueue CAMPAIGN CONTACTS",
        highlight=False,
    )


def _revive(processes: Processes, server: EmbeddedRedis | None) -> None:
    """Start again what has died: nothing is lost by it, and nobody need watch."""
    if server and server.revive():
        err.print("The embedded Redis ended by itself, and was started again.", style="yellow")
    for name in processes.revive():
        err.print(f"The {name} ended by itself, and was started again.", style="yellow")


def _until_interrupted(look: Callable[[], None]) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    while not ended.wait(0.3):
        look()


def main() -> None:
    """Run the command; what forbids it is one sentence on standard error, and exit code 1."""
    # Whoever is told to end by a supervisor ends what they started, as with Ctrl-C.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    expected = (
        Refused, CampaignError, ContactsError, SettingsError, StoreError, NoServer, ProcessDied, redis.RedisError
    )  # fmt: skip
    try:
        app()
    except expected as error:
        err.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
