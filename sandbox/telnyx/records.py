"""Call detail records: everything that the network did, and when, as JSON Lines. Audits compare the dialer's records with them."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def timestamp(at: datetime | None = None) -> str:
    """Return an instant (by default, now) as ISO 8601 in UTC, to the millisecond."""
    return (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Records:
    """Keeps records in memory and in a file. Each is flushed at once, so that a crash hides nothing."""

    def __init__(self, path: Path | None = None) -> None:
        self.kept: list[dict[str, Any]] = []
        self._file = path.open("a", encoding="utf-8") if path else None

    def write(self, record: str, **details: Any) -> None:
        """Keep one record."""
        entry = {"record": record, "at": timestamp(), **details}
        self.kept.append(entry)
        if self._file:
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()

    def of(self, record: str) -> list[dict[str, Any]]:
        """Return the records of one kind."""
        return [entry for entry in self.kept if entry["record"] == record]
