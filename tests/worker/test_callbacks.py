import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from callbacks_server import SECRET, dialed, serving, signed
from nacl.signing import SigningKey

from campaigns.call import SIGNATURE_HEADER, Disposition, Joined, Report, Script, sign_message, verify_message
from campaigns.campaign import Campaign
from worker.store import Store


@pytest.fixture
def attempt(store: Store, reminder: Campaign) -> str:
    return dialed(store, reminder)


def state(store: Store, attempt_id: str) -> dict[str, str]:
    case = store.attempts.case(attempt_id)
    assert case
    return dict(case.attempt)


BUSY = {"CallSid": "v3:1", "CallStatus": "busy", "SipHangupCause": "486"}


def test_a_callback_is_written_down_once(callbacks: httpx.Client, store: Store, attempt: str) -> None:
    url = f"/telnyx/status?attempt={attempt.replace('#', '%23')}"
    assert callbacks.post(url, **signed(BUSY)).status_code == 200
    heard = state(store, attempt)
    assert any(name.startswith("heard:call:ended") for name in heard)
    assert callbacks.post(url, **signed(BUSY)).status_code == 200
    assert state(store, attempt) == heard


@pytest.mark.parametrize("how", ["forged", "stale", "unsigned", "altered"])
@pytest.mark.parametrize("path", ["/telnyx/status", "/telnyx/amd", "/telnyx/inbound"])
def test_what_telnyx_did_not_sign_just_now_gets_403_and_changes_nothing(
    callbacks: httpx.Client, store: Store, attempt: str, how: str, path: str
) -> None:
    request = signed(BUSY | {"AnsweredBy": "machine", "From": "+12125550111"})
    if how == "forged":
        request = signed(BUSY, key=SigningKey.generate())
    elif how == "stale":
        request = signed(BUSY, age_s=301)
    elif how == "unsigned":
        request["headers"] = {}
    else:
        request["content"] = b"CallSid=v3:1&CallStatus=completed"
    before = state(store, attempt)
    assert callbacks.post(f"{path}?attempt={attempt.replace('#', '%23')}", **request).status_code == 403
    assert state(store, attempt) == before


def test_a_call_back_is_greeted_by_what_it_is_about_and_withdraws_the_retry(
    callbacks: httpx.Client, store: Store, reminder: Campaign, attempt: str
) -> None:
    form = {"CallSid": "v3:in", "From": "+12125550111", "To": "+12125550100"}
    for _ in range(2):
        answer = callbacks.post("/telnyx/inbound", **signed(form))
        assert answer.status_code == 200
        assert "We called you at" in answer.text
        assert "Tuesday" in answer.text
    assert store.callers.attempt_of("v3:in")


def test_a_stranger_who_rings_is_connected_with_the_agent_and_told_nothing(
    callbacks: httpx.Client, store: Store
) -> None:
    answer = callbacks.post(
        "/telnyx/inbound", **signed({"CallSid": "v3:x", "From": "+12125550199", "To": "+12125550100"})
    )
    assert answer.status_code == 200
    assert "<Stream" in answer.text
    assert "<Parameter" not in answer.text


def report(attempt_id: str) -> bytes:
    now = datetime.now(UTC)
    return Report(
        report_id="r1", attempt_id=attempt_id, disposition=Disposition.COMPLETED, reason="ok", started_at=now, ended_at=now
    ).model_dump_json().encode()  # fmt: skip


def test_a_report_is_believed_only_with_our_signature_and_counts_once(
    callbacks: httpx.Client, store: Store, attempt: str
) -> None:
    body = report(attempt)
    header = sign_message(body, SECRET, purpose="report", now=time.time())
    for bad in ("", sign_message(body, "another", purpose="report", now=time.time()), header.replace("v1=", "v1=0")):
        assert callbacks.post("/reports", content=body, headers={SIGNATURE_HEADER: bad}).status_code == 403
    assert "heard:report" not in state(store, attempt)
    assert callbacks.post("/reports", content=body, headers={SIGNATURE_HEADER: header}).status_code == 200
    heard = state(store, attempt)
    assert "heard:report" in heard
    assert callbacks.post("/reports", content=body, headers={SIGNATURE_HEADER: header}).status_code == 200
    assert state(store, attempt) == heard


def test_the_bot_says_that_it_is_on_the_call_and_nobody_else_can(
    callbacks: httpx.Client, store: Store, attempt: str
) -> None:
    body = Joined(attempt_id=attempt, call_sid="v3:1").model_dump_json().encode()
    for purpose, expected in (("report", 403), ("joined", 200), ("joined", 200)):
        header = sign_message(body, SECRET, purpose=purpose, now=time.time())
        assert (
            callbacks.post("/reports/joined", content=body, headers={SIGNATURE_HEADER: header}).status_code == expected
        )
    case = store.attempts.case(attempt)
    assert case
    assert (case.evidence.joined, case.evidence.call_sid) == (Joined(attempt_id=attempt, call_sid="v3:1"), "v3:1")


def test_a_report_of_an_unknown_attempt_and_a_body_that_is_none_are_refused(
    callbacks: httpx.Client, store: Store
) -> None:
    for body, expected in ((report("nobody#1"), 404), (b"{}", 422), (b"\xff", 422), (b"x" * 1_000_001, 413)):
        header = sign_message(body, SECRET, purpose="report", now=time.time())
        assert callbacks.post("/reports", content=body, headers={SIGNATURE_HEADER: header}).status_code == expected


def test_the_script_is_given_only_to_the_bot_and_signed(callbacks: httpx.Client, attempt: str) -> None:
    path = f"/briefs/{attempt.replace('#', '%23')}"
    assert callbacks.get(path).status_code == 403
    header = sign_message(attempt.encode(), SECRET, purpose="script", now=time.time())
    answer = callbacks.get(path, headers={SIGNATURE_HEADER: header})
    verify_message(answer.content, answer.headers[SIGNATURE_HEADER], SECRET, purpose="script", now=time.time())
    assert "Ada" in Script.model_validate_json(answer.content).instructions


def test_health_is_told(callbacks: httpx.Client, store: Store) -> None:
    assert callbacks.get("/healthz").json() == {"status": "ok"}


def test_without_redis_the_sender_is_told_to_come_again(tmp_path: Path) -> None:
    with serving("redis://127.0.0.1:9/0", tmp_path) as server:
        answer = server.client.post("/telnyx/status?attempt=a%231", **signed(BUSY))
        assert answer.status_code == 503
