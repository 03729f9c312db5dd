"""Enlists a file: while Redis takes in one batch, the next batch is read and validated."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, RowError
from campaigns.places import Place
from worker.machine.batches import batches
from worker.store import Store
from worker.store.values import Enlisted

_BATCH: Final = 500
"""Rows in a batch. This many keep Redis from its other clients for less than ten milliseconds."""

_UNDER_WAY: Final = 2
"""Batches that are under way: the one that Redis works on, and one more, so that Redis never waits for us."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of some rows of a file."""

    enlisted: Enlisted = field(default_factory=Enlisted)
    refused: tuple[RowError, ...] = ()

    @property
    def rows(self) -> int:
        """How many rows there were."""
        return self.enlisted.new + self.enlisted.known + len(self.refused)


def enlist(store: Store, campaign: Campaign, rows: Iterable[tuple[Contact, Place] | RowError]) -> Iterator[Batch]:
    """Enlist a file's contacts and record its bad rows, in the order of the file; yields what became of each batch.

    The rows are those of `admission.admitted`.
    """

    def send(batch: list[tuple[Contact, Place] | RowError]) -> Batch:
        good = [row for row in batch if not isinstance(row, RowError)]
        bad = tuple(row for row in batch if isinstance(row, RowError))
        enlisted = store.contacts.enlist(campaign, good, store.now())
        store.contacts.refuse_rows(campaign.name, map(error_facts, bad))
        return Batch(enlisted, bad)

    return _ahead(send, batches(rows, _BATCH), _UNDER_WAY)


def error_facts(error: RowError) -> dict[str, Any]:
    """Return the facts of a bad row as JSON values: see docs/json.md."""
    return {"line": error.line, "column": error.column, "value": error.value, "reason": error.reason}


def _ahead(work: Callable[[T], R], items: Iterable[T], waiting: int) -> Iterator[R]:
    """Yield `work(item)` for each item in order. A thread does the work one by one while the next items are read."""
    with ThreadPoolExecutor(1) as thread:
        under_way: deque[Future[R]] = deque()
        for item in items:
            under_way.append(thread.submit(work, item))
            if len(under_way) > waiting:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
