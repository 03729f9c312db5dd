"""What the commands are given: arguments and options, the store, files and numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from campaigns.campaign import Campaign
from campaigns.contacts import ContactsError, ContactsReader, read_contacts
from worker.settings import SettingsError, load_settings
from worker.store import Store
from worker.store.errors import StoreError

Folder = Annotated[Path, typer.Argument(metavar="CAMPAIGN", help="The campaign's folder.")]
File = Annotated[Path, typer.Argument(metavar="CONTACTS", help="A CSV with a column phone.")]
Name = Annotated[str, typer.Argument(metavar="CAMPAIGN", help="The campaign's name or folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table (docs/json.md).")]
Rejects = Annotated[Path | None, typer.Option("--rejects", help="Write the bad rows here, with a column reason.")]
Region = Annotated[str, typer.Option(help="How a number without + is read.")]

SAMPLE: Final = Path(__file__).parents[2] / "campaigns" / "appointment_reminder"


class Refused(Exception):
    """The command cannot be carried out. The message says why, and what to do."""


def open_store() -> Store:
    """Connect to the store that the settings name."""
    store = Store.at(load_settings().store_url)
    store.ping()
    return store


def store_if_any() -> Store | None:
    """Return the store; None if none is set, or it does not answer."""
    try:
        return open_store()
    except (SettingsError, StoreError):
        return None


def name_of(campaign: str) -> str:
    """Return the name of a campaign that may have been given as its folder."""
    return campaign.rstrip("/").rpartition("/")[2]


@contextmanager
def contacts_in(path: Path, campaign: Campaign) -> Iterator[ContactsReader]:
    """Open a file of contacts."""
    try:
        with path.open("rb") as file:
            yield read_contacts(file, campaign)
    except FileNotFoundError:
        raise Refused(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise Refused(f"{path}: this is a folder; name the CSV in it") from None
    except ContactsError as error:
        raise Refused(f"{path}: {error}") from None


def any_number(text: str, region: str) -> str:
    """Read a number of any country, whether or not a campaign may ring it."""
    from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_possible_number
    from phonenumbers import parse as parse_number

    try:
        number = parse_number(text, region)
    except NumberParseException:
        raise Refused(f"{text} is not a telephone number") from None
    if not is_possible_number(number):
        raise Refused(f"{text} is not a possible number")
    return format_number(number, PhoneNumberFormat.E164)
