"""On which line of a file each number first stood: a dict of int to int, in two arrays."""

from array import array


class FirstSeen:
    """An open-addressed hash table with linear probing. It is never fuller than two thirds."""

    def __init__(self) -> None:
        self._mask = (1 << 12) - 1
        self._keys = array("Q", bytes(8 * (self._mask + 1)))
        self._lines = array("I", bytes(4 * (self._mask + 1)))
        self._count = 0

    def line_of(self, phone: str, line: int) -> int:
        """Return the line on which this E.164 number first stood, or 0 if `line` is the first; then remember it."""
        key = int(phone[1:])  # at most 15 digits (E.164), and never 0, which marks a free slot
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
        slot = (key * 0x9E3779B97F4A7C15 >> 20) & mask  # Fibonacci hashing spreads numbers that follow each other
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
