"""Before anything is rung: check, enqueue, call."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from campaigns.campaign import Campaign, load_campaign
from campaigns.contacts import Contact, ContactsError, ContactsReader, RowError, rejects_writer, write_rejects
from campaigns.numbers import BadNumber, parse
from campaigns.places import UnknownPlace, place_of
from worker.cli.given import File, Folder, Json, Refused, Rejects, contacts_in, open_store, store_if_any
from worker.cli.printing import SHOWN, err, out, print_json, show_errors, when
from worker.dialing import braking, preflight
from worker.dialing.enlisting import enlist, error_facts
from worker.rules import policy
from worker.rules.admission import admitted, check_header
from worker.settings import Settings, load_settings
from worker.store import Store
from worker.store.values import Enlisted


def check(campaign: Folder, contacts: File, rejects: Rejects = None, as_json: Json = False) -> None:
    """Say what would happen: rows refused and why, windows, the time it would take. Rings nobody."""
    definition, settings, now = load_campaign(campaign), load_settings(), datetime.now(UTC)
    store = store_if_any()
    registries = store.do_not_call.registries() if store else None
    objections = policy.objections(definition, registries, now)
    found = preflight.Found()
    lookup = store.reading.listed_and_rung if store else None
    with contacts_in(contacts, definition) as reader:
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
        print_json(facts | {"errors": [error_facts(error) for error in errors]})
    else:
        show_errors(errors)
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
    out.print(f"{found.open_now:,} of them now{held}; the first opening is {when(found.first_opening)}.")
    finish = facts["finish"] and when(datetime.fromisoformat(facts["finish"]))
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


def _strangers(definition: Campaign, settings: Settings) -> list[str] | None:
    """Return the campaign's caller IDs that Telnyx says are not ours; None if it was not asked, or does not say."""
    if not settings.telnyx_api_key.get_secret_value() or not settings.telnyx_texml_app_id:
        return None
    from worker.telnyx.carrier import Carrier, CarrierError

    key, app_id = settings.telnyx_api_key.get_secret_value(), settings.telnyx_texml_app_id
    carrier = Carrier(api_key=key, app_id=app_id, base_url=settings.telnyx_base_url)
    try:
        owned = carrier.numbers()
    except CarrierError:
        return None
    finally:
        carrier.close()
    return [number for number in braking.pool_of(definition, settings) if number not in owned]


def enqueue(
    campaign: Folder,
    contacts: File,
    paused: Annotated[bool, typer.Option("--paused", help="Enlist, but do not ring until `resume`.")] = False,
    rejects: Rejects = None,
    as_json: Json = False,
) -> None:
    """Enlist the contacts of a file; ringing begins when a worker runs. The same file twice changes nothing."""
    definition, store = load_campaign(campaign), open_store()
    _may_start(definition, store)
    total = Enlisted()
    errors: list[RowError] = []
    refused = 0
    with (
        contacts_in(contacts, definition) as reader,
        _progress(contacts, as_json) as advance,
        _rejects(rejects, reader) as reject,
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


def call(
    campaign: Folder,
    number: str,
    values: Annotated[list[str] | None, typer.Option("--set", help="A column of the contact, as name=Ada.")] = None,
) -> None:
    """Place one test call, under the campaign's own rules."""
    definition, store = load_campaign(campaign), open_store()
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
    store.campaigns.define(definition)
    enlisted = store.contacts.enlist(definition, [(contact, place)], store.now())
    if not enlisted.new:
        raise Refused(
            f"{number} is in {definition.name} already, and is not rung again for a test: see `dialout results`"
        )
    out.print(f"{number} is due in {definition.name}; a running worker rings it when the calling window is open.")


def _may_start(campaign: Campaign, store: Store) -> None:
    if objections := policy.objections(campaign, store.do_not_call.registries(), store.now()):
        raise Refused(f"{campaign.name} may not start:\n" + "\n".join(objections))


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
