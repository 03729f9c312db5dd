"""Compares the dialer's records with those of the telephone network, which knows nothing of the dialer."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from worker.rules.states import OVER

_EXPECTED: Final[Mapping[str, frozenset[str]]] = {
    "busy": frozenset({"busy"}),
    "no-answer": frozenset({"no_answer"}),
    "canceled": frozenset({"canceled"}),
    "failed": frozenset({"failed", "rejected", "invalid_number"}),
}
"""How a call ended that nobody answered, by the network -> the dispositions that the dialer may give it."""

_TALKED: Final = frozenset(
    {"completed", "callback", "do_not_call", "wrong_number", "voicemail", "no_answer", "rejected", "failed"}
)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read call detail records (JSON Lines).

    A row that is not complete JSON, such as a last one cut off, is left out.
    """
    records: list[dict[str, Any]] = []
    for line in path.read_text("utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    return records


def disagreements(
    outcomes: Sequence[Mapping[str, Any]], records: Iterable[Mapping[str, Any]], retry_after_s: float = 0.0
) -> list[str]:
    """Return a sentence for each difference between the two records; an empty list if they agree.

    `outcomes` are rows of `dialout results`; `retry_after_s` is the shortest interval between two rings of a number
    that the campaign allows.
    """
    calls: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    found: list[str] = []
    for record in records:
        if record["record"] == "call" and record["direction"] == "outbound":
            calls[record["to"]].append(record)
    for outcome in outcomes:
        found += _of_contact(outcome, calls.pop(outcome["phone"], []), retry_after_s)
    found += [
        f"{_masked(number)} was rung {len(rung)} times, and is not a contact's number" for number, rung in calls.items()
    ]
    return found


def _of_contact(outcome: Mapping[str, Any], calls: list[Mapping[str, Any]], retry_after_s: float) -> list[str]:
    who = f"line {outcome['line']}"
    found: list[str] = []
    if outcome["state"] not in OVER or not outcome["disposition"]:
        found.append(f"{who} has no outcome: it is {outcome['state']}")
    if len(calls) != outcome["attempts"]:
        found.append(
            f"{who} was rung {len(calls)} times by the network's records, {outcome['attempts']} by the dialer's"
        )
    calls.sort(key=lambda call: call["created_at"])
    for earlier, later in pairwise(calls):
        ended, began = earlier["ended_at"], later["created_at"]
        gap_s = (datetime.fromisoformat(began) - datetime.fromisoformat(ended)).total_seconds() if ended else -1.0
        if gap_s < retry_after_s:
            found.append(f"{who} was rung again {gap_s:.1f} s after the call before it ended (-1.0: it had not ended)")
    if calls and outcome["attempts"]:
        last = calls[-1]
        if outcome["call_sid"] != last["call_sid"]:
            found.append(f"{who}: the dialer names another call than the network's last one")
        expected = _EXPECTED.get(last["status"], _TALKED)
        if outcome["disposition"] not in expected:
            found.append(f"{who}: the network says {last['status']}, the dialer {outcome['disposition']}")
    return found


def _masked(number: str) -> str:
    return f"{number[:5]}…{number[-2:]}"
