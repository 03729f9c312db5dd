"""What Prometheus reads."""

import re

import httpx
from callbacks_server import dialed

from campaigns.campaign import Campaign
from worker import ledger
from worker.evidence import CallEvent, CallState
from worker.store import Store

SAMPLE = re.compile(r'dialout_[a-z_]+(\{[a-z]+="[a-z_]+"(,[a-z]+="[a-z_]+")*\})? [0-9.e+-]+')


def test_metrics_tell_lines_contacts_and_silence_and_nothing_of_people(
    callbacks: httpx.Client, store: Store, reminder: Campaign
) -> None:
    attempt_id = dialed(store, reminder)
    store.witness(attempt_id, ledger.told(CallEvent("v3:1", CallState.ANSWERED)))
    store._redis.hset(f"{{dialout}}:odds:{reminder.name}", "silent", 3)
    store.rings_us("v3:in")
    answer = callbacks.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert [line for line in samples if not SAMPLE.fullmatch(line)] == []
    for expected in (
        'dialout_lines_busy{direction="outbound"} 1',
        'dialout_lines_busy{direction="inbound"} 1',
        "dialout_ringing 0",
        f'dialout_contacts{{campaign="{reminder.name}",state="live"}} 1',
        f'dialout_silent_answers_total{{campaign="{reminder.name}"}} 3',
    ):
        assert expected in samples
    assert "+1212" not in answer.text
