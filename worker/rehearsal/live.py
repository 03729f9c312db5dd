"""A live rehearsal: the whole system on this machine, every process as in production, but for the telephone network."""

import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import time as time_of_day
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, RowError, read_contacts
from campaigns.places import Place, place_of
from campaigns.tables import RELEASED, WEEKDAYS, CallingWindow, Pacing, Retry
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import Processes, free_port, wait_for_port
from worker.rehearsal import compare
from worker.rehearsal.ensemble import Ensemble
from worker.settings import load_settings
from worker.store import Store
from worker.store.values import Status

RETRY_AFTER: Final = timedelta(seconds=3)
"""The retry delay of a rehearsal, in place of each of the campaign's."""

RING_SCALE: Final = 0.1
"""Factor on the time for which a phone rings unanswered: 30 s become 3 s."""


def hurried(campaign: Campaign) -> Campaign:
    """Return the campaign with short waits, an open window, released brakes and no law, and otherwise as it is."""
    retry = campaign.retry.model_dump()
    for disposition, delays in retry.items():
        if isinstance(delays, tuple):
            retry[disposition] = tuple(RETRY_AFTER for _ in delays)
    window = CallingWindow(start=time_of_day(0), end=time_of_day(23, 59, 59), weekdays=WEEKDAYS, holidays=False)
    return campaign.model_copy(
        update={
            "pacing": Pacing(calls_per_second=5, lines=10),
            "retry": Retry.model_validate(retry),
            "calling_window": window,
            # No operator is there to approve, and the people of a rehearsal hang up early more often than real people.
            "brakes": RELEASED.model_copy(update={"abandoned": campaign.brakes.abandoned}),
            "rehearsed": True,
        }
    )


@dataclass
class LiveRehearsed:
    """What came of a live rehearsal."""

    outcomes: list[dict[str, Any]]
    disagreements: list[str]
    row_errors: list[RowError] = field(default_factory=list)
    seconds: float = 0.0


class LiveStage(Ensemble):
    """An embedded Redis, the sandbox with the bot, callbacks, worker and beat, in a folder of their own."""

    def __init__(
        self, folder: Path, people: Path, *, record: Path | None = None, overrides: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.records = folder / "records.jsonl"
        self.port = free_port()
        self.environment: dict[str, str] = {}
        self._people, self._record, self._overrides = people, record, overrides or {}
        super().__init__(EmbeddedRedis(folder, binary=load_settings().redis_server_bin), Processes(folder))

    def close_the_books(self) -> None:
        """End the processes, so that every record is written."""
        self._processes.stop()

    def _start(self) -> None:
        base = {
            "REDIS_URL": self._redis.url,
            "DIALOUT_DATA": str(self.folder),
            "BRIEF_SECRET": secrets.token_urlsafe(32),
            "PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "CALLS_PER_SECOND": "5",
            "LINES": "10",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")))),
        } | dict(self._overrides)
        options = ["--people", str(self._people), "--records", str(self.records), "--ring-scale", str(RING_SCALE)]
        options += ["--telnyx-port", "0", "--providers-port", "0", "--agent-port", "0"]
        if self._record:
            options += ["--record", str(self._record)]
        settings = self._processes.start_sandbox(options, base)
        self.environment = base | settings.read("# starting")
        self._processes.start_dialer(self.environment, port=self.port)
        settings.read("# ready")
        wait_for_port(self.port, self._processes)


def rehearse(
    campaign: Campaign,
    contacts: Path,
    folder: Path,
    *,
    show: Callable[[Status | None, str], None],
    record: Path | None = None,
    limit_s: float = 600.0,
) -> LiveRehearsed:
    """Run a campaign against the sandbox and audit it. `show` is called a few times a second with its status."""
    began = time.monotonic()
    campaign = hurried(campaign)
    show(None, "starting Redis, the sandbox, the bot, callbacks, worker and beat")
    with LiveStage(folder, contacts, record=record) as stage:
        store = stage.store
        errors = _enlist(store, campaign, contacts)
        deadline = time.monotonic() + limit_s
        while True:
            stage.check()
            status = store.reading.status(campaign.name)
            show(status, "ringing")
            if not status.due and not status.live:
                break
            if time.monotonic() > deadline:
                break
            time.sleep(0.3)
        outcomes = store.reading.outcomes(campaign.name)
        show(status, "hanging up, and comparing the books")
        stage.close_the_books()
        records = compare.read_records(stage.records)
    found = compare.disagreements(outcomes, records, RETRY_AFTER.total_seconds() - 1)
    return LiveRehearsed(outcomes, found, errors, time.monotonic() - began)


def _enlist(store: Store, campaign: Campaign, contacts: Path) -> list[RowError]:
    store.campaigns.define(campaign)
    errors: list[RowError] = []
    batch: list[tuple[Contact, Place]] = []
    with contacts.open("rb") as file:
        for row in read_contacts(file, campaign):
            if isinstance(row, RowError):
                errors.append(row)
            else:
                batch.append((row, place_of(row)))
    store.contacts.enlist(campaign, batch, store.now())
    return errors
