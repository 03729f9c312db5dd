"""Bad input at the doors of the callbacks server. After each test, it must still serve, and have raised nothing.

More than 300 lines: all doors meet one running server.
"""

import contextlib
import itertools
import json
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

import pytest
import schemathesis
from callbacks_server import SECRET, Server, dialed, signed
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.call import SIGNATURE_HEADER, Disposition, sign_message
from campaigns.campaign import Campaign
from tests.search import examples
from worker.machine.embedded import EmbeddedRedis
from worker.rules import retries, settlement
from worker.store import Store
from worker.web.body import BODY_LIMIT, BODY_S

KNOWN_PHONE = "+12125550111"
GROWTH_MB = 40
"""More than a few bodies of the largest size at once; less than any of the floods below."""

DOORS = {
    "report": "/reports",
    "joined": "/reports/joined",
    "opt-out": "/reports/opt-out",
    "detection": "/reports/detection",
}

few = examples(60)
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory from /proc")


@pytest.fixture(scope="module")
def books(server: EmbeddedRedis, reminder: Campaign) -> Store:
    store = Store.at(server.url)
    anew(store, reminder)
    return store


@pytest.fixture(autouse=True)
def unharmed(callbacks_server: Server) -> Iterator[None]:
    said_before = len(callbacks_server.log.read_text("utf-8"))
    yield
    form = {"CallSid": "v3:in", "From": "+12125550199", "To": "+12125550100"}
    assert callbacks_server.client.post("/telnyx/inbound", **signed(form)).status_code == 200
    assert callbacks_server.client.get("/healthz").json() == {"status": "ok"}
    said = callbacks_server.log.read_text("utf-8")[said_before:]
    assert "Traceback" not in said, said


def keys(books: Store) -> set[str]:
    return {key for key in books._redis.scan_iter(count=1000) if key.startswith("{dialout}")}


def anew(books: Store, campaign: Campaign) -> tuple[Store, str]:
    books._redis.flushall()
    fresh = Store(books._redis)
    return fresh, dialed(fresh, campaign)


def settle(books: Store, attempt_id: str) -> settlement.Settled:
    """Do with an attempt what the worker will do with it."""
    case = books.attempts.case(attempt_id)
    assert case
    now = books.now() + timedelta(days=1)
    settled = settlement.settle(case.evidence, now)
    assert isinstance(settled, settlement.Settled)
    retries.next_attempt(case.campaign, settled, case.made, case.place, now)
    json.dumps(dict(settled.answers))
    return settled


# --- what the schema says, and what it does not ------------------------------------------------------------------------


def test_the_schema_is_kept_to_by_every_door(callbacks_server: Server) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{callbacks_server.port}/openapi.json")
    doors = [operation.ok() for operation in schema.get_all_operations()]
    assert {door.path for door in doors} >= {"/telnyx/status", "/telnyx/amd", "/telnyx/inbound", *DOORS.values()}
    for door in doors:

        @few
        @given(case=door.as_strategy())
        def visit(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=[schemathesis.checks.not_a_server_error])

        visit()


# --- signed, so that it gets past the door ------------------------------------------------------------------------------

NAMES = ["CallSid", "CallStatus", "AnsweredBy", "From", "To", "Timestamp", "CallDuration", "HangupCause", "ErrorMessage",
         "SipHangupCause", "AnsweredTime", "Digits"]  # fmt: skip
WORDS = [
    "initiated", "ringing", "answered", "in-progress", "completed", "busy", "no-answer", "failed", "canceled", "human",
    "machine_end_beep", "v3:1", "486", "0", "-1", "1e999", "1e308", "nan", "9" * 5000, "٣", "\0", "2026-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "Mon, 01 Jan 2026 00:00:00 +99999999999999999999",
    "Mon, 99 Jan 99999999999 00:00:00 GMT", "{{ 7*7 }}", "</Parameter>", KNOWN_PHONE, "+12125550199", "",
]  # fmt: skip

words = st.sampled_from(WORDS).map(str.encode) | st.text(max_size=20).map(str.encode) | st.binary(max_size=20)
pairs = st.tuples(st.sampled_from(NAMES).map(str.encode) | words, words | st.just(b"\xed\xa0\x80"))
escaped = st.lists(pairs, max_size=10).map(
    lambda form: "&".join(f"{quote_from_bytes(name)}={quote_from_bytes(value)}" for name, value in form).encode()
)
CALL = b"CallSid=v3%3A1&"
forms = (escaped | escaped.map(lambda form: CALL + b"CallStatus=completed&AnsweredBy=human&" + form)) | st.binary(
    max_size=99
)
strange_ids = st.sampled_from(
    ["", "#", "##", "#1", ":", "{dialout}", "{dialout}:do_not_call", "salt", "*", "a" * 16, "a" * 16 + "#1", "a" * 16 + "#i00", "\0",
     "\r\nSET x 1\r\n", "dnc", "../../reports", "%23", "a" * 65, "🦷#1"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=70)  # fmt: skip


@few
@given(door=st.sampled_from(["status", "amd", "inbound"]), form=forms, attempt_id=strange_ids)
@example(door="status", form=CALL + b"CallStatus=completed&Timestamp=" + quote(WORDS[24]).encode(), attempt_id="a#1")
def test_whatever_telnyx_signs_of_an_unknown_attempt_leaves_no_trace(
    callbacks_server: Server, books: Store, door: str, form: bytes, attempt_id: str
) -> None:
    if door == "inbound" and quote(KNOWN_PHONE).encode() in form:
        return
    before = keys(books)
    answer = callbacks_server.client.post(f"/telnyx/{door}?attempt={quote(attempt_id, safe='')}", **signed(form))
    assert answer.status_code in {200, 422}
    if answer.status_code == 422:
        assert answer.json()["detail"]
    # Of who rings us, though we never rang them, a key is kept for a day: they may ask us never to. And their call holds a
    # line and a bot, until it is over.
    kept = ("{dialout}:inbound", "{dialout}:used", *(["{dialout}:caller:"] if door == "inbound" else []))
    left = {key for key in keys(books) - before if not key.startswith(kept)}
    assert left == set()


@few
@given(door=st.sampled_from(["status", "amd"]), form=forms)
@example(door="status", form=CALL + b"CallStatus=completed&CallDuration=1e308")
@example(door="status", form=CALL + b"CallStatus=completed&CallDuration=-1")
def test_whatever_telnyx_signs_of_a_known_attempt_can_be_concluded(
    callbacks_server: Server, books: Store, reminder: Campaign, door: str, form: bytes
) -> None:
    books, attempt_id = anew(books, reminder)
    answer = callbacks_server.client.post(f"/telnyx/{door}?attempt={quote(attempt_id, safe='')}", **signed(form))
    assert answer.status_code in {200, 422}
    assert 0 <= (settle(books, attempt_id).duration_s or 0) <= 1_000_000


@few
@given(form=escaped.map(lambda form: CALL + b"From=" + quote(KNOWN_PHONE).encode() + b"&" + form))
def test_whoever_rings_back_with_whatever_form_is_connected(
    callbacks_server: Server, books: Store, reminder: Campaign, form: bytes
) -> None:
    anew(books, reminder)
    answer = callbacks_server.client.post("/telnyx/inbound", **signed(form))
    assert answer.status_code == 200
    assert "<Stream" in answer.text


def send(server: Server, purpose: str, body: bytes) -> int:
    header = sign_message(body, SECRET, purpose=purpose, now=time.time())
    return server.client.post(DOORS[purpose], content=body, headers={SIGNATURE_HEADER: header}).status_code


NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
SAID = {"role": "contact", "text": "yes", "at_s": 1.5}
REPORT = {
    "report_id": "r", "attempt_id": "", "disposition": "completed", "reason": "ok", "transcript": [SAID],
    "started_at": NOW.isoformat(), "ended_at": NOW.isoformat(), "answers": {"coming": True},
}  # fmt: skip
texts = st.text(max_size=20) | st.text(st.characters(categories=["Cs"]), max_size=2) | st.sampled_from(WORDS)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from([10**4000, 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    [*REPORT, "answered_by", "usage", "callback_at", "call_sid", "first_audio_ms", "problems", "ended_by"]
)
changes = st.dictionaries(fields, values, max_size=2) | st.builds(
    lambda name, value: {name: value},
    st.sampled_from(["callback_at", "started_at", "ended_at"]),
    st.sampled_from(WORDS),
)


@few
@given(changes=changes, disposition=st.sampled_from([kind.value for kind in Disposition]))
@example(changes={"transcript": [SAID | {"at_s": float("nan")}]}, disposition="completed")
@example(changes={"started_at": "2026-11-23T18:00:00"}, disposition="completed")
@example(changes={"callback_at": "9999-12-31T23:59:59-12:00"}, disposition="callback")
@example(changes={"answers": {"n": 10**4000}}, disposition="completed")
@example(changes={"reason": "\ud800"}, disposition="completed")
def test_a_report_that_is_almost_one_is_refused_or_can_be_concluded(
    callbacks_server: Server, books: Store, reminder: Campaign, changes: dict[str, object], disposition: str
) -> None:
    books, attempt_id = anew(books, reminder)
    body = json.dumps(REPORT | {"attempt_id": attempt_id, "disposition": disposition} | changes).encode()
    assert send(callbacks_server, "report", body) in {200, 404, 422}
    settle(books, attempt_id)


@few
@given(purpose=st.sampled_from([*DOORS]), body=values.map(json.dumps).map(str.encode) | st.binary(max_size=99))
@example(purpose="report", body=b"[" * 100_000)
@example(purpose="opt-out", body=b'{"a":' * 100_000)
@example(purpose="detection", body=b"9" * 100_000)
@example(purpose="opt-out", body=b'{"attempt_id": "a", "reason": "\\ud800"}')
def test_a_word_of_the_bots_that_is_none_is_refused_with_a_reason(
    callbacks_server: Server, books: Store, purpose: str, body: bytes
) -> None:
    before = keys(books)
    assert send(callbacks_server, purpose, body) == 422
    assert keys(books) <= before


@few
@given(attempt_id=strange_ids)
def test_a_word_or_a_brief_of_an_unknown_attempt_is_not_found_and_leaves_no_trace(
    callbacks_server: Server, books: Store, attempt_id: str
) -> None:
    before = keys(books)
    assert send(callbacks_server, "report", json.dumps(REPORT | {"attempt_id": attempt_id}).encode()) == 404
    for purpose in ("joined", "opt-out", "detection"):
        assert send(callbacks_server, purpose, json.dumps({"attempt_id": attempt_id}).encode()) == 404
    header = sign_message(attempt_id.encode(), SECRET, purpose="script", now=time.time())
    path = f"/briefs/{quote(attempt_id, safe='')}"
    assert callbacks_server.client.get(path, headers={SIGNATURE_HEADER: header}).status_code in {307, 403, 404}
    assert keys(books) <= before


# --- not HTTP, or too much of it ----------------------------------------------------------------------------------------


def say(server: Server, first: bytes, more: Iterable[bytes] = (), *, wait_s: float = 60) -> bytes:
    """Send bytes and return what comes back until the server closes, or is silent for so long."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=wait_s) as sock, contextlib.suppress(OSError):
        with contextlib.suppress(ConnectionError):
            sock.sendall(first)
            for part in more:
                sock.sendall(part)
        while part := sock.recv(65536):
            received += part
    return received


def post(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@examples(40)
@given(data=st.binary(min_size=1, max_size=200), start=st.sampled_from([b"", b"GET ", b"POST /reports HTTP/1.1\r\n"]))
@example(start=b"", data=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")  # the hello of TLS
@example(start=b"", data=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
@example(start=b"", data=b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
def test_what_is_no_http_is_refused_or_waited_for(callbacks_server: Server, start: bytes, data: bytes) -> None:
    answer = say(callbacks_server, start + data + b"\r\n\r\n", wait_s=0.2)
    assert not answer or 400 <= status_of(answer) < 500


@linux
def test_a_flood_of_headers_is_refused(callbacks_server: Server) -> None:
    before = callbacks_server.resident_mb
    many = (b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(20_000))
    answer = say(callbacks_server, b"POST /reports HTTP/1.1\r\nHost: x\r\n", many)
    assert not answer or 400 <= status_of(answer) < 500
    long = say(callbacks_server, b"POST /reports HTTP/1.1\r\nHost: x\r\nx: ", itertools.repeat(b"y" * 100_000, 200))
    assert not long or 400 <= status_of(long) < 500
    assert callbacks_server.resident_mb < before + GROWTH_MB


@linux
@pytest.mark.parametrize("path", [*DOORS.values(), "/telnyx/status", "/telnyx/amd", "/telnyx/inbound"])
def test_a_body_without_end_is_refused_and_never_held(callbacks_server: Server, path: str) -> None:
    before = callbacks_server.resident_mb
    piece = b"x" * 0x10000
    for header, part in (
        ("Transfer-Encoding: chunked", b"10000\r\n" + piece + b"\r\n"),
        (f"Content-Length: {10**12}", piece),
    ):
        parts = itertools.repeat(part, 1600)
        answer = say(callbacks_server, post(path, header), parts)
        assert not answer or status_of(answer) == 413  # nothing: what was still on its way has reset the connection
        assert next(parts, b""), "all 100 MB were taken"
    assert callbacks_server.resident_mb < before + GROWTH_MB


def test_a_body_that_is_just_too_long_is_told_so_and_the_connection_is_closed(callbacks_server: Server) -> None:
    answer = say(callbacks_server, post("/reports", f"Content-Length: {BODY_LIMIT + 2}") + b"x" * (BODY_LIMIT + 1))
    assert status_of(answer) == 413
    assert b"1,000,000 bytes" in answer


@pytest.mark.parametrize("length", ["-1", "x", "1, 2", "9" * 5000, "1\r\nContent-Length: 2", "", "0x10"])
def test_a_length_that_is_none_is_refused(callbacks_server: Server, length: str) -> None:
    answer = say(callbacks_server, post("/reports", f"Content-Length: {length}") + b"x")
    assert 400 <= status_of(answer) < 500


@pytest.mark.parametrize("body", [b"", b"x" * 10], ids=["nothing", "less than announced"])
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_a_sender_who_breaks_off_harms_nobody(callbacks_server: Server, body: bytes, how: str) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", callbacks_server.port)) as sock:
            sock.sendall(post("/reports", "Content-Length: 1000") + body)
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_a_body_that_trickles_in_is_ended_by_the_clock_while_others_are_served(callbacks_server: Server) -> None:
    began = time.monotonic()
    slow = [socket.create_connection(("127.0.0.1", callbacks_server.port), timeout=300) for _ in range(60)]
    with contextlib.ExitStack() as stack:
        for sock in slow:
            stack.enter_context(sock)
            sock.sendall(post("/reports", "Content-Length: 1000"))
        # For half of the time only: a slow machine must not send to a connection that is closed already.
        while time.monotonic() < began + BODY_S / 2:
            for sock in slow:
                sock.sendall(b"x")
            assert callbacks_server.client.get("/healthz").status_code == 200
            time.sleep(0.5)
        for sock in slow:
            answer = b""
            while part := sock.recv(65536):
                answer += part
            assert status_of(answer) == 408
            assert b"the body took more than 10 s: send it again" in answer
    assert time.monotonic() - began >= BODY_S - 0.5
