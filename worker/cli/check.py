"""`dialout check`: what a campaign would do with a file of contacts, without calling anybody."""

from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

import typer

from campaigns.campaign import Campaign, load_campaign
from campaigns.contacts import ContactsError
from worker.cli.inputs import contacts_in, open_carrier, rejects_in, store_if_any
from worker.cli.options import File, Folder, Json, Rejects
from worker.cli.printing import err, out, plural, print_json, show_errors, when
from worker.dialing import own_numbers, preflight
from worker.dialing.enlisting import error_facts
from worker.rules import admission
from worker.rules.admission import check_header
from worker.rules.rule import Rule
from worker.settings import Settings, load_settings

_BY: Final = {"row": "invalid"}
"""How a refusal is told that no rule made."""


def check(campaign: Folder, contacts: File, rejects: Rejects = None, as_json: Json = False) -> None:
    """Say what a campaign would do with a file: refused rows, calling hours, duration and cost. Calls nobody."""
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
        err.print(f"{number} would not be used: {own_numbers.NOT_OURS}.", style="red")
    if as_json:
        print_json(facts | {"errors": [error_facts(error) for error in errors]})
    else:
        show_errors(errors)
        _show_forecast(found, facts)
        for sentence in objections:
            err.print(f"The campaign may not start: {sentence}", style="red")
    if objections:
        raise typer.Exit(1)


def _show_forecast(found: preflight.Found, facts: dict[str, Any]) -> None:
    def counts(rules: Counter[Rule]) -> str:
        return ", ".join(f"{count:,} {_BY.get(rule, f'by {rule}')}" for rule, count in rules.most_common())

    refused = f" ({counts(found.rules)})" if found.rules else ""
    out.print(
        f"{found.contacts:,} of {plural(found.rows, 'row')} would be called, {facts['refused']:,} refused{refused}."
    )
    held = f" ({counts(found.held)})" if found.held else ""
    waiting = (
        f" The other {found.contacts - found.open_now:,} must wait{held}." if found.open_now < found.contacts else ""
    )
    out.print(f"{found.open_now:,} of them may be called now.{waiting} Calling can begin: {when(found.first_opening)}.")
    finish = facts["finish"] and when(datetime.fromisoformat(facts["finish"]))
    out.print(
        f"At {facts['calls_per_second']:g} calls per second on {plural(facts['lines'], 'line')}, the estimated end is "
        f"{finish or 'more than 60 days away'}, after {plural(facts['dials'], 'dial')}, "
        f"{plural(facts['answers'], 'answer')} and {plural(facts['minutes'], 'minute')} of talk. "
        f"That takes {plural(facts['warm_bots'], 'warm bot')} (docs/rules.md explains the estimate)."
    )
    if facts["cost"] is None:
        out.print("The cost is not known: no prices are set (PRICE_… in .env).")
    else:
        out.print(f"Estimated cost: {facts['cost']:,.2f}.")
    if not facts["store"]:
        out.print(
            "There is no Redis to ask, so the do-not-call list, imported registries and earlier calls are left out.",
            style="yellow",
        )


def _strangers(definition: Campaign, settings: Settings) -> list[str] | None:
    """Return the caller IDs that Telnyx says are not ours; None if it was not asked, or did not answer."""
    if not settings.telnyx_api_key.get_secret_value() or not settings.telnyx_texml_app_id:
        return None
    from worker.telnyx.carrier import CarrierError  # takes a fifth of a second to import

    with closing(open_carrier(settings)) as carrier:
        try:
            owned = carrier.numbers()
        except CarrierError:
            return None
    return [number for number in own_numbers.pool_of(definition, settings) if number not in owned]
