"""Rehearses days of a campaign in about a minute: the functions that the tasks call, on a clock that jumps."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from datetime import time as time_of_day
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, RowError, read_contacts
from campaigns.places import Place, place_of
from worker.dialing import own_numbers
from worker.dialing.collaborators import Dialer
from worker.machine.embedded import EmbeddedRedis
from worker.rehearsal.fast.event_clock import EventClock
from worker.rehearsal.fast.findings import Allowance, Findings, audit, local
from worker.rehearsal.fast.loop import Loop, Show
from worker.rehearsal.fast.network import FastNetwork
from worker.rehearsal.fast.odds import Odds
from worker.rules.do_not_call import Registry, registries_asked
from worker.rules.states import CampaignState, ContactState
from worker.settings import Settings
from worker.store import Store, redis_server

_AUTUMN: Final = (2026, 9, 1)
"""The day from which on a change of the clocks is looked for."""

_STARTS_AT: Final = time_of_day(14)

_ENDED: Final = frozenset({ContactState.DONE, ContactState.REFUSED})


@dataclass
class DaysRehearsed:
    """What came of a fast rehearsal."""

    start: datetime
    end: datetime
    verdict: Findings
    outcomes: list[dict[str, Any]]  # as of `dialout results`
    state: CampaignState
    why: str
    pauses: list[tuple[datetime, str]]  # when the campaign stopped by itself, and why
    row_errors: list[RowError]
    requests: int
    calls: int
    calls_to_us: int
    requests_by_hour: Mapping[int, int]  # by the hour where the contact is
    postponed_by: Mapping[str, int]  # rule -> how often it kept an attempt from being dialed
    broken: list[str]  # tasks that raised an error
    seconds: float

    @property
    def sentences(self) -> list[str]:
        """All that was found against the rehearsal; it has passed if there is nothing."""
        return [*self.verdict.sentences, *self.broken]

    def facts(self) -> dict[str, Any]:
        """Return what `--json` prints: see docs/json.md."""
        return {
            "passed": not self.sentences,
            "findings": self.sentences,
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "state": self.state.value,
            "why": self.why,
            "pauses": [{"at": at.isoformat(), "why": why} for at, why in self.pauses],
            "contacts": len(self.outcomes),
            "rows_refused": len(self.row_errors),
            "requests": self.requests,
            "calls": self.calls,
            "calls_to_us": self.calls_to_us,
            "most_lines": self.verdict.most_lines,
            "silent": self.verdict.silent,
            "cold": self.verdict.cold,
            "waiting": self.verdict.waiting,
            "dispositions": dict(sorted(self.dispositions().items())),
            "requests_by_hour": {str(hour): self.requests_by_hour[hour] for hour in sorted(self.requests_by_hour)},
            "postponed_by": dict(sorted(self.postponed_by.items())),
        }

    def dispositions(self) -> Counter[str]:
        """Count the contacts by how they ended; those that wait for another day are `due`."""
        return Counter(row["disposition"] if row["state"] in _ENDED else row["state"] for row in self.outcomes)


def friday_before_the_clocks_change(zone: str) -> datetime:
    """Return a Friday afternoon in a zone: the last one before the clocks change there, if they change."""
    place = ZoneInfo(zone)
    noons = [datetime(*_AUTUMN, 12, tzinfo=place) + timedelta(days=day) for day in range(366)]
    changes = [late for early, late in pairwise(noons) if early.utcoffset() != late.utcoffset()]
    day = changes[0] if changes else noons[-1]
    friday = day - timedelta(days=(day.weekday() - 4) % 7 or 7)
    return datetime.combine(friday.date(), _STARTS_AT, tzinfo=place)


def rehearse(
    campaign: Campaign,
    contacts: Path,
    folder: Path,
    settings: Settings,
    *,
    days: float,
    odds: Odds,
    start: datetime | None = None,
    show: Show,
) -> DaysRehearsed:
    """Run a campaign's days from `start` on, in this process, and audit them. The limits are those of the settings."""
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    settings = _own(settings, folder, campaign)
    rows, errors = _read(contacts, campaign)
    places = {contact.phone: place_of(contact) for contact in rows}
    zones = {phone: place.zones for phone, place in places.items()}
    start = start or friday_before_the_clocks_change(_most_common_zone(zones))
    with EmbeddedRedis(folder, durable=False) as server:
        # The salt: one seed, one order of claims, one outcome.
        salt = f"rehearsal {odds.seed}".encode()
        store = Store(redis_server.connect(server.url, 5.0), salt=salt, monotonic=lambda: clock.now_ms / 1000)
        clock = EventClock(round(start.timestamp() * 1000), lambda now_ms: setattr(store, "clock_ms", now_ms))
        own = own_numbers.pool_of(campaign, settings)
        network = FastNetwork(clock, store, settings, odds, zones=zones, own=own)
        loop = Loop(Dialer(store, network, settings, clock), campaign, network, clock, show=show)
        _enlist(store, campaign, rows, places)
        loop.run(start + timedelta(days=days))
        outcomes, status, end = store.reading.outcomes(campaign.name), store.reading.status(campaign.name), store.now()
        postponed_by = _postponed_by(store, campaign, zones)
    _write_records(folder / "records.jsonl", network)
    posts, calls = network.posts, list(network.calls.values())
    return DaysRehearsed(
        start=start,
        end=end,
        verdict=audit(
            campaign,
            _allowance(campaign, settings),
            zones,
            posts=posts,
            calls=calls,
            outcomes=outcomes,
            approved_ms=loop.approved_ms,
        ),
        outcomes=outcomes,
        state=status.state,
        why=status.why,
        pauses=loop.pauses,
        row_errors=errors,
        requests=len(posts),
        calls=sum(not call.inbound for call in calls),
        calls_to_us=sum(call.inbound for call in calls),
        requests_by_hour=Counter(local(post.at_ms, next(iter(zones[post.to]))).hour for post in posts),
        postponed_by=postponed_by,
        broken=[f"{error} ({times} times)" for error, times in loop.broken.items()],
        seconds=time.monotonic() - began,
    )


def _own(settings: Settings, folder: Path, campaign: Campaign) -> Settings:
    """Return the operator's settings, without the addresses and keys that lead out of this process."""
    return settings.model_copy(
        update={
            "data_dir": folder,
            "telnyx_api_key": SecretStr("none"),
            "telnyx_texml_app_id": "none",
            "public_url": "https://rehearsal.invalid",
            "stream_url": "wss://rehearsal.invalid/ws",
            "brief_secret": SecretStr("rehearsal"),
            "caller_ids": settings.caller_ids or (campaign.callback_number,),
        }
    )


def _enlist(store: Store, campaign: Campaign, rows: Sequence[Contact], places: Mapping[str, Place]) -> None:
    store.campaigns.define(campaign)
    for name in registries_asked(campaign):  # none of these numbers is on it: they are reserved for fiction
        store.do_not_call.record_import(name, Registry(store.now().date(), "marketing"))
    store.contacts.enlist(campaign, [(contact, places[contact.phone]) for contact in rows], store.now())


def _allowance(campaign: Campaign, settings: Settings) -> Allowance:
    lines = settings.lines - settings.lines_for_inbound
    if own := settings.lines_per_caller_id * len(own_numbers.pool_of(campaign, settings)):
        lines = min(lines, own)
    return Allowance(
        settings.calls_per_second, lines, settings.caller_id_cool_down_s, settings.calls_per_caller_id_per_day
    )


def _postponed_by(store: Store, campaign: Campaign, numbers: Iterable[str]) -> Counter[str]:
    ids = (store.contacts.id_of(campaign.name, number) for number in numbers)
    entries = (entry for contact_id in ids for entry in store.reading.journal(contact_id))
    return Counter(entry["rule"] for entry in entries if entry["event"] in {"postponed", "withdrawn"})


def _read(file: Path, campaign: Campaign) -> tuple[list[Contact], list[RowError]]:
    contacts: list[Contact] = []
    errors: list[RowError] = []
    with file.open("rb") as lines:
        for row in read_contacts(lines, campaign):
            if isinstance(row, RowError):
                errors.append(row)
            else:
                contacts.append(row)
    return contacts, errors


def _most_common_zone(zones: Mapping[str, Sequence[str]]) -> str:
    counted = Counter(next(iter(theirs)) for theirs in zones.values() if theirs)
    return counted.most_common(1)[0][0] if counted else "UTC"


def _write_records(file: Path, network: FastNetwork) -> None:
    records = [{"record": "request"} | asdict(post) for post in network.posts]
    records += [{"record": "call"} | asdict(call) for call in network.calls.values()]
    file.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
