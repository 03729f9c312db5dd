"""Contacts: a CSV as people keep it, read as a stream. Each row becomes a Contact, or a RowError that says why not."""

import csv
import json
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TextIO
from zoneinfo import ZoneInfo

from campaigns import numbers
from campaigns.places import PLACE_COLUMNS, UnknownPlace, place_of

FIELD_LIMIT: Final = 32_768
"""Characters of one field. A name is shorter; a quote that was never closed is longer."""

ROW_LIMIT: Final = 4 * FIELD_LIMIT
"""Bytes of one row. What is longer is no table of contacts, and is never held in memory as a whole."""

LINES_LIMIT: Final = 200
"""Lines of one row: each is read again when the row turns out to be none, and files may be long."""

_DELIMITERS: Final = ",;\t"
_SHOWN: Final = 60
_PHONE: Final = "phone"
_TIMEZONE: Final = "timezone"


class ContactsError(ValueError):
    """The file cannot be read as contacts at all. The message says what to change."""


class Source(Protocol):
    """A file opened in binary mode, as far as it is needed."""

    def readline(self, size: int, /) -> bytes: ...


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

    def row_of(self, contact: Contact) -> tuple[str, ...]:
        """Return a contact as a row of this file, its number as it is dialed."""
        return tuple(contact.phone if name == _PHONE else contact.columns[name] for name in self.names)


class ContactsReader:
    """Iterates over the contacts and the bad rows of a file, in its order, holding one row at a time.

    What grows with the file is the memory of the numbers seen: 16 bytes a row, for duplicates.
    """

    def __init__(self, file: Source, rules: Rules) -> None:
        """Read the header; raises ContactsError if the file cannot be one of contacts for this campaign."""
        self._file = file
        self._rules = rules
        self.header = self._read_header()
        self._tell_places = not PLACE_COLUMNS.isdisjoint(self.header.names)
        self._required = sorted(rules.required_columns)
        self._seen = _FirstLines()

    def __iter__(self) -> Iterator[Contact | RowError]:
        csv.field_size_limit(FIELD_LIMIT)
        text = _Text(self._file, start=self._header_lines)
        rows = csv.reader(text, delimiter=self.header.delimiter, strict=True)
        while True:
            line = text.begin_row()
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                # The parser has lost its place. A quote that was never closed has swallowed the lines behind its own:
                # they are rows of their own until they prove otherwise.
                first = text.keep_first_line()
                yield RowError(line, "", "", _csv_reason(error), (first.rstrip("\r\n")[:200],))
                rows = csv.reader(text, delimiter=self.header.delimiter, strict=True)
                continue
            if any(row):
                yield self._contact(row, line)

    def _read_header(self) -> Header:
        self._header_lines = 0
        while raw := self._file.readline(FIELD_LIMIT + 1):
            self._header_lines += 1
            if len(raw) > FIELD_LIMIT:
                raise ContactsError(f"the first line has more than {FIELD_LIMIT:,} bytes: is this a CSV file?")
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
            twice = sorted(name for name, count in Counter(names).items() if count > 1)
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
        contact = Contact(phone, values, line)
        if self._tell_places:
            try:
                place_of(contact)
            except UnknownPlace as error:
                return bad(error.column, str(error))
        return contact


def read_contacts(file: Source, rules: Rules) -> ContactsReader:
    """Read contacts from a file opened in binary mode; raises ContactsError about the file as a whole."""
    return ContactsReader(file, rules)


def rejects_writer(file: TextIO, header: Header) -> Callable[[RowError], None]:
    """Begin a file of bad rows as they stood, with a column `reason` behind; returns what writes one more."""
    # With "\n" alone, the writer would leave a lone carriage return unquoted, which is no CSV.
    writer = csv.writer(file, delimiter=header.delimiter, lineterminator="\r\n")
    writer.writerow([*header.names, "reason"])

    def write(error: RowError) -> None:
        about = f"{error.column} {error.reason}" if error.column else error.reason
        padding = [""] * (len(header.names) - len(error.row))
        writer.writerow([*error.row, *padding, about])

    return write


def write_rejects(file: TextIO, header: Header, errors: Iterable[RowError]) -> int:
    """Write bad rows (see `rejects_writer`); returns how many there were."""
    write, count = rejects_writer(file, header), 0
    for count, error in enumerate(errors, 1):  # noqa: B007 - the count is the answer
        write(error)
    return count


class _Text:
    """The lines after the header as text, counted. What is not UTF-8 becomes U+FFFD, and its row is refused."""

    def __init__(self, file: Source, *, start: int) -> None:
        self._file = file
        self._line = start
        self._row: list[bytes] = []
        self._size = 0
        self._again: deque[bytes] = deque()

    def begin_row(self) -> int:
        """Return the number of the line that comes next."""
        self._row, self._size = [], 0
        return self._line + 1

    def keep_first_line(self) -> str:
        """Return the first line of the row that was begun; those behind it come again."""
        self._again.extendleft(reversed(self._row[1:]))
        self._line -= len(self._row) - 1
        return self._row[0].decode("utf-8", "replace")

    def __iter__(self) -> "_Text":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        self._line += 1
        self._row.append(line)
        self._size += len(line)
        if len(self._row) > LINES_LIMIT or self._size > ROW_LIMIT:
            raise csv.Error("row larger than the limit")
        return line.decode("utf-8", "replace")

    def _read(self) -> bytes:
        line = rest = self._file.readline(ROW_LIMIT + 1)
        if not line:
            raise StopIteration
        while rest and not rest.endswith(b"\n"):  # of a line without end, only as much is kept as shows that it is one
            rest = self._file.readline(ROW_LIMIT)
        return line


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
        raise ContactsError(f"the header {_csv_reason(error)}") from None
    trimmed: Sequence[str] = [name.strip() for name in names]
    if not all(trimmed):
        raise ContactsError(f"column {trimmed.index('') + 1} of the header has no name: name it or remove it")
    return Header(tuple(trimmed), delimiter)


def _csv_reason(error: Exception) -> str:
    if "field larger" in str(error):
        return f"has a field of more than {FIELD_LIMIT:,} characters: is a quote missing?"
    if "row larger" in str(error):
        return f"has more than {ROW_LIMIT:,} bytes or {LINES_LIMIT} lines: is a quote missing?"
    if "unexpected end" in str(error):
        return "opens a quote that is never closed: add its end, or write it twice"
    if "new-line character" in str(error):
        return "has a carriage return without a line feed: save the file with the line ends of Windows or Unix"
    return f"cannot be read as CSV: {error}"


@lru_cache(maxsize=1024)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
