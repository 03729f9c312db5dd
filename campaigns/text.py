"""The lines of a file as text. If a row turns out to be broken, the lines after its first one can be read again."""

import csv
from collections import deque
from typing import Final, Protocol, Self

FIELD_LIMIT: Final = 32_768
"""Characters that one field may have. A longer one begins with a quote that was never closed."""

ROW_LIMIT: Final = 4 * FIELD_LIMIT
"""Bytes that one row may have. A longer one is no row of contacts, and is never held in memory as a whole."""

LINES_LIMIT: Final = 200
"""Lines that one row may span. A broken row has its lines read again, so this bounds the work."""


class Source(Protocol):
    """What reading contacts needs of a file that is open in binary mode."""

    def readline(self, size: int, /) -> bytes:
        """Return the rest of the line, at most `size` bytes of it; nothing at the end of the file."""
        ...


class RereadableText:
    """The lines after the header, counted, as text. Bytes that are not UTF-8 become U+FFFD, and the row is refused for them."""

    def __init__(self, file: Source, *, start: int) -> None:
        """Begin after line `start` of the file."""
        self._file = file
        self._line = start
        self._row: list[bytes] = []
        self._size = 0
        self._again: deque[bytes] = deque()

    def begin_row(self) -> int:
        """Begin a row; return the number of the line that it begins on."""
        self._row, self._size = [], 0
        return self._line + 1

    def keep_first_line(self) -> str:
        """Give up the row that was begun: return its first line, and read the lines after it again."""
        self._again.extendleft(reversed(self._row[1:]))
        self._line -= len(self._row) - 1
        return self._row[0].decode("utf-8", "replace")

    def __iter__(self) -> Self:
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
        while rest and not rest.endswith(b"\n"):  # skip the rest of a line that is longer than a row may be
            rest = self._file.readline(ROW_LIMIT)
        return line
