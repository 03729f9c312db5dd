"""The auditor reads the telephone network's records and the files of a run. Of the dialer it reads the results only."""

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from .cast import DELAYS, MAX_ATTEMPTS, Cast, Part

TOLERANCE_S: Final = 0.3
"""How far the clocks of the dialer's store and of the network may differ: both are clocks of this machine."""

_DEFINITE: Final = {401, 402, 403, 404, 422, 429}
"""Status codes after which the same attempt may be sent again: no telephone rang."""

_FITS: Final[Mapping[str, set[str]]] = {
    "busy": {"busy"},
    "no-answer": {"no_answer"},
    # Hung up before it was answered: the list says canceled, the reason is ours.
    "canceled": {"canceled", "unconfirmed"},
    # The list gives no cause; a callback does.
    "failed": {"failed", "rejected", "invalid_number"},
    "completed": {
        "completed",
        "callback",
        "do_not_call",
        "wrong_number",
        "voicemail",
        "no_answer",
        "rejected",
        "failed",
    },
}
"""The dispositions that fit each status of a call in the network's records."""


@dataclass
class AuditVerdict:
    """What the auditor has counted, and what it has found."""

    contacts: int = 0
    calls: int = 0
    posts: int = 0
    ambiguous: int = 0
    callbacks: int = 0
    dropped: int = 0
    doubled: int = 0
    dispositions: Counter[str] = field(default_factory=Counter)
    rung_twice: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    outside_the_rules: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """True if nothing was found."""
        return not (self.rung_twice or self.lost or self.outside_the_rules or self.wrong)

    def __str__(self) -> str:
        kinds = ("rung_twice", "lost", "outside_the_rules", "wrong")
        return ", ".join(f"{len(getattr(self, kind))} {kind.replace('_', ' ')}" for kind in kinds)

    def sentences(self) -> list[str]:
        """Return everything that was found, a sentence each."""
        return [*self.rung_twice, *self.lost, *self.outside_the_rules, *self.wrong]


@dataclass(frozen=True)
class Rung:
    """One call, with the attempt that asked for it."""

    attempt: str
    to: str
    status: str
    created_at: datetime
    ended_at: datetime | None

    @property
    def contact(self) -> str:
        """The contact's id."""
        return self.attempt.partition("#")[0]

    @property
    def number(self) -> int:
        """The attempt's number: 1 is the contact's first."""
        return int(self.attempt.partition("#")[2])


def audit(cast: Cast, records: Path) -> AuditVerdict:
    """Compare the network's records with the files of a run that has ended."""
    verdict = AuditVerdict()
    posts, calls = _read(records)
    for call in calls.values():
        sent = [entry for entry in call["callbacks"] if not entry.get("dropped")]
        verdict.callbacks += len(call["callbacks"])
        verdict.dropped += len(call["callbacks"]) - len(sent)
        steps = Counter(entry["event"] for entry in sent if entry["event"])
        verdict.doubled += steps.total() - len(steps)
    verdict.calls, verdict.posts = len(calls), sum(map(len, posts.values()))
    verdict.ambiguous = sum(
        bool(post["fault"]) and post["status"] not in _DEFINITE for p in posts.values() for post in p
    )
    rung = _per_attempt(posts, calls, verdict)
    _per_number(cast, rung, verdict)
    files = Counter(row["phone"] for part in cast.parts for row in _rows(part.contacts))
    for part in cast.parts:
        shared = {phone for phone, count in files.items() if count > 1}
        _per_contact(part, rung, verdict, shared=shared, held=shared | _want_another_call(cast))
    return verdict


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the network's records so far. It may be writing: a last line that is not complete yet is left out."""
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def audit_posts(records: Path) -> list[str]:
    """Return a sentence for every attempt that was sent twice, while a run goes on."""
    verdict = AuditVerdict()
    _per_attempt(*_read(records), verdict)
    return [sentence for sentence in verdict.rung_twice if sentence.startswith("attempt")]


def _read(records: Path) -> tuple[dict[str, list[Mapping[str, Any]]], dict[str, Mapping[str, Any]]]:
    """Return the requests by attempt and the calls by sid."""
    posts: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    calls: dict[str, Mapping[str, Any]] = {}
    for record in read_records(records):
        if record["record"] == "request":
            posts[_attempt_of(record)].append(record)
        elif record["record"] == "call" and record["direction"] == "outbound":
            calls[record["call_sid"]] = record
    return posts, calls


def _attempt_of(post: Mapping[str, Any]) -> str:
    return parse_qs(urlsplit(post["status_callback"]).query)["attempt"][0]


def _per_attempt(
    posts: Mapping[str, list[Mapping[str, Any]]], calls: Mapping[str, Mapping[str, Any]], verdict: AuditVerdict
) -> list[Rung]:
    rung: list[Rung] = []
    for attempt, sent in posts.items():
        for earlier, later in pairwise(sent):
            if earlier["call_sid"] or earlier["status"] not in _DEFINITE:
                verdict.rung_twice.append(
                    f"attempt {attempt} was sent at {earlier['at']} (answered {earlier['status']}, {earlier['fault']}) "
                    f"and again at {later['at']}"
                )
        for post in sent:
            if post["retry_count"] not in {None, "0"}:
                verdict.rung_twice.append(f"attempt {attempt} was sent again by the SDK at {post['at']}")
            if call := calls.get(post["call_sid"] or ""):
                ended = datetime.fromisoformat(call["ended_at"]) if call["ended_at"] else None
                created = datetime.fromisoformat(call["created_at"])
                rung.append(Rung(attempt, call["to"], call["status"], created, ended))
    if unknown := set(calls) - {post["call_sid"] for sent in posts.values() for post in sent}:
        verdict.rung_twice += [f"the call {sid} was asked for by no attempt" for sid in unknown]
    return rung


def _per_number(cast: Cast, rung: list[Rung], verdict: AuditVerdict) -> None:
    banned = set(cast.do_not_call.read_text("utf-8").split())
    zones = {row["phone"]: ZoneInfo(row["timezone"]) for part in cast.parts for row in _rows(part.contacts)}
    opens, closes = map(time.fromisoformat, cast.window)
    by_number: dict[str, list[Rung]] = defaultdict(list)
    for one in sorted(rung, key=lambda one: one.created_at):
        by_number[one.to].append(one)
    for number, ones in by_number.items():
        if number in banned:
            verdict.outside_the_rules.append(f"{number} is on the do-not-call list and was rung")
        if number not in zones:
            verdict.outside_the_rules.append(f"{number} is in no file and was rung")
            continue
        for one in ones:
            local = one.created_at.astimezone(zones[number]).time()
            if not opens <= local < closes:
                verdict.outside_the_rules.append(f"{number} was rung at {local}, outside {opens} to {closes}")
        for earlier, later in pairwise(ones):
            if earlier.ended_at is None or later.created_at < earlier.ended_at:
                verdict.rung_twice.append(f"{number} was rung at {later.created_at} while a call to it went on")
    by_contact: dict[str, list[Rung]] = defaultdict(list)
    for one in rung:
        by_contact[one.contact].append(one)
    for ones in by_contact.values():
        _intervals(sorted(ones, key=lambda one: one.created_at), verdict)


def _intervals(ones: list[Rung], verdict: AuditVerdict) -> None:
    if len(ones) > MAX_ATTEMPTS:
        verdict.outside_the_rules.append(f"{ones[0].to} was rung {len(ones)} times")
    for earlier, later in pairwise(ones):
        least = {"busy": DELAYS["busy"], "no-answer": DELAYS["no_answer"]}.get(earlier.status, min(DELAYS.values()))
        gap_s = (later.created_at - (earlier.ended_at or later.created_at)).total_seconds()
        if gap_s < least - TOLERANCE_S:
            verdict.outside_the_rules.append(
                f"{later.to} was rung again {gap_s:.1f} s after {earlier.status}, not after {least} s"
            )


def _want_another_call(cast: Cast) -> set[str]:
    """Return the numbers of people who always ask to be called again. By law they must wait until the next day."""
    return {row["phone"] for row in _rows(cast.people) if row["person"] == "callback"}


def _per_contact(part: Part, rung: list[Rung], verdict: AuditVerdict, *, shared: set[str], held: set[str]) -> None:
    results = {row["phone"]: row for row in _rows(part.results)}
    last: dict[tuple[str, int], list[Rung]] = defaultdict(list)
    for one in rung:
        last[one.to, one.number].append(one)
    for row in _rows(part.contacts):
        verdict.contacts += 1
        result = results.get(row["phone"])
        if result is None or result["state"] not in {"done", "refused"} or not result["disposition"]:
            was = f"it is {result['state']}" if result else "it is not in the results"
            verdict.lost.append(f"{part.name}, {row['phone']}: no outcome, {was}")
            continue
        verdict.dispositions[result["disposition"]] += 1
        # A number in both files has calls of both campaigns, and the network cannot tell them apart: one of them must fit.
        # An unconfirmed attempt may have had no call.
        final = [one.status for one in last[row["phone"], int(result["attempts"])]]
        unknown = row["phone"] in shared and result["disposition"] == "unconfirmed"
        # A contact that waited for its next attempt when the campaign was stopped is canceled, whatever its last attempt
        # came to. After a talk, a contact waits only if it asked for another call, or is in both files.
        stopped = result["disposition"] == "canceled" and "stopped" in result["reason"]
        stopped = stopped and ("completed" not in final or row["phone"] in held)
        if (
            final
            and not unknown
            and not stopped
            and not any(result["disposition"] in _FITS[status] for status in final)
        ):
            verdict.wrong.append(
                f"{part.name}, {row['phone']}: the network says {', '.join(final)}, the dialer {result['disposition']} "
                f"({result['reason']})"
            )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
