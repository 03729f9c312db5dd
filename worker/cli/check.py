"""`dialout check`: what would happen to a file of contacts, without ringing anybody."""

from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import typer

from campaigns.campaign import Campaign, load_campaign
from campaigns.contacts import ContactsError
from worker.cli.inputs import contacts_in, open_carrier, rejects_in, store_if_any
from worker.cli.options import File, Folder, Json, Rejects
from worker.cli.printing import err, out, print_json, show_errors, when
from worker.dialing import own_numbers, preflight
from worker.dialing.enlisting import error_facts
from worker.rules import admission
from worker.rules.admission import check_header
from worker.rules.rule import Rule
from worker.settings import Settings, load_settings


def check(campaign: Folder, contacts: File, rejects: Rejects = None, as_json: Json = False) -> None:
    """Say what would happen: rows refused and why, windows, the time it would take. Rings nobody."""
    definition, settings, now = load_campaign(campaign), load_settings(), datetime.now(UTC)
    store = store_if_any()
    registries = store.do_not_call.registries() if store else None
    objections = admission.objections(definition, registries, now)
    found = preflight.Found()
    lookup = store.reading.listed_and_rung if store else None
    with contacts_in(contacts, definition) as reader, rejects_in(rejects, reader) as reject:
        try:
            check_header(reader.header, definition)
        except ContactsError as error:
            objections.append(str(error))
        errors = list(preflight.examine(reader, definition, settings, now, found, lookup=lookup, registries=registries))
        reject(errors)
    facts = found.facts(definition, settings, now) | {
        "may_start": not objections,
        "objections": objections,
        "store": store is not None,
        "caller_ids_not_ours": _strangers(definition, settings),
    }
    for number in facts["caller_ids_not_ours"] or ():
        err.print(f"{number} would not be used: {own_numbers.NOT_OURS}.", style="red", highlight=False)
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
    def counts(rules: Counter[Rule]) -> str:
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
    from worker.telnyx.carrier import CarrierError

    with closing(open_carrier(settings)) as carrier:
        try:
            owned = carrier.numbers()
        except CarrierError:
            return None
    return [number for number in own_numbers.pool_of(definition, settings) if number not in owned]
