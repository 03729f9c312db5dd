"""Items in batches, as Python 3.12's `itertools.batched` makes them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`, the last one shorter. Nothing is read ahead of the list that is yielded."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
