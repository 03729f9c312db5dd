"""What commands work on: the store, Telnyx, files of contacts, and telephone numbers."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from campaigns.campaign import Campaign
from campaigns.contacts import ContactsError, ContactsReader, RowError, read_contacts, rejects_writer
from worker.cli.options import Refused
from worker.rules import admission
from worker.settings import Settings, SettingsError, load_settings
from worker.store import Store
from worker.store.errors import StoreError

if TYPE_CHECKING:
    from worker.telnyx.carrier import Carrier


def open_store() -> Store:
    """Connect to the store that the settings name; raises SettingsError or StoreError."""
    store = Store.at(load_settings().store_url)
    store.ping()
    return store


def store_if_any() -> Store | None:
    """Return the store; None if the settings name none, or if it does not answer."""
    try:
        return open_store()
    except (SettingsError, StoreError):
        return None


def open_carrier(settings: Settings, *, timeout_s: float | None = None) -> "Carrier":
    """Return Telnyx's client as the settings have it; the caller closes it."""
    # It takes a fifth of a second to import, and `dialout status` never asks Telnyx.
    from worker.telnyx.carrier import Carrier

    return Carrier(
        api_key=settings.telnyx_api_key.get_secret_value(),
        app_id=settings.telnyx_texml_app_id,
        base_url=settings.telnyx_base_url,
        timeout_s=timeout_s or settings.carrier_timeout_s,
    )


def refuse_unless_it_may_start(campaign: Campaign, store: Store) -> None:
    """Raise Refused if a campaign may not start; the message gives every reason."""
    if objections := admission.objections(campaign, store.do_not_call.registries(), store.now()):
        raise Refused(f"{campaign.name} may not start:\n" + "\n".join(objections))


@contextmanager
def contacts_in(path: Path, campaign: Campaign) -> Iterator[ContactsReader]:
    """Open a file of contacts; raises Refused if it cannot be read."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise Refused(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise Refused(f"{path}: this is a folder; name the CSV file in it") from None
    try:
        with file:
            yield read_contacts(file, campaign)
    except ContactsError as error:
        raise Refused(f"{path}: {error}") from None


@contextmanager
def rejects_in(path: Path | None, reader: ContactsReader) -> Iterator[Callable[[Iterable[RowError]], object]]:
    """Open the file for refused rows, if one was named; yields a function that writes some."""
    if path is None:
        yield lambda _errors: None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        write = rejects_writer(file, reader.header)
        yield lambda errors: [write(error) for error in errors]


def any_number(text: str, region: str) -> str:
    """Read a number of any country, whether or not a campaign may call it; raises Refused."""
    # The library takes 50 ms to import, and `dialout status` reads no number.
    from phonenumbers import NumberParseException, PhoneNumberFormat, format_number, is_possible_number
    from phonenumbers import parse as parse_number

    try:
        number = parse_number(text, region)
    except NumberParseException:
        raise Refused(f"{text} is not a telephone number") from None
    if not is_possible_number(number):
        raise Refused(f"{text} is not a possible number")
    return format_number(number, PhoneNumberFormat.E164)
