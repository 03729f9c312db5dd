"""Contacts: a CSV as people keep it, read as a stream. Each row becomes a Contact, or a RowError that says why it cannot."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TextIO
from zoneinfo import ZoneInfo

from campaigns import numbers
from campaigns.fastpath.first_seen import FirstSeen
from campaigns.places import PLACE_COLUMNS, UnknownPlace, place_of
from campaigns.text import FIELD_LIMIT, LINES_LIMIT, ROW_LIMIT, RereadableText, Source

_DELIMITERS: Final = ",;\t"
_SHOWN: Final = 60
_PHONE: Final = "phone"
_TIMEZONE: Final = "timezone"


class ContactsError(ValueError):
    """The file cannot be read as contacts at all. The message says what to change."""


class Rules(Protocol):
    """What reading contacts needs of their campaign."""

    @property
    def default_region(self) -> str:
        """The country that a number without + belongs to (ISO 3166, two letters)."""
        ...

    @property
    def allowed_countries(self) -> tuple[str, ...]:
        """The countries whose numbers may be called."""
        ...

    @property
    def required_columns(self) -> frozenset[str]:
        """The columns that the templates cannot do without."""
        ...


@dataclass(frozen=True, slots=True)
class Contact:
    """A person to call."""

    phone: str  # E.164
    columns: Mapping[str, str]  # all columns of the row but the phone, even those that no template uses
    line: int  # the line of the file that the row begins on, as an editor counts


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that is no contact, and the reason."""

    line: int  # the line of the file that the row begins on
    column: str  # the column that is wrong; empty: the row as a whole
    value: str  # what stands in that column
    reason: str  # continues the sentence "line 4: phone: "+1555" …"
    row: tuple[str, ...]  # the fields as they stand in the file

    def __str__(self) -> str:
        if not self.column:
            return f"line {self.line}: {self.reason}"
        shown = self.value if len(self.value) <= _SHOWN else self.value[:57] + "…"
        return f"line {self.line}: {self.column}: {json.dumps(shown, ensure_ascii=False)} {self.reason}"


@dataclass(frozen=True, slots=True)
class Header:
    """The first row: the names of the columns, and the character between them."""

    names: tuple[str, ...]
    delimiter: str

    def row_of(self, contact: Contact) -> tuple[str, ...]:
        """Return a contact as a row of this file, with its number in E.164."""
        return tuple(contact.phone if name == _PHONE else contact.columns[name] for name in self.names)


class ContactsReader:
    """Iterate over the contacts and the bad rows of a file, in its order, with one row in memory at a time.

    Only what finds duplicates grows with the file, by at most 36 bytes for each number.
    """

    def __init__(self, file: Source, rules: Rules) -> None:
        """Read the header; raises ContactsError if this file cannot hold contacts for this campaign."""
        self._file = file
        self._rules = rules
        self.header = self._read_header()
        self._tell_places = not PLACE_COLUMNS.isdisjoint(self.header.names)
        self._required = sorted(rules.required_columns)
        self._seen = FirstSeen()  # a dict[str, int] would do, at three times the memory

    def __iter__(self) -> Iterator[Contact | RowError]:
        csv.field_size_limit(FIELD_LIMIT)
        text = RereadableText(self._file, start=self._header_lines)
        rows = csv.reader(text, delimiter=self.header.delimiter, strict=True)
        while True:
            line = text.begin_row()
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                # The parser has lost its place: most likely, a quote that was never closed has swallowed the lines after
                # its own. Each of those is read again as a row of its own.
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
        raise ContactsError("the file is empty: its first line must name the columns, and one of them must be phone")

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
        if wrong := self._wrong_cell(values):
            column, reason = wrong
            return RowError(line, column, values[column], reason, tuple(row))
        raw = values.pop(_PHONE)
        try:
            phone = numbers.parse(raw, self._rules.default_region, self._rules.allowed_countries)
        except numbers.BadNumber as error:
            return RowError(line, _PHONE, raw, str(error), tuple(row))
        if first := self._seen.line_of(phone, line):
            return RowError(line, _PHONE, raw, f"is the same number as on line {first}", tuple(row))
        contact = Contact(phone, values, line)
        if self._tell_places:
            try:
                place_of(contact)
            except UnknownPlace as error:
                return RowError(line, error.column, values[error.column], str(error), tuple(row))
        return contact

    def _wrong_cell(self, values: Mapping[str, str]) -> tuple[str, str] | None:
        """Return the first column whose text cannot be used, and the reason; the phone is examined later."""
        for name, value in values.items():
            if "\ufffd" in value:
                return name, "is not UTF-8: save the file as UTF-8"
            if "\0" in value:
                return name, "has a NUL character"
        for name in self._required:
            if not values[name]:
                return name, "is empty, and the campaign's templates use it"
        if (zone := values.get(_TIMEZONE)) and not _is_zone(zone):
            return _TIMEZONE, "is not a time zone; write one such as America/New_York"
        return None


def read_contacts(file: Source, rules: Rules) -> ContactsReader:
    """Read contacts from a file that is open in binary mode; raises ContactsError about the file as a whole."""
    return ContactsReader(file, rules)


def rejects_writer(file: TextIO, header: Header) -> Callable[[RowError], None]:
    """Begin a file of bad rows with a last column `reason`; returns the function that writes one row."""
    # With "\n", the writer would not quote a lone carriage return, and the file would be no CSV.
    writer = csv.writer(file, delimiter=header.delimiter, lineterminator="\r\n")
    writer.writerow([*header.names, "reason"])

    def write(error: RowError) -> None:
        about = f"{error.column} {error.reason}" if error.column else error.reason
        padding = [""] * (len(header.names) - len(error.row))
        writer.writerow([*error.row, *padding, about])

    return write


def write_rejects(file: TextIO, header: Header, errors: Iterable[RowError]) -> int:
    """Write all bad rows as `rejects_writer` does; returns how many there were."""
    write, count = rejects_writer(file, header), 0
    for count, error in enumerate(errors, 1):  # noqa: B007 - the count is the answer
        write(error)
    return count


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
