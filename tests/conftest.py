import socket
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, time
from pathlib import Path

import pytest

from campaigns.campaign import Campaign, load_campaign
from campaigns.tables import RELEASED, WEEKDAYS, CallingWindow
from tests.search import be_steady
from worker.machine.embedded import EmbeddedRedis
from worker.store import Store

be_steady()

ROOT = Path(__file__).parents[1]
NOON = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)  # a Monday: 13:00 in New York, 10:00 in Los Angeles


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedRedis]:
    with tempfile.TemporaryDirectory(prefix="dialout-") as folder, EmbeddedRedis(Path(folder)) as redis:
        yield redis


@pytest.fixture
def store(server: EmbeddedRedis) -> Store:
    store = Store.at(server.url, timeout_s=60)
    store._redis.flushall()
    return store


@pytest.fixture(scope="session")
def reminder() -> Campaign:
    """The sample campaign, as it is rehearsed: its window open at any hour, its brakes released, and no law asked."""
    window = CallingWindow(start=time(0), end=time(23, 59, 59), weekdays=WEEKDAYS, holidays=False)
    sample = load_campaign(ROOT / "campaigns" / "appointment_reminder")
    return sample.model_copy(update={"calling_window": window, "brakes": RELEASED, "rehearsed": True})


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock.getsockname()[1]
