"""The first sample campaign, a contact for it, and a way to change it."""

from datetime import UTC, datetime
from pathlib import Path

from campaigns.campaign import Addressed
from campaigns.contacts import Contact

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 23, 18, tzinfo=UTC)
ADDRESSED: Addressed = {"attempt_id": "x#1", "report_url": "r", "brief_url": "b", "now": NOW}
ADA = Contact("+12125550111", {"name": "Ada", "day": "Tuesday", "time": "nine"}, 2)
ZONES = ("America/New_York",)


def change(folder: Path, old: str, new: str, file: str = "campaign.toml") -> None:
    path = folder / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
