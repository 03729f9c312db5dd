"""Contacts: a CSV as people keep it, read as a stream. Each row becomes a Contact, or a RowError that says why not."""

import csv
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TextIO
from zoneinfo import ZoneInfo

from campaigns import numbers

FIELD_LIMIT: Final = 32_768
"""Characters of one field. A name is shorter; a quote that was never closed is longer."""

_DELIMITERS: Final = ",;\t"
_SHOWN: Final = 60
_PHONE: Final = "phone"
_TIMEZONE: Final = "timezone"


class ContactsError(ValueError):
    """The file cannot be read as contacts at all. The message says what to change."""


class Rules(Protocol):
    """What reading contacts needs to know of their campaign."""

    @property
    def default_region(self) -> str: ...
    @property
    def allowed_countries(self) -> tuple[str, ...]: ...
    @property
    def required_columns(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True)
class Contact:
    """A person to call."""

    phone: str  # E.164
    columns: Mapping[str, str]  # the row's own columns but for the phone, the unused ones too
    line: int  # of the file, as an editor counts


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that is no contact, and why."""

    line: int
    column: str  # empty: the row as a whole
    value: str
    reason: str
    row: tuple[str, ...]  # as it stood in the file

    def __str__(self) -> str:
        if not self.column:
            return f"line {self.line}: {self.reason}"
        shown = self.value if len(self.value) <= _SHOWN else self.value[:57] + "…"
        return f"line {self.line}: {self.column}: {json.dumps(shown, ensure_ascii=False)} {self.reason}"


@dataclass(frozen=True, slots=True)
class Header:
    """The first row: what the columns are called, and how they are separated."""

    names: tuple[str, ...]
    delimiter: str


class ContactsReader:
    """Iterates over the contacts and the bad rows of a file, in its order, holding one row at a time.

    What grows with the file is the memory of the numbers seen: 16 bytes a row, for duplicates.
    """

    def __init__(self, lines: Iterable[bytes], rules: Rules) -> None:
        """Read the header; raises ContactsError if the file cannot be one of contacts for this campaign."""
        self._lines = iter(lines)
        self._rules = rules
        self.header = self._read_header()
        self._required = sorted(rules.required_columns)
        self._seen = _FirstLines()

    def __iter__(self) -> Iterator[Contact | RowError]:
        csv.field_size_limit(FIELD_LIMIT)
        text = _Text(self._lines, start=self._header_lines)
        rows = csv.reader(text, delimiter=self.header.delimiter, strict=True)
        while True:
            line = text.line + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield RowError(line, "", "", _csv_reason(error), (text.last.rstrip("\r\n")[:200],))
                # The parser has lost its place: begin anew with the line after the one that it choked on.
                rows = csv.reader(text, delimiter=self.header.delimiter, strict=True)
                continue
            if any(row):
                yield self._contact(row, line)

    def _read_header(self) -> Header:
        self._header_lines = 0
        for raw in self._lines:
            self._header_lines += 1
            try:
                text = raw.decode("utf-8-sig" if self._header_lines == 1 else "utf-8")
            except UnicodeDecodeError:
                raise ContactsError("the header is not UTF-8: save the file as UTF-8 (in Excel: “CSV UTF-8”)") from None
            if text.strip():
                return self._checked(_header(text))
        raise ContactsError("the file is empty: its first line must name the columns, one of them phone")

    def _checked(self, header: Header) -> Header:
        names = header.names
        if len(set(names)) < len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ContactsError(f"the header names {', '.join(map(repr, twice))} more than once: rename or remove one")
        if _PHONE not in names:
            raise ContactsError(f"the header has no column phone; it has: {', '.join(names)}")
        if missing := sorted(self._rules.required_columns - set(names)):
            raise ContactsError(
                f"the campaign's templates use {', '.join(missing)}, which the header does not have; "
                f"it has: {', '.join(names)}"
            )
        return header

    def _contact(self, row: list[str], line: int) -> Contact | RowError:
        names = self.header.names
        if len(row) != len(names):
            count = f"{len(row)} field{'s' * (len(row) != 1)}"
            return RowError(line, "", "", f"has {count}, but the header has {len(names)}", tuple(row))
        values = {name: value.strip() for name, value in zip(names, row, strict=True)}

        def bad(column: str, reason: str) -> RowError:
            return RowError(line, column, values[column], reason, tuple(row))

        for name, value in values.items():
            if "\ufffd" in value:
                return bad(name, "is not UTF-8: save the file as UTF-8")
            if "\0" in value:
                return bad(name, "has a NUL character")
        for name in self._required:
            if not values[name]:
                return bad(name, "is empty, and the campaign's templates use it")
        if (zone := values.get(_TIMEZONE)) and not _is_zone(zone):
            return bad(_TIMEZONE, "is not a time zone; write one such as America/New_York")
        raw = values.pop(_PHONE)
        try:
            phone = numbers.parse(raw, self._rules.default_region, self._rules.allowed_countries)
        except numbers.BadNumber as error:
            return RowError(line, _PHONE, raw, str(error), tuple(row))
        if first := self._seen.first_line(phone, line):
            return RowError(line, _PHONE, raw, f"is the same number as on line {first}", tuple(row))
        return Contact(phone, values, line)


def read_contacts(lines: Iterable[bytes], rules: Rules) -> ContactsReader:
    """Read contacts from the lines of a file opened in binary mode; raises ContactsError about the file as a whole."""
    return ContactsReader(lines, rules)


def write_rejects(file: TextIO, header: Header, errors: Iterable[RowError]) -> int:
    """Write bad rows as they stood, with a column `reason` behind; returns how many there were."""
    writer = csv.writer(file, delimiter=header.delimiter, lineterminator="\n")
    writer.writerow([*header.names, "reason"])
    count = 0
    for count, error in enumerate(errors, 1):  # noqa: B007 - the count is the answer
        about = f"{error.column} {error.reason}" if error.column else error.reason
        padding = [""] * (len(header.names) - len(error.row))
        writer.writerow([*error.row, *padding, about])
    return count


def zones_of(contact: Contact) -> tuple[str, ...]:
    """Return every time zone that the contact may be in: the column `timezone`, else all that the number allows."""
    if zone := contact.columns.get(_TIMEZONE):
        return (zone,)
    return numbers.zones(contact.phone)


class _Text:
    """The lines after the header as text, counted. What is not UTF-8 becomes U+FFFD, and its row is refused."""

    def __init__(self, lines: Iterator[bytes], *, start: int) -> None:
        self._lines = lines
        self.line = start
        self.last = ""

    def __iter__(self) -> "_Text":
        return self

    def __next__(self) -> str:
        raw = next(self._lines)
        self.line += 1
        self.last = raw.decode("utf-8", "replace")
        return self.last


class _FirstLines:
    """On which line each number was first seen. An open-addressed table in two arrays: a dict of a million is 100 MB."""

    def __init__(self) -> None:
        self._mask = (1 << 12) - 1
        self._keys = array("Q", bytes(8 * (self._mask + 1)))
        self._lines = array("I", bytes(4 * (self._mask + 1)))
        self._count = 0

    def first_line(self, phone: str, line: int) -> int:
        """Return the line of the number's first appearance, or 0 if this is it."""
        key = int(phone[1:])  # at most 15 digits (E.164), and never 0
        slot = self._slot(key)
        if self._keys[slot]:
            return self._lines[slot]
        self._keys[slot], self._lines[slot] = key, line
        self._count += 1
        if 3 * self._count > 2 * self._mask:
            self._grow()
        return 0

    def _slot(self, key: int) -> int:
        mask, keys = self._mask, self._keys
        slot = (key * 0x9E3779B97F4A7C15 >> 20) & mask
        while keys[slot] and keys[slot] != key:
            slot = (slot + 1) & mask
        return slot

    def _grow(self) -> None:
        keys, lines = self._keys, self._lines
        self._mask = 2 * self._mask + 1
        self._keys = array("Q", bytes(8 * (self._mask + 1)))
        self._lines = array("I", bytes(4 * (self._mask + 1)))
        for key, line in zip(keys, lines, strict=True):
            if key:
                slot = self._slot(key)
                self._keys[slot], self._lines[slot] = key, line


def _header(text: str) -> Header:
    delimiter = max(_DELIMITERS, key=text.count)
    try:
        names = next(csv.reader([text], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration) as error:
        raise ContactsError(f"the header cannot be read: {error}") from None
    trimmed: Sequence[str] = [name.strip() for name in names]
    if not all(trimmed):
        raise ContactsError(f"column {trimmed.index('') + 1} of the header has no name: name it or remove it")
    return Header(tuple(trimmed), delimiter)


def _csv_reason(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"has a field of more than {FIELD_LIMIT:,} characters: is a quote missing?"
    return f"cannot be read as CSV: {error}"


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
