"""`dialout dnc`: the do-not-call list."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from worker.cli.inputs import any_number, open_store
from worker.cli.options import PLAIN, Json, Refused, Region
from worker.cli.printing import describe, err, listing_facts, out, plural, print_json, when
from worker.machine.batches import batches
from worker.rules.do_not_call import Listing, Registry, scope_of

dnc = typer.Typer(
    no_args_is_help=True, help="Manage the do-not-call list: the numbers that no campaign may call.", **PLAIN
)

_BATCH: Final = 1000
_US_LINE: Final = re.compile(r"(?:\+?1[ -]?)?([2-9]\d{2}),?([2-9]\d{6})(?:,|$)")
"""A plain number of the United States, or as the national registry writes it: area code, comma, seven digits."""

Number = Annotated[str, typer.Argument(metavar="NUMBER", help="A telephone number.")]
Scope = Annotated[
    str,
    typer.Option(
        help="Which campaigns may not call it: everywhere (all of them), marketing, informational or campaign:NAME."
    ),
]
Expires = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="The entry ends when this day begins (UTC). Default: never."),
]


@dnc.command("add")
def dnc_add(number: Number, region: Region = "US", scope: Scope = "everywhere", expires: Expires = None) -> None:
    """Put a number on the list. Campaigns in its scope withdraw the contacts with this number that still wait."""
    store, phone = open_store(), any_number(number, region)
    new = store.do_not_call.add(phone, "operator", scope=_scope(scope), expires_at=_midnight(expires))
    out.print("Added." if new else "It was already on the list.")


@dnc.command("remove")
def dnc_remove(number: Number, region: Region = "US") -> None:
    """Take a number off the list, no matter who put it there."""
    store = open_store()
    out.print("Removed." if store.do_not_call.remove(any_number(number, region)) else "It was not on the list.")


@dnc.command("import")
def dnc_import(  # noqa: PLR0917 - Typer's options
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A text or CSV file with a number first on each line.")],
    region: Region = "US",
    name: Annotated[
        str, typer.Option("--list", help="The registry that the file is a complete copy of, such as us-dnc.")
    ] = "",
    as_of: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day on which the registry was copied.")
    ] = None,
    scope: Scope = "everywhere",
    expires: Expires = None,
) -> None:
    """Add the numbers of a file, one per line. Lines without a valid number are reported, and the others are added."""
    if bool(name) != bool(as_of):
        raise Refused("--list and --as-of go together: a copy of a registry has a name and a day")
    store = open_store()
    day = as_of.date() if as_of else None
    if day and day > store.now().date():
        raise Refused(f"--as-of {day} lies in the future: give the day on which the registry was copied")
    listing = Listing(f"import of {file.name}", scope=_scope(scope), expires_at=_midnight(expires), name=name)
    added = total = bad = 0
    for phones, errors in _listed_numbers(file, region):
        added += store.do_not_call.add_all(phones, listing)
        total += len(phones)
        bad += len(errors)
        for error in errors:
            err.print(error)
    if day:
        store.do_not_call.record_import(name, Registry(day, listing.scope, numbers=total))
    out.print(f"{plural(added, 'number')} added, {total - added:,} were listed already, {plural(bad, 'line')} refused.")
    if bad:
        raise typer.Exit(1)


@dnc.command("list")
def dnc_list(as_json: Json = False) -> None:
    """Print every number on the list."""
    store = open_store()
    entries, lists = store.do_not_call.entries(), store.do_not_call.registries()
    if as_json:
        print_json([{"phone": phone, **listing_facts(listing, lists)} for phone, listing in entries])
        return
    for phone, listing in sorted(entries, key=lambda entry: entry[0]):
        out.print(f"{phone}  {describe(listing, lists)}")


@dnc.command("lists")
def dnc_lists(as_json: Json = False) -> None:
    """Print which registries were imported, and the day of each copy."""
    store = open_store()
    lists = store.do_not_call.registries()
    if as_json:
        print_json([{"list": name, **kept.facts()} for name, kept in lists.items()])
        return
    for name, kept in lists.items():
        scope = kept.scope or "everywhere"
        out.print(f"{name}  as of {kept.as_of}, {kept.numbers:,} numbers, {scope}, imported {when(kept.imported_at)}")


def _listed_numbers(file: Path, region: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield batches of numbers, each with a sentence for every line that has no valid number."""
    try:
        with file.open(encoding="utf-8-sig") as lines:
            numbered = ((line, text.strip()) for line, text in enumerate(lines, 1))
            for batch in batches(numbered, _BATCH):
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
        raise Refused(f"{file}: this file is not UTF-8 text") from None


def _listed_number(text: str, region: str) -> str:
    """Read a line of a do-not-call file: a number and whatever follows a comma, or the US registry's own form."""
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
