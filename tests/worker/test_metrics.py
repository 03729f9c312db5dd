"""What Prometheus reads."""

import re

import httpx
from callbacks_server import dialed

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from worker.dialing import concluding
from worker.rules.brakes import Stop
from worker.rules.evidence import CallEvent, CallState
from worker.rules.settlement import DialAnswer
from worker.store import Store, witnesses

SAMPLE = re.compile(r'dialout_[a-z_]+(\{[a-z]+="[a-z_]+"(,[a-z]+="[a-z_]+")*\})? [0-9.e+-]+')


def test_metrics_tell_lines_contacts_and_silence_and_nothing_of_people(
    callbacks: httpx.Client, store: Store, reminder: Campaign
) -> None:
    attempt_id = dialed(store, reminder)
    store.attempts.witness(attempt_id, witnesses.told(CallEvent("v3:1", CallState.ANSWERED)))
    store._redis.hset(f"{{dialout}}:odds:{reminder.name}", "silent", 3)
    store.callers.call_began("v3:in")
    answer = callbacks.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert [line for line in samples if not SAMPLE.fullmatch(line)] == []
    for expected in (
        'dialout_lines_busy{direction="outbound"} 1.0',
        'dialout_lines_busy{direction="inbound"} 1.0',
        "dialout_ringing 0.0",
        f'dialout_contacts{{campaign="{reminder.name}",state="live"}} 1.0',
        f'dialout_silent_answers_total{{campaign="{reminder.name}"}} 3.0',
    ):
        assert expected in samples
    assert "# TYPE dialout_silent_answers_total counter" in answer.text
    assert "# TYPE dialout_contacts gauge" in answer.text
    assert "+1212" not in answer.text


def test_metrics_tell_what_the_brakes_have_counted_and_which_of_them_holds(
    callbacks: httpx.Client, store: Store, reminder: Campaign
) -> None:
    attempt_id = dialed(store, reminder)
    refused = witnesses.dialed(DialAnswer(refused=Disposition.FAILED, reason="no profile"))
    store.attempts.witness(attempt_id, refused, token="t")
    concluding.conclude(store, attempt_id)
    assert store.brakes.pull(reminder.name, Stop("failed", "too many"))
    samples = callbacks.get("/metrics").text.splitlines()
    of = f'campaign="{reminder.name}"'
    for expected in (
        f"dialout_running{{{of}}} 0.0",
        f'dialout_held{{{of},rule="failed"}} 1.0',
        f'dialout_attempts{{{of},mark="failed"}} 1.0',
        f"dialout_abandoned_share{{{of}}} 0.0",
        'dialout_caller_ids{state="free"} 1.0',
        'dialout_caller_ids{state="not_ours"} 0.0',
    ):
        assert expected in samples
