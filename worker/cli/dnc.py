"""The do-not-call list: dnc and its commands."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from worker.cli.inputs import any_number, open_store
from worker.cli.options import PLAIN, Json, Refused, Region
from worker.cli.printing import describe, err, listing_facts, out, print_json, when
from worker.machine.batches import batches
from worker.rules.do_not_call import Listing, Registry, scope_of

dnc = typer.Typer(
    no_args_is_help=True, help="The do-not-call list: numbers that nobody may ring, in any campaign.", **PLAIN
)

_DNC_BATCH: Final = 1000
_US_LINE: Final = re.compile(r"(?:\+?1[ -]?)?([2-9]\d{2}),?([2-9]\d{6})(?:,|$)")
"""A number of the United States without ado, also as the national registry writes it: area code, comma, seven digits."""

Scope = Annotated[str, typer.Option(help="everywhere, marketing, informational or campaign:NAME.")]
Expires = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Until when; without it, for ever.")]


@dnc.command("add")
def dnc_add(number: str, region: Region = "US", scope: Scope = "everywhere", expires: Expires = None) -> None:
    """Ring this number never again; what waits for it is withdrawn in every campaign of the scope."""
    phone = any_number(number, region)
    new = open_store().do_not_call.add(phone, "operator", scope=_scope(scope), expires_at=_midnight(expires))
    out.print("Added." if new else "It was on the list already.")


@dnc.command("remove")
def dnc_remove(number: str, region: Region = "US") -> None:
    """Take a number off the list, whatever put it there."""
    out.print("Removed." if open_store().do_not_call.remove(any_number(number, region)) else "It was not on the list.")


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
    store = open_store()
    day = as_of.date() if as_of else None
    if day and day > store.now().date():
        raise Refused(f"--as-of {day} lies in the future")
    listing = Listing(f"import of {file.name}", scope=_scope(scope), expires_at=_midnight(expires), name=name)
    added = total = bad = 0
    for phones, errors in _listed_numbers(file, region):
        added += store.do_not_call.add_all(phones, listing)
        total += len(phones)
        bad += len(errors)
        for error in errors:
            err.print(error, highlight=False)
    if day:
        store.do_not_call.record_import(name, Registry(day, listing.scope, numbers=total))
    out.print(f"{added:,} numbers added, {total - added:,} were listed already, {bad:,} lines refused.")
    if bad:
        raise typer.Exit(1)


@dnc.command("list")
def dnc_list(as_json: Json = False) -> None:
    """Print the list."""
    store = open_store()
    entries, lists = store.do_not_call.entries(), store.do_not_call.registries()
    if as_json:
        print_json([{"phone": phone, **listing_facts(listing, lists)} for phone, listing in entries])
        return
    for phone, listing in sorted(entries, key=lambda entry: entry[0]):
        out.print(f"{phone}  {describe(listing, lists)}", highlight=False)


@dnc.command("lists")
def dnc_lists(as_json: Json = False) -> None:
    """Print which lists were imported as a whole, and what day they show."""
    lists = open_store().do_not_call.registries()
    if as_json:
        print_json([{"list": name, **kept.facts()} for name, kept in lists.items()])
        return
    for name, kept in lists.items():
        scope = kept.scope or "everywhere"
        out.print(f"{name}  as of {kept.as_of}, {kept.numbers:,} numbers, {scope}, imported {when(kept.imported_at)}")


def _listed_numbers(file: Path, region: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield batches of numbers, with a sentence for each line that is none."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            numbered = ((line, text.strip()) for line, text in enumerate(lines, 1))
            for batch in batches(numbered, _DNC_BATCH):
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
    return any_number(text.split(",", maxsplit=1)[0].strip(), region)


def _scope(text: str) -> str:
    try:
        return scope_of(text)
    except ValueError as error:
        raise Refused(str(error)) from None


def _midnight(day: datetime | None) -> datetime | None:
    return day.replace(tzinfo=UTC) if day else None
