"""A warm shutdown waits for every POST under way, and for its record."""

import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from celery import Celery
from claiming import claim

from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import WORKER, Processes
from worker.store import Store

PATIENCE_S = 60
HOLDS_S = 2.0


class SlowCarrier(ThreadingHTTPServer):
    """A carrier that takes a call, and holds its answer until it is told to let go."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.arrived, self.let_go = threading.Event(), threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: SlowCarrier  # type: ignore[assignment]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.arrived.set()
        self.server.let_go.wait(PATIENCE_S)
        body = json.dumps({"call_sid": "v3:held"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def slow_carrier() -> Iterator[SlowCarrier]:
    with SlowCarrier() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.let_go.set()
        server.shutdown()
        thread.join()


def claimed(store: Store, campaign: Campaign) -> str:
    store.campaigns.define(campaign)
    contact = Contact("+12125550111", {"name": "Ada", "day": "Tuesday", "time": "nine"}, 2)
    store.contacts.enlist(campaign, [(contact, place_of(contact))], store.now())
    (attempt_id,) = claim(store, campaign)
    return attempt_id


@pytest.fixture
def queue(server: EmbeddedRedis) -> Iterator[Celery]:
    url = re.sub(r"^unix://(.*)\?db=0$", r"redis+socket://\1?virtual_host=0", server.url)
    with Celery(broker=url) as queue:
        queue.conf.broker_transport_options = {"global_keyprefix": "celery:"}
        yield queue


def active(queue: Celery) -> list[str]:
    """What the workers say that they are doing."""
    told = queue.control.inspect(timeout=5).active() or {}
    return [task["name"] for tasks in told.values() for task in tasks]


def test_a_worker_that_is_told_to_end_ends_after_the_answer_to_its_post_was_recorded(
    server: EmbeddedRedis, store: Store, reminder: Campaign, slow_carrier: SlowCarrier, queue: Celery, tmp_path: Path
) -> None:
    environment = {
        "REDIS_URL": server.url, "DIALOUT_DATA": str(tmp_path / "data"), "TELNYX_API_KEY": "k", "TELNYX_TEXML_APP_ID": "1",
        "TELNYX_BASE_URL": f"http://127.0.0.1:{slow_carrier.server_address[1]}/v2", "CALLER_IDS": "+12125550100",
        "PUBLIC_URL": "https://x.example", "BRIEF_SECRET": "s", "STREAM_URL": "ws://x", "CARRIER_TIMEOUT_S": "30",
    }  # fmt: skip
    log = tmp_path / "worker.log"
    with Processes(tmp_path) as processes:
        worker = processes.start("worker", [*WORKER, "--loglevel", "INFO"], environment)
        deadline = time.monotonic() + PATIENCE_S
        while "ready." not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            processes.check()
            time.sleep(0.1)
        attempt_id = claimed(store, reminder)
        queue.send_task("worker.tasks.place_call", [attempt_id], queue="dial", exchange="dial", routing_key="dial")
        assert slow_carrier.arrived.wait(PATIENCE_S), log.read_text()
        assert active(queue) == ["worker.tasks.place_call"], "Celery knows of the POST"
        worker.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.wait(HOLDS_S)
        case = store.attempts.case(attempt_id)
        assert case
        assert case.evidence.dial is None, "nothing is recorded yet"
        slow_carrier.let_go.set()
        assert worker.wait(PATIENCE_S) == 0
    case = store.attempts.case(attempt_id)
    assert case
    assert case.evidence.dial
    assert case.evidence.dial.call_sid == "v3:held"
