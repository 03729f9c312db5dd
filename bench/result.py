"""What a measurement found: rows of figures, and a verdict."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from os import cpu_count
from pathlib import Path
from typing import Any, Final

from bench.stage import load_average

MARKER: Final = "<!-- {}bench:{} -->"

Figure = str | int | float | None
Row = Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Size:
    """How much to measure."""

    calls: int
    at_once: int


@dataclass(frozen=True)
class Result:
    """One point's figures. Each row has the same columns."""

    point: str
    passed: bool
    verdict: str  # one line, with the figures that decide
    rows: Sequence[Row]
    load: float = field(default_factory=load_average)
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def line(self) -> str:
        """Return the verdict with its name and the machine's load."""
        word = "PASSED" if self.passed else "FAILED"
        return f"{word}: {self.point}: {self.verdict} (load average {self.load} on {cpu_count()} cores)"

    def as_json(self) -> dict[str, Any]:
        """Return everything, for a file."""
        rows = [{name: told(value) for name, value in row.items()} for row in self.rows]
        head = {"point": self.point, "passed": self.passed, "verdict": self.verdict, "at": self.at}
        return head | {"load_average": self.load, "cores": cpu_count(), "rows": rows}


def told(value: Figure) -> Figure:
    """Return a figure as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "never" if math.isinf(value) else None
    return value


def markdown(rows: Sequence[Row]) -> str:
    """Return rows as a table."""
    if not rows:
        return "No figures yet.\n"
    columns = list(rows[0])
    lines = ["| " + " | ".join(name.replace("_", " ") for name in columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(name)) for name in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: Figure) -> str:
    shown = told(value)
    return "–" if shown is None else str(shown).replace("|", "\\|")


def write_docs(page: Path, result: Mapping[str, Any]) -> None:
    """Put a result (as_json) between the page's markers of its point; raises ValueError if there are none."""
    text = page.read_text("utf-8")
    begin, end = MARKER.format("", result["point"]), MARKER.format("/", result["point"])
    if begin not in text or end not in text:
        raise ValueError(f"{page} has no markers {begin} … {end}")
    head, _, rest = text.partition(begin)
    tail = rest.partition(end)[2]
    words = "passed" if result["passed"] else "FAILED"
    told_at = f"{result['at']}, load average {result['load_average']} on {result['cores']} cores"
    body = f"{begin}\n{markdown(result['rows'])}\n{words}: {result['verdict']} ({told_at})\n{end}"
    page.write_text(head + body + tail, "utf-8")


def dump(result: Result) -> str:
    """Return a result as text."""
    return json.dumps(result.as_json(), indent=1, ensure_ascii=False)
