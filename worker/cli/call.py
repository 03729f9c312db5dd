"""`dialout call`: one test call."""

from typing import Annotated

import typer

from campaigns.campaign import Campaign, load_campaign
from campaigns.contacts import Contact
from campaigns.numbers import BadNumber, parse
from campaigns.places import UnknownPlace, place_of
from worker.cli.inputs import open_store, refuse_unless_it_may_start
from worker.cli.options import Folder, Refused
from worker.cli.printing import out
from worker.rules.consent import consent_problem


def call(
    campaign: Folder,
    number: Annotated[str, typer.Argument(metavar="NUMBER", help="The telephone number to call.")],
    values: Annotated[
        list[str] | None, typer.Option("--set", help="A column of the contact, such as name=Ada. May be repeated.")
    ] = None,
) -> None:
    """Place one test call, under the campaign's own rules."""
    definition, store = load_campaign(campaign), open_store()
    columns = dict(_pair(value) for value in values or ())
    if missing := sorted(definition.required_columns - columns.keys()):
        raise Refused(
            f"the templates need {', '.join(missing)}: add " + " ".join(f"--set {name}=…" for name in missing)
        )
    contact = Contact(_number(number, definition), columns, 1)
    try:
        place = place_of(contact)
    except UnknownPlace as error:
        raise Refused(f"--set {error.column}=…: {columns[error.column]} {error}") from None
    refuse_unless_it_may_start(definition, store)
    if problem := consent_problem(definition, place, columns, store.now()):
        raise Refused(f"{problem} (--set consent_type=express)")
    store.campaigns.define(definition)
    enlisted = store.contacts.enlist(definition, [(contact, place)], store.now())
    if not enlisted.new:
        raise Refused(
            f"{number} is in {definition.name} already, so no test call is placed: see `dialout results {definition.name}`"
        )
    out.print(f"{number} was added to {definition.name}. A running worker calls it once the calling window is open.")


def _pair(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not given:
        raise Refused(f"--set {text}: write it as name=value")
    return name, value


def _number(text: str, campaign: Campaign) -> str:
    try:
        return parse(text, campaign.default_region, campaign.allowed_countries)
    except BadNumber as error:
        raise Refused(f"{text} {error}") from None
