"""Many things, some at a time, as `itertools.batched` of Python 3.12 does it."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of so many items in order, the last one shorter; no more is read than is yielded."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
