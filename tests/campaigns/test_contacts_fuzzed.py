"""Whatever file the reader gets, it gives a sentence about the file, or rows that are contacts or say why they are not."""

import csv
import io
import itertools
import re
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.campaign import Campaign
from campaigns.contacts import (
    FIELD_LIMIT,
    LINES_LIMIT,
    ROW_LIMIT,
    Contact,
    ContactsError,
    RowError,
    read_contacts,
    write_rejects,
)
from campaigns.places import place_of

HEADER = b"phone,name,day,time\n"
MB = 1 << 20

pieces = st.sampled_from(
    [b'"', b'""', b",", b";", b"\t", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", b"phone", b"name", b"day",
     b"time", b"timezone", b"2125550111", b"+12125550111", b"911", b"Europe", b"../etc/passwd", "٣".encode(), b" "]
)  # fmt: skip
like_csv = st.lists(pieces | st.binary(max_size=4), max_size=60).map(b"".join)


class Made(io.RawIOBase):
    """A file whose bytes are made while it is read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        self._rest = self._rest or next(self._chunks, b"")
        part = self._rest[: len(buffer)]
        buffer[: len(part)] = part
        self._rest = self._rest[len(part) :]
        return len(part)


def read(campaign: Campaign, data: bytes) -> list[Contact | RowError]:
    return list(read_contacts(io.BytesIO(data), campaign))


def refusal_or_rows(campaign: Campaign, data: bytes) -> str:
    try:
        return f"rows: {'; '.join(map(str, read(campaign, data)))}"
    except ContactsError as refused:
        return str(refused)


def peak(use: Callable[[], object]) -> int:
    tracemalloc.start()
    use()
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return used


@given(data=st.binary(max_size=300) | like_csv)
@example(data="phone,name,day,time\n".encode("utf-16"))
def test_a_file_of_any_bytes_is_refused_with_a_sentence_or_read(reminder: Campaign, data: bytes) -> None:
    assert re.match(r"(rows|the .+|column .+): ", refusal_or_rows(reminder, data), re.DOTALL)


@pytest.mark.parametrize("data", [b"phone,name,day,time\r2125550111,A,d,t\r", HEADER + b"2125550111,A\r,d,t\n"])
def test_the_line_ends_of_an_old_mac_are_named(reminder: Campaign, data: bytes) -> None:
    assert "save the file with the line ends" in refusal_or_rows(reminder, data)


@given(data=st.binary(max_size=300) | like_csv)
@example(data=b"2125550111,A,d,t,Europe\n")
def test_any_bytes_after_a_good_header_become_rows_in_the_order_of_the_file(reminder: Campaign, data: bytes) -> None:
    rows = read(reminder, b"phone,name,day,time,timezone\n" + data)
    lines = [row.line for row in rows]
    assert lines == sorted(set(lines))
    assert all(2 <= line <= 2 + data.count(b"\n") for line in lines)
    for row in rows:
        if isinstance(row, Contact):
            assert place_of(row) is not None
        else:
            assert str(row).startswith(f"line {row.line}: ")


@given(data=like_csv)
def test_what_was_refused_can_be_written_out_and_read_again(reminder: Campaign, data: bytes) -> None:
    reader = read_contacts(io.BytesIO(HEADER + data), reminder)
    refused = [row for row in reader if isinstance(row, RowError)]
    file = io.StringIO(newline="")
    assert write_rejects(file, reader.header, refused) == len(refused)
    again = list(csv.reader(io.StringIO(file.getvalue(), newline="")))
    assert again[0] == ["phone", "name", "day", "time", "reason"]
    assert len(again) == 1 + len(refused)


@given(data=st.lists(like_csv.filter(lambda line: not set(line) & set(b'\r\n"')), max_size=12))
def test_without_quotes_every_line_that_is_not_empty_is_a_row(reminder: Campaign, data: list[bytes]) -> None:
    found = [row.line for row in read(reminder, HEADER + b"\n".join(data))]
    assert found == [number for number, line in enumerate(data, 2) if line.strip(b",")]


@pytest.mark.parametrize(
    "opened", [b'2125550111,"A,d,t\n', b'"', b'2125550111,"A,d,t\n"', b'2125550111,A,d,"' + b"t\n" * 3]
)
def test_a_quote_that_is_never_closed_swallows_no_other_row(reminder: Campaign, opened: bytes) -> None:
    behind = b"".join(b"303555%04d,B,d,t\n" % number for number in range(100, 150))
    contacts = [row for row in read(reminder, HEADER + opened + b"\n" + behind) if isinstance(row, Contact)]
    assert [contact.phone for contact in contacts] == [f"+1303555{number:04d}" for number in range(100, 150)]


def test_a_quote_that_is_never_closed_is_named_by_the_line_that_it_stands_on(reminder: Campaign) -> None:
    good, bad = read(reminder, HEADER + b'2125550111,A,d,t\n2125550112,"B,d,t\n')
    assert isinstance(good, Contact)
    assert str(bad) == "line 3: opens a quote that is never closed: add its end, or write it twice"


def test_memory_does_not_grow_with_the_file(reminder: Campaign) -> None:
    def lines(count: int) -> Iterator[bytes]:
        yield HEADER
        for number in range(count):
            yield b"212%07d,%s,d,t\n" % (2_000_000 + number, b"x" * 1000)

    def used(count: int) -> int:
        return peak(lambda: sum(1 for _ in read_contacts(io.BufferedReader(Made(lines(count))), reminder)))

    used(10)  # the number library loads its data
    # 2,000 more rows of 1 kB are 2 MB of file. Only the table of numbers grows, by at most 36 bytes for each.
    assert used(3000) - used(1000) < 400_000


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (b"", b"x"),
        (b"2125550111,", b"x"),
        (b'2125550111,"', b"x"),
        (b"2125550111", b",x"),
        (b'2125550111,"', "é".encode()),
    ],
    ids=["a word", "a field", "a quoted field", "fields", "letters of two bytes"],
)
def test_an_endless_line_is_refused_once_and_never_held_in_memory(
    reminder: Campaign, start: bytes, endless: bytes
) -> None:
    def chunks() -> Iterator[bytes]:
        yield HEADER + start
        yield from itertools.repeat(endless * (MB // len(endless)), 200)
        yield b"\n2125550112,B,d,t\n"

    found: list[Contact | RowError] = []
    used = peak(lambda: found.extend(read_contacts(io.BufferedReader(Made(chunks())), reminder)))
    assert [(type(row), row.line) for row in found] == [(RowError, 2), (Contact, 3)]
    assert used < 10 * MB


@pytest.mark.parametrize("line", [b"x\n", b'x","\n', b'"\n', b'"",""\n', b"\n", b'"x\n'])
def test_an_endless_row_is_never_held_in_memory(reminder: Campaign, line: bytes) -> None:
    def chunks() -> Iterator[bytes]:
        yield HEADER + b'2125550111,"'
        yield from itertools.repeat(line * 1000, 5 if line.startswith(b"x") else 200)
        yield b'"\n\n2125550112,B,d,t\n'

    last: deque[Contact | RowError] = deque(maxlen=1)
    used = peak(lambda: last.extend(read_contacts(io.BufferedReader(Made(chunks())), reminder)))
    assert isinstance(last[0], Contact)
    assert used < 5 * MB


def test_a_row_may_not_have_more_lines_than_a_person_writes(reminder: Campaign) -> None:
    note = b"\n" * (LINES_LIMIT - 1)
    assert isinstance(read(reminder, HEADER + b'2125550111,A,d,"t%s"\n' % note)[0], Contact)
    (refused, *_) = read(reminder, HEADER + b'2125550111,A,d,"t%s\n"\n' % note)
    assert "is a quote missing?" in str(refused)


def test_a_row_that_is_too_long_in_bytes_is_refused_and_never_cut(reminder: Campaign) -> None:
    long = "字" * 30_000
    refused, after = read(reminder, HEADER + f"2125550111,{long},{long},d\n2125550112,B,d,t\n".encode())
    assert "line 2: has more than 131,072 bytes" in str(refused)
    assert isinstance(after, Contact)


@pytest.mark.parametrize("first", [b"x" * 50 * MB, b" " * 50 * MB, b"a," * 25 * MB], ids=["word", "blanks", "columns"])
def test_an_endless_first_line_is_refused_unread(reminder: Campaign, first: bytes) -> None:
    file = io.BytesIO(first)
    with pytest.raises(ContactsError, match="is this a CSV file"):
        read_contacts(file, reminder)
    assert file.tell() <= FIELD_LIMIT + 1


def test_the_limits_leave_room_for_every_row_of_people(reminder: Campaign) -> None:
    name = "é" * (FIELD_LIMIT // 2)
    (contact,) = read(reminder, HEADER + f'2125550111,{name},d,"{name}"\n'.encode())
    assert isinstance(contact, Contact)
    assert 4 * len(name) < ROW_LIMIT
