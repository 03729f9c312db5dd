"""The bot's doors: opting out at once, who the carrier believes has answered, and what a report leaves in the results."""

import csv
import io
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from callbacks_server import NAME, SECRET, changed, dialed, signed, tell

from campaigns.call import (
    SIGNATURE_HEADER,
    DetectionAnswer,
    DetectionQuery,
    Disposition,
    OptOut,
    Report,
    Turn,
    verify_message,
)
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from tests.lateness import Lateness
from worker.cli.why import stories
from worker.dialing import concluding
from worker.machine.embedded import EmbeddedRedis
from worker.rules.evidence import AnsweredBy, CallEvent, CallState, Detection
from worker.store import Store, witnesses
from worker.store.values import Reception
from worker.web.reports import DETECTION_S

PHONE = "+12125550111"
NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def same_salt(store: Store) -> None:
    # The server's process keeps it for life; the store of each test is emptied.
    store._redis.set("{dialout}:salt", "5a" * 16)


@pytest.fixture
def attempt(store: Store, reminder: Campaign, same_salt: None) -> str:
    return dialed(store, reminder)


def opt_out(client: httpx.Client, attempt_id: str) -> int:
    return tell(
        client, "/reports/opt-out", OptOut(attempt_id=attempt_id, reason="they said stop"), "opt-out"
    ).status_code


def report(attempt_id: str, **said: object) -> Report:
    facts = {"report_id": "r", "attempt_id": attempt_id, "disposition": "completed", "reason": "talked"}
    return Report.model_validate(facts | {"started_at": NOW, "ended_at": NOW} | said)


# --- opting out -------------------------------------------------------------------------------------------------------


def test_who_opts_out_is_on_the_list_by_the_answer_and_waits_in_no_campaign(
    callbacks: httpx.Client, store: Store, reminder: Campaign, attempt: str
) -> None:
    other = reminder.model_copy(update={"name": "another"})
    contact = Contact(PHONE, NAME, 2)
    store.campaigns.define(other)
    store.contacts.enlist(other, [(contact, place_of(contact))], store.now())
    assert store.reading.status("another").due == 1
    for _ in range(2):
        assert opt_out(callbacks, attempt) == 200
        listed = store.do_not_call.entries_of(PHONE)
        assert listed
        assert listed[0].source == f"asked during {attempt}"
        status = store.reading.status("another")
        assert (status.due, status.refused, status.dispositions) == (0, 1, {"do_not_call": 1})
    journal = store.reading.journal(store.contacts.id_of(reminder.name, PHONE))
    assert [entry["rule"] for entry in journal if entry["event"] == "heard"] == ["opt_out"]
    (_, story) = stories(store, PHONE)
    assert story.decisions[-1].rule == "do_not_call"


@pytest.mark.parametrize("disposition", ["completed", "callback", "failed", "voicemail"])
@pytest.mark.parametrize("first", ["opt-out", "report"])
def test_no_report_before_or_after_undoes_an_opt_out(
    callbacks: httpx.Client, store: Store, reminder: Campaign, attempt: str, disposition: str, first: str
) -> None:
    said = report(attempt, disposition=disposition, answers={"yes": True})
    steps = [
        lambda: opt_out(callbacks, attempt),
        lambda: tell(callbacks, "/reports", said, "report").status_code,
    ]
    for step in steps if first == "opt-out" else reversed(steps):
        assert step() == 200
        store.attempts.witness(
            attempt, witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.COMPLETED, "ok", 9))
        )
        concluding.conclude(store, attempt)
    (row,) = store.reading.outcomes(reminder.name)
    waited = first == "report" and disposition in {"callback", "failed"}  # and that was withdrawn
    assert (row["state"], row["disposition"]) == ("refused" if waited else "done", "do_not_call")
    assert row["answers"] == {"yes": True}
    assert store.reading.status(reminder.name).due == 0


def test_an_opt_out_without_any_report_is_no_failure_of_ours(
    callbacks: httpx.Client, store: Store, reminder: Campaign, attempt: str
) -> None:
    store.attempts.witness(
        attempt, witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.COMPLETED, "ok", 9))
    )
    assert opt_out(callbacks, attempt) == 200
    store.clock_ms = int((store.now() + timedelta(hours=1)).timestamp() * 1000)
    concluding.conclude(store, attempt)
    (row,) = store.reading.outcomes(reminder.name)
    assert (row["disposition"], row["reason"], row["duration_s"]) == ("do_not_call", "they said stop", 9)


def test_an_opt_out_is_believed_only_if_it_is_signed_as_one_and_names_an_attempt(
    callbacks: httpx.Client, store: Store, attempt: str
) -> None:
    asked = OptOut(attempt_id=attempt)
    assert tell(callbacks, "/reports/opt-out", asked, "report").status_code == 403
    assert (
        tell(callbacks, "/reports/opt-out", DetectionQuery(attempt_id=attempt, known="x"), "opt-out").status_code == 422
    )
    for unknown in ("", "nobody#1", "caller#0", "caller#" + "0" * 20):
        assert opt_out(callbacks, unknown) == 404
    assert list(store.do_not_call.entries()) == []


def test_a_contact_who_rings_back_to_opt_out_is_not_rung_again(
    callbacks: httpx.Client, store: Store, reminder: Campaign, attempt: str
) -> None:
    store.attempts.witness(attempt, witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.BUSY, "busy")))
    concluding.conclude(store, attempt)
    assert store.reading.status(reminder.name).due == 1
    callbacks.post("/telnyx/inbound", **signed({"CallSid": "v3:in", "From": PHONE, "To": "+12125550100"}))
    rang = store.callers.attempt_of("v3:in")
    assert rang
    assert opt_out(callbacks, rang) == 200
    store.clock_ms = int((store.now() + timedelta(hours=1)).timestamp() * 1000)
    concluding.conclude(store, rang)
    status = store.reading.status(reminder.name)
    assert (status.due, status.live, status.dispositions) == (0, 0, {"do_not_call": 1})


# --- who has answered -------------------------------------------------------------------------------------------------


def ask(client: httpx.Client, attempt_id: str, known: str = "") -> str:
    answer = tell(client, "/reports/detection", DetectionQuery(attempt_id=attempt_id, known=known), "detection")
    assert answer.status_code == 200, answer.text
    verify_message(answer.content, answer.headers[SIGNATURE_HEADER], SECRET, purpose="detection", now=time.time())
    return DetectionAnswer.model_validate_json(answer.content).answered_by


def detect(client: httpx.Client, attempt_id: str, by: str) -> None:
    form = {"CallSid": "v3:1", "AnsweredBy": by}
    assert client.post(f"/telnyx/amd?attempt={quote(attempt_id, safe='')}", **signed(form)).status_code == 200


def test_the_answer_comes_as_soon_as_the_carrier_has_heard_who_it_is(
    callbacks: httpx.Client, store: Store, attempt: str
) -> None:
    with Lateness() as late:
        began = time.monotonic()
        later = threading.Timer(1.0, detect, (callbacks, attempt, "human"))
        later.start()
        assert ask(callbacks, attempt) == "human"
        assert 0.9 < time.monotonic() - began < DETECTION_S / 2 + late.seconds
        later.join()
        began = time.monotonic()
        assert ask(callbacks, attempt) == "human"
        assert time.monotonic() - began < 1 + late.seconds, "what is known is told at once"


def test_who_knows_of_a_machine_waits_until_its_greeting_is_over(
    callbacks: httpx.Client, store: Store, attempt: str
) -> None:
    detect(callbacks, attempt, "machine_start")
    assert ask(callbacks, attempt) == "machine"
    later = threading.Timer(1.0, detect, (callbacks, attempt, "machine_end_beep"))
    later.start()
    assert ask(callbacks, attempt, "machine") == "machine_ready"
    later.join()


@pytest.mark.parametrize(
    ("heard", "strongest"),
    [
        (["human", "machine"], "machine"),
        (["machine", "machine_ready", "human"], "machine_ready"),
        (["fax", "machine_ready"], "fax"),
    ],
)
def test_of_several_words_the_strongest_is_told(
    callbacks: httpx.Client, store: Store, attempt: str, heard: list[str], strongest: str
) -> None:
    for by in heard:
        assert store.attempts.witness(attempt, witnesses.detected(Detection("v3:1", AnsweredBy(by)))) is Reception.NOTED
    assert ask(callbacks, attempt) == strongest


def test_many_who_wait_for_nothing_hold_up_nobody_and_are_answered_in_the_end(
    callbacks: httpx.Client, store: Store, attempt: str
) -> None:
    with ThreadPoolExecutor(60) as pool, Lateness() as late:
        began = time.monotonic()
        waiting = [pool.submit(ask, callbacks, attempt) for _ in range(60)]
        slowest = 0.0
        while time.monotonic() < began + DETECTION_S - 2:
            at = time.monotonic()
            assert callbacks.get("/healthz").status_code == 200
            slowest = max(slowest, time.monotonic() - at)
            time.sleep(0.2)
        assert slowest < 2 + late.seconds, "the threads were held"
        assert [one.result() for one in waiting] == [""] * 60
        assert DETECTION_S - 0.5 < time.monotonic() - began < DETECTION_S + 8 + late.seconds


def test_where_no_detection_can_come_none_is_waited_for(
    callbacks: httpx.Client, store: Store, reminder: Campaign, attempt: str
) -> None:
    callbacks.post("/telnyx/inbound", **signed({"CallSid": "v3:in", "From": PHONE, "To": "+12125550100"}))
    rang = store.callers.attempt_of("v3:in")
    assert rang
    rules = reminder.call.model_copy(update={"machine_detection": False})
    store.campaigns.define(changed(reminder, call=rules))
    with Lateness() as late:
        began = time.monotonic()
        assert [ask(callbacks, attempt_id) for attempt_id in (rang, attempt)] == ["", ""]
        took_s = time.monotonic() - began
    assert took_s < DETECTION_S / 2 + late.seconds


def test_only_the_bot_may_ask_and_only_about_an_attempt(callbacks: httpx.Client, store: Store, attempt: str) -> None:
    query = DetectionQuery(attempt_id=attempt)
    assert tell(callbacks, "/reports/detection", query, "report").status_code == 403
    unknown = DetectionQuery(attempt_id="nobody#1")
    assert tell(callbacks, "/reports/detection", unknown, "detection").status_code == 404


# --- what a report leaves ---------------------------------------------------------------------------------------------


def test_what_the_bot_and_the_carrier_say_of_a_call_stands_in_the_results(
    callbacks: httpx.Client, server: EmbeddedRedis, store: Store, reminder: Campaign, attempt: str, tmp_path: Path
) -> None:
    (before,) = store.reading.outcomes(reminder.name)
    told = ("answered_by", "ended_by", "first_audio_ms", "recording_url", "usage", "problems", "transcript")
    assert [before[name] for name in told] == [None, None, None, None, {}, [], []]
    said = (Turn(role="bot", text="Hello Ada", at_s=0.2, latency_ms=640), Turn(role="contact", text="yes", at_s=2.5))
    usage = {"openai.prompt_tokens": 812.0, "deepgram.seconds": 9.5}
    heard = {
        "answered_by": "human",
        "ended_by": "contact",
        "first_audio_ms": 310,
        "problems": ("the script is missing",),
    }
    sent = report(attempt, usage=usage, transcript=said, **heard)
    assert tell(callbacks, "/reports", sent, "report").status_code == 200
    form = {"CallSid": "v3:1", "CallStatus": "completed", "RecordingUrl": "https://x.example/r.mp3?sig=1"}
    callbacks.post(f"/telnyx/status?attempt={quote(attempt, safe='')}", **signed(form))
    concluding.conclude(store, attempt)

    def results(*arguments: str) -> str:
        command = [sys.executable, "-m", "worker.cli", "results", reminder.name, *arguments]
        environment = os.environ | {"REDIS_URL": server.url, "DIALOUT_DATA": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    (row,) = json.loads(results("--json"))
    assert {name: row[name] for name in heard} == heard | {"problems": ["the script is missing"]}
    assert row["usage"] == usage
    assert row["recording_url"] == "https://x.example/r.mp3?sig=1"
    assert row["transcript"] == [
        {"role": "bot", "text": "Hello Ada", "at_s": 0.2, "interrupted": False, "latency_ms": 640},
        {"role": "contact", "text": "yes", "at_s": 2.5, "interrupted": False, "latency_ms": None},
    ]
    (cells,) = csv.DictReader(io.StringIO(results()))
    assert json.loads(cells["usage"]) == usage
    assert json.loads(cells["problems"]) == ["the script is missing"]
    assert (cells["ended_by"], cells["first_audio_ms"]) == ("contact", "310")
    assert "transcript" not in cells
