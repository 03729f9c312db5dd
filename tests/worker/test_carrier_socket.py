"""The carrier against a server that answers in every bad way and counts requests. Each test asserts what the dialer does next.

More than 300 lines: each fault of the carrier's socket is a test of its own.
"""

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import telnyx
from nacl.signing import SigningKey

from campaigns.call import Disposition
from worker.rules.evidence import CallState
from worker.telnyx.carrier import Carrier
from worker.telnyx.fence import Withheld
from worker.telnyx.order import DialOrder
from worker.telnyx.refusals import (
    AccountBlocked,
    CarrierBusy,
    CarrierError,
    DialRefused,
    DialUnconfirmed,
    DialWithheld,
    Forged,
)
from worker.telnyx.signature import verify

KEY = "KEY0123456789ABCDEF"
TO = "+12125550142"
SINCE = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "CarrierServer"  # type: ignore[assignment]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers), json.loads(body or b"{}")))
        self.server.behave(self)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: object) -> None: ...


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class CarrierServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[Seen] = []
        self.behave: Callable[[Handler], None] = answer(200, {})

    def handle_error(self, *_: object) -> None: ...  # a client that hangs up first is what some tests are about

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v2"


def answer(status: int, body: object, kind: str = "application/json", **headers: str) -> Callable[[Handler], None]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def behave(request: Handler) -> None:
        request.send_response(status)
        for name, value in {"content-type": kind, "content-length": str(len(raw)), **headers}.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(raw)

    return behave


def refuse(status: int, code: str, detail: str = "", pointer: str = "", **headers: str) -> Callable[[Handler], None]:
    error: dict[str, Any] = {"code": code, "title": "t", "detail": detail}
    if pointer:
        error["source"] = {"pointer": pointer}
    return answer(status, {"errors": [error]}, **headers)


def close_after_reading(request: Handler) -> None:
    request.close_connection = True


def close_in_the_middle(request: Handler) -> None:
    request.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\ncontent-type: application/json\r\n\r\n{")
    request.close_connection = True


def never_answer(request: Handler) -> None:
    """Say nothing until the client gives up and hangs up."""
    request.connection.settimeout(60)
    with suppress(OSError):
        request.rfile.read(1)
    request.close_connection = True


def talk_nonsense(request: Handler) -> None:
    request.wfile.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    request.close_connection = True


@pytest.fixture(scope="module")
def listening() -> Iterator[CarrierServer]:
    with CarrierServer() as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(listening: CarrierServer) -> CarrierServer:
    listening.seen.clear()
    return listening


@pytest.fixture(scope="module")
def connected(listening: CarrierServer) -> Iterator[dict[str, Carrier]]:
    """A carrier that waits for any machine, and one that gives up where no answer will come."""
    patience = {"patient": 60.0, "impatient": 1.0}
    carriers = {
        name: Carrier(api_key=KEY, app_id="129", base_url=listening.url, timeout_s=seconds)
        for name, seconds in patience.items()
    }
    yield carriers
    for carrier in carriers.values():
        carrier.close()


@pytest.fixture
def carrier(connected: dict[str, Carrier], request: pytest.FixtureRequest) -> Carrier:
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    carrier = connected["impatient" if params.get("behave") is never_answer else "patient"]
    carrier.__dict__.pop("_account", None)  # what it has learned of the account is another test's
    return carrier


def an_order(amd_url: str | None = None, *, record: bool = False) -> DialOrder:
    return DialOrder(TO, "+12125550100", "<Response/>", "https://x/s?attempt=a%231", amd_url, 25, 600, record)


def dial(carrier: Carrier, order: DialOrder | None = None) -> str:
    """Dial when everything allows it; returns the call's sid."""
    return carrier.dial(order or an_order(), lambda: True).call_sid


def outcome(carrier: Carrier) -> CarrierError:
    with pytest.raises(CarrierError) as caught:
        dial(carrier)
    return caught.value


# --- one POST, and what became of it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behave", "expected"),
    [
        pytest.param(close_after_reading, DialUnconfirmed, id="closed after the request was read"),
        pytest.param(close_in_the_middle, DialUnconfirmed, id="closed in the middle of the answer"),
        pytest.param(never_answer, DialUnconfirmed, id="no answer in time"),
        pytest.param(talk_nonsense, DialUnconfirmed, id="not HTTP"),
        pytest.param(answer(200, b"<html>", "text/html"), DialUnconfirmed, id="200 html"),
        pytest.param(answer(200, b"", "text/plain"), DialUnconfirmed, id="200 empty"),
        pytest.param(answer(200, b'{"call_sid":'), DialUnconfirmed, id="200 broken JSON"),
        pytest.param(answer(200, b"\xff\xfe{"), DialUnconfirmed, id="200 not UTF-8"),
        pytest.param(answer(200, []), DialUnconfirmed, id="200 a list"),
        pytest.param(refuse(200, "10010", "D38"), DialUnconfirmed, id="200 with errors"),
        pytest.param(answer(502, b"<html>", "text/html"), DialUnconfirmed, id="502 html"),
        pytest.param(refuse(500, "10007"), DialUnconfirmed, id="500"),
        pytest.param(refuse(503, "10037"), DialUnconfirmed, id="503"),
        pytest.param(refuse(422, "10008", "timeout"), DialUnconfirmed, id="a timeout that calls itself 422"),
        pytest.param(answer(408, b"", "text/plain"), DialUnconfirmed, id="408"),
        pytest.param(answer(409, b"", "text/plain"), DialUnconfirmed, id="409"),
        pytest.param(answer(500, b"", x_should_retry="true"), DialUnconfirmed, id="told to retry"),
        pytest.param(refuse(429, "90103"), CarrierBusy, id="dials per second"),
        pytest.param(refuse(429, "10011"), CarrierBusy, id="requests per second"),
        pytest.param(answer(429, b"slow down", "text/plain"), CarrierBusy, id="429 without a code"),
        pytest.param(refuse(403, "90041"), CarrierBusy, id="90041"),
        pytest.param(refuse(422, "90042"), CarrierBusy, id="90042"),
        pytest.param(refuse(403, "90043"), CarrierBusy, id="90043"),
        pytest.param(refuse(403, "10010", "User channel limit exceeded D1"), CarrierBusy, id="D1"),
        pytest.param(refuse(403, "10010", "limit D22."), CarrierBusy, id="D22"),
        pytest.param(refuse(401, "10009"), AccountBlocked, id="401"),
        pytest.param(refuse(404, "10005"), AccountBlocked, id="404"),
        pytest.param(answer(404, {"errors": [{"detail": "Resource not found"}]}), AccountBlocked, id="404, no code"),
        pytest.param(answer(402, b"", "text/plain"), AccountBlocked, id="402"),
        pytest.param(refuse(403, "20012"), AccountBlocked, id="inactive"),
        pytest.param(refuse(403, "20100"), AccountBlocked, id="no funds"),
        pytest.param(refuse(403, "10010", "no Outbound Profile assigned D38. See"), AccountBlocked, id="D38"),
        pytest.param(refuse(403, "10010", "Unverified origination number"), AccountBlocked, id="10010, no D"),
        pytest.param(refuse(422, "10016", "+E.164", "/From"), AccountBlocked, id="our own caller ID is malformed"),
        pytest.param(answer(307, b"", location="/v2/texml/calls/129"), AccountBlocked, id="307"),
        pytest.param(answer(308, b"", location="/v2/texml/calls/129"), AccountBlocked, id="308"),
        pytest.param(refuse(422, "10016", "+E.164", "/To"), DialRefused, id="not E.164"),
        pytest.param(refuse(422, "10004", "Can't be blank: To"), DialRefused, id="10004"),
        pytest.param(refuse(403, "10010", "not whitelisted D13"), DialRefused, id="D13"),
        pytest.param(refuse(404, "10010", "invalid number D14"), DialRefused, id="D14"),
        pytest.param(refuse(418, "99999", "new"), DialRefused, id="a code that nobody knows"),
        pytest.param(answer(400, "not an envelope"), DialRefused, id="400 without a code"),
    ],
)
def test_exactly_one_post_leaves_and_its_answer_decides_what_comes_next(
    server: CarrierServer, carrier: Carrier, behave: Callable[[Handler], None], expected: type[CarrierError]
) -> None:
    server.behave = behave
    assert type(outcome(carrier)) is expected
    time.sleep(0.02)
    assert [(seen.method, seen.path) for seen in server.seen] == [("POST", "/v2/texml/calls/129")]


@pytest.mark.parametrize("key", [" ", "KEY\u00e9", "KEY\nX"])
def test_a_key_that_no_header_can_carry_pauses_the_campaign_before_anything_is_sent(
    server: CarrierServer, key: str
) -> None:
    carrier = Carrier(api_key=key, app_id="129", base_url=server.url)
    assert "TELNYX_API_KEY" in str(outcome(carrier))
    assert server.seen == []


def test_a_line_break_behind_the_key_is_no_part_of_it(server: CarrierServer) -> None:
    carrier = Carrier(api_key=f"{KEY}\n", app_id="129", base_url=server.url)
    server.behave = answer(200, {"call_sid": "v3:1"})
    assert dial(carrier) == "v3:1"
    assert {name.lower(): value for name, value in server.seen[0].headers.items()}["authorization"] == f"Bearer {KEY}"
    carrier.close()


@pytest.mark.parametrize("url", ["127.0.0.1:8080/v2", "http://[::1/v2", "ftp://x/v2", "https://"])
def test_an_address_that_is_none_pauses_the_campaign(url: str) -> None:
    blocked = outcome(Carrier(api_key=KEY, app_id="129", base_url=url))
    assert type(blocked) is AccountBlocked
    assert "TELNYX_BASE_URL" in str(blocked)


def test_nothing_rang_when_the_name_of_the_carrier_cannot_be_resolved() -> None:
    carrier = Carrier(api_key=KEY, app_id="129", base_url="http://carrier.invalid/v2", timeout_s=60)
    assert type(outcome(carrier)) is CarrierBusy
    carrier.close()


def test_of_several_errors_the_one_that_asks_for_most_caution_counts(server: CarrierServer, carrier: Carrier) -> None:
    server.behave = answer(422, {"errors": [{"code": "10016"}, {"code": "77777"}, None, {"code": "20100"}]})
    assert type(outcome(carrier)) is AccountBlocked


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"x_ratelimit_reset": "12"}, 12.0),
        ({"x_ratelimit_reset": "1795456800"}, None),
        *[
            ({"retry_after": word}, None)
            for word in ("inf", "nan", "1e400", "-5", "0", "Mon, 23 Nov 2026 18:00:00 GMT")
        ],
        ({}, None),
    ],
)
def test_a_wait_is_believed_only_if_it_is_one(
    server: CarrierServer, carrier: Carrier, headers: dict[str, str], expected: float | None
) -> None:
    server.behave = refuse(429, "10011", **headers)
    busy = outcome(carrier)
    assert isinstance(busy, CarrierBusy)
    assert busy.retry_after_s == expected


def test_no_refusal_repeats_a_number_or_the_key(server: CarrierServer, carrier: Carrier) -> None:
    server.behave = refuse(422, "10002", f"{TO} or (212) 555-0142 or 2125550142\nis bad for {KEY} D14 " + "x" * 5000)
    refused = outcome(carrier)
    assert isinstance(refused, DialRefused)
    assert refused.disposition is Disposition.INVALID_NUMBER
    for secret in (TO, "555", KEY, "\n"):
        assert secret not in str(refused)
    assert len(str(refused)) < 500


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"call_sid": "v3:1", "status": "queued"}, "v3:1"),
        ({"sid": "v3:1"}, "v3:1"),
        ({"CallSid": "v3:1"}, "v3:1"),
        ({"call_control_id": "v3:1"}, "v3:1"),
        ({"data": {"call_control_id": "v3:1"}}, "v3:1"),
        ({"from": "+1", "to": TO, "status": "queued"}, ""),
        ({"data": None}, ""),
    ],
)
def test_the_calls_sid_is_found_wherever_telnyx_puts_it(
    server: CarrierServer, carrier: Carrier, body: object, expected: str
) -> None:
    server.behave = answer(200, body)
    assert dial(carrier) == expected


def test_the_request_says_everything_under_telnyxs_own_names(server: CarrierServer, carrier: Carrier) -> None:
    server.behave = answer(200, {"call_sid": "v3:1"})
    dial(carrier, an_order(amd_url="https://x/amd"))
    assert server.seen[0].body == {
        "To": TO,
        "From": "+12125550100",
        "Texml": "<Response/>",
        "StatusCallback": "https://x/s?attempt=a%231",
        "StatusCallbackMethod": "POST",
        "StatusCallbackEvent": "initiated ringing answered completed",
        "Timeout": 25,
        "TimeLimit": 600,
        "MachineDetection": "DetectMessageEnd",
        "DetectionMode": "Regular",
        "AsyncAmd": True,
        "AsyncAmdStatusCallback": "https://x/amd",
        "AsyncAmdStatusCallbackMethod": "POST",
    }


def test_a_call_without_detection_does_not_mention_it(server: CarrierServer, carrier: Carrier) -> None:
    server.behave = answer(200, {"call_sid": "v3:1"})
    dial(carrier)
    assert not [name for name in server.seen[0].body if "Amd" in name or "Detection" in name]


def test_a_call_is_recorded_in_stereo_or_the_request_does_not_mention_it(
    server: CarrierServer, carrier: Carrier
) -> None:
    server.behave = answer(200, {"call_sid": "v3:1"})
    dial(carrier)
    dial(carrier, an_order(record=True))
    recording = [{name: value for name, value in seen.body.items() if "Record" in name} for seen in server.seen]
    assert recording == [{}, {"Record": True, "RecordingChannels": "dual"}]


def test_many_threads_share_one_carrier_and_each_order_leaves_once(server: CarrierServer) -> None:
    carrier = Carrier(api_key=KEY, app_id="129", base_url=server.url, timeout_s=60)
    server.behave = answer(200, {"call_sid": "v3:1"})
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: dial(carrier), range(80))) == {"v3:1"}
    assert len(server.seen) == 80
    carrier.close()


# --- asking, and hanging up -------------------------------------------------------------------------------------------


@dataclass
class CarrierBooks:
    """What the stand-in's list holds: pages that are served by token, as Telnyx does."""

    pages: list[list[dict[str, Any]]] = field(default_factory=list)
    organization: object = field(default_factory=lambda: {"data": {"organization_id": "org"}})

    def __call__(self, request: Handler) -> None:
        if request.path == "/v2/whoami":
            return answer(200, self.organization)(request)
        token = request.path.partition("PageToken=T")[2].partition("&")[0]
        index = int(token or 0)
        following = f"/v2/x/Calls.json?Page={index + 1}&PageSize=50&PageToken=T{index + 1}"
        more = index + 1 < len(self.pages)
        return answer(200, {"calls": self.pages[index], "next_page_uri": following if more else None})(request)


def item(sid: str, at: datetime | None = SINCE, **more: str) -> dict[str, Any]:
    created = f"{at:%a, %d %b %Y %H:%M:%S} +0000" if at else None
    return {"sid": sid, "to": TO, "from": "+12125550100", "status": "completed", "date_created": created, **more}


def test_every_page_is_asked_for_by_its_token_and_the_account_only_once(
    server: CarrierServer, carrier: Carrier
) -> None:
    server.behave = CarrierBooks([[item("v3:1")], [item("v3:2"), item("v3:1")], [item("v3:3")]])
    assert [call.call_sid for call in carrier.find(TO, SINCE)] == ["v3:1", "v3:2", "v3:3"]
    carrier.find(TO, SINCE)
    assert sum(seen.path == "/v2/whoami" for seen in server.seen) == 1
    assert all("Accounts/org/Calls" in seen.path for seen in server.seen if "whoami" not in seen.path)


@dataclass
class Numbers:
    """What the stand-in's account may call from."""

    owned: list[dict[str, Any]]
    verified: list[str] = field(default_factory=list)

    def __call__(self, request: Handler) -> None:
        path, _, query = request.path.partition("?")
        asked = parse_qs(query)
        page, size = int(asked["page[number]"][0]), int(asked["page[size]"][0])
        whole = self.owned if path == "/v2/phone_numbers" else [{"phone_number": number} for number in self.verified]
        pages = -(-len(whole) // size)
        meta = {"page_number": page, "total_pages": pages}
        return answer(200, {"data": whole[(page - 1) * size : page * size], "meta": meta})(request)


def owned(number: str, **more: str) -> dict[str, Any]:
    return {"phone_number": number, "status": "active", "connection_id": "129", **more}


def test_the_numbers_that_may_call_are_those_of_every_page_and_the_verified_ones(
    server: CarrierServer, carrier: Carrier
) -> None:
    many = [f"+1212555{n:04d}" for n in range(230)]
    gone = owned("+12125559001", status="ported-out"), owned("+12125559002", status="purchase-pending")
    server.behave = Numbers([*map(owned, many), *gone, owned("+12125559003", connection_id="")], ["+13125550100"])
    found = carrier.numbers()
    assert found == dict.fromkeys(many, "129") | {"+12125559003": "", "+13125550100": ""}
    assert len(server.seen) == 4


@pytest.mark.parametrize(
    "behave",
    [
        answer(200, b"<html>", "text/html"),
        answer(200, []),
        answer(200, {"data": None}),
        answer(404, {}),
        answer(500, {}),
        close_after_reading,
        never_answer,
    ],
)
def test_a_carrier_that_does_not_say_which_numbers_are_ours_has_not_said_that_none_is(
    server: CarrierServer, carrier: Carrier, behave: Callable[[Handler], None]
) -> None:
    server.behave = behave
    with pytest.raises(CarrierBusy):
        carrier.numbers()


def test_a_key_that_is_not_taken_and_an_application_that_there_is_not_are_told_apart(
    server: CarrierServer, carrier: Carrier
) -> None:
    server.behave = answer(200, {"data": {"id": "129", "active": True}})
    assert carrier.application() == {"id": "129", "active": True}
    server.behave = answer(404, {})
    assert carrier.application() is None
    server.behave = answer(401, {})
    with pytest.raises(AccountBlocked, match="TELNYX_API_KEY"):
        carrier.application()
    for behave in (answer(503, {}), answer(200, []), close_after_reading):
        server.behave = behave
        with pytest.raises(CarrierBusy):
            carrier.application()


def test_the_search_for_a_call_ends_even_if_the_pages_do_not(server: CarrierServer, carrier: Carrier) -> None:
    server.behave = CarrierBooks([[item(f"v3:{n}")] for n in range(500)])
    assert len(carrier.find(TO, SINCE)) == 10


def test_a_call_of_before_or_after_or_to_somebody_else_is_not_the_one(server: CarrierServer, carrier: Carrier) -> None:
    earlier, just_before, later = (SINCE + timedelta(seconds=s) for s in (-60, -2, 60))
    others = [
        item("v3:earlier", earlier),
        item("v3:the next attempt's", later),
        item("v3:else", to="+12125550199"),
        item("v3:undated", None),
    ]
    live = item("v3:live", None, status="ringing")
    server.behave = CarrierBooks([[*others, item("v3:skewed", just_before), live]])
    assert [call.call_sid for call in carrier.find(TO, SINCE)] == ["v3:skewed", "v3:live"]


def test_the_search_is_not_narrowed_to_calls_that_have_a_start_time(server: CarrierServer, carrier: Carrier) -> None:
    server.behave = CarrierBooks([[]])
    assert carrier.find(TO, SINCE) == []
    assert "StartTime" not in server.seen[-1].path


@pytest.mark.parametrize(
    "behave",
    [
        CarrierBooks([], organization={"data": None}),
        CarrierBooks([], organization=[]),
        answer(200, b"<html>", "text/html"),
        answer(200, b"{"),
        answer(200, None),
        answer(500, {}),
        answer(302, b"", location="/elsewhere"),
        close_after_reading,
        never_answer,
    ],
)
def test_a_carrier_that_cannot_be_asked_is_busy_and_never_says_that_there_is_no_call(
    server: CarrierServer, carrier: Carrier, behave: Callable[[Handler], None]
) -> None:
    server.behave = behave
    for ask in (lambda: carrier.find(TO, SINCE), lambda: carrier.fetch("v3:1")):
        with pytest.raises(CarrierBusy):
            ask()


def test_a_list_that_is_not_json_is_not_an_empty_list(server: CarrierServer, carrier: Carrier) -> None:
    server.behave = CarrierBooks([[]])
    carrier.find(TO, SINCE)
    server.behave = answer(200, b"<html>", "text/html")
    for ask in (lambda: carrier.find(TO, SINCE), lambda: carrier.fetch("v3:1")):
        with pytest.raises(CarrierBusy, match="no JSON object"):
            ask()


def test_a_call_that_the_carrier_does_not_know_is_none(server: CarrierServer, carrier: Carrier) -> None:
    server.behave = CarrierBooks([[]])
    carrier.find(TO, SINCE)
    server.behave = refuse(404, "10005")
    assert carrier.fetch("v3:1") is None
    server.behave = answer(200, item("v3:1", status="in-progress", duration="11"))
    found = carrier.fetch("v3:1")
    assert found
    assert (found.event.state, found.created_at) == (CallState.ANSWERED, SINCE.timestamp())


@pytest.mark.parametrize(
    "behave", [answer(200, {"data": {"result": "ok"}}), refuse(422, "90018", "ended"), refuse(404, "10005")]
)
def test_a_call_that_is_over_was_hung_up(
    server: CarrierServer, carrier: Carrier, behave: Callable[[Handler], None]
) -> None:
    server.behave = behave
    carrier.hang_up("v3:a/b")
    assert [seen.path for seen in server.seen] == ["/v2/calls/v3:a%2Fb/actions/hangup"]


@pytest.mark.parametrize(
    "behave", [refuse(422, "90015"), answer(500, {}), answer(200, b"<html>", "text/html"), answer(200, b"{")]
)
def test_a_call_that_may_go_on_was_not_hung_up(
    server: CarrierServer, carrier: Carrier, behave: Callable[[Handler], None]
) -> None:
    server.behave = behave
    with pytest.raises(CarrierBusy):
        carrier.hang_up("v3:1")
    assert len(server.seen) == 1


# --- signatures -------------------------------------------------------------------------------------------------------

SIGNER = SigningKey(bytes(32))
PUBLIC = base64.b64encode(bytes(SIGNER.verify_key)).decode()
FORM = b"CallSid=v3%3A1&CallStatus=busy\xff"


def signed(body: bytes = FORM, at: str | None = None) -> dict[str, str]:
    at = str(int(time.time())) if at is None else at
    signature = base64.b64encode(SIGNER.sign(at.encode() + b"|" + body).signature).decode()
    return {"Telnyx-Timestamp": at, "Telnyx-Signature-Ed25519": signature}


def test_what_the_carrier_signed_is_believed_whatever_its_bytes() -> None:
    verify(FORM, signed(), PUBLIC)
    verify(FORM, {name.lower(): value for name, value in signed().items()}, PUBLIC)
    verify(FORM, signed(at=str(int(time.time()) - 290)), PUBLIC)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"telnyx-timestamp": None},
        {"telnyx-signature-ed25519": None},
        *[{"telnyx-signature-ed25519": bad} for bad in ("", "é", "AAAA", "A" * 88, "not base64!")],
    ],
)
def test_what_the_carrier_did_not_sign_is_forged(headers: dict[str, str | None]) -> None:
    body = FORM if headers else FORM + b"&x=1"
    given = {name.lower(): value for name, value in signed().items()} | headers
    with pytest.raises(Forged):
        verify(body, {name: value for name, value in given.items() if value is not None}, PUBLIC)


@pytest.mark.parametrize("at", [-400, 400, "", "soon", "-1", "1" * 5000, "\u0661", "nan"])
def test_what_the_carrier_did_not_sign_now_is_forged_however_well_it_is_signed(at: int | str) -> None:
    headers = signed(at=str(int(time.time()) + at) if isinstance(at, int) else at)
    with pytest.raises(Forged):
        verify(FORM, headers, PUBLIC)


def test_a_signature_is_for_one_timestamp() -> None:
    headers = signed() | {"Telnyx-Timestamp": str(int(time.time()) + 1)}
    with pytest.raises(Forged):
        verify(FORM, headers, PUBLIC)


@pytest.mark.parametrize("key", ["", "AAAA", "not base64", "é"])
def test_without_a_usable_public_key_nothing_is_believed_and_the_setting_is_named(key: str) -> None:
    with pytest.raises(Forged, match="TELNYX_PUBLIC_KEY"):
        verify(FORM, signed(), key)


# --- the fence --------------------------------------------------------------------------------------------------------


class Silent(httpx.BaseTransport):
    """A transport that hands requests to another one, and does not tell of its steps."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self.inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions.pop("trace", None)
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


class Changing(httpx.BaseTransport):
    """A transport that tells of its steps until it is silenced."""

    def __init__(self) -> None:
        self.inner: httpx.BaseTransport = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.inner.handle_request(request)

    def silence(self) -> None:
        self.inner = Silent(self.inner)

    def close(self) -> None:
        self.inner.close()


class Deaf(httpx.BaseTransport):
    """A transport that answers without having read the request."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"call_sid": "v3:none"}, request=request)


class Twice(httpx.BaseTransport):
    """A transport that sends each request a second time."""

    def __init__(self) -> None:
        self.inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.inner.handle_request(request).close()
        return self.inner.handle_request(request)

    def close(self) -> None:
        self.inner.close()


@contextmanager
def a_carrier(listening: CarrierServer, transport: httpx.BaseTransport) -> Iterator[Carrier]:
    carrier = Carrier(api_key=KEY, app_id="129", base_url=listening.url, timeout_s=1, transport=transport)
    yield carrier
    carrier.close()


@contextmanager
def bytes_that_come(received: bytearray) -> Iterator[str]:
    """A port that accepts connections and keeps every byte; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(0.3)
                        with suppress(TimeoutError):
                            while data := connection.recv(65536):
                                received.extend(data)

        thread = Thread(target=accept)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v2"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_whether_a_dial_may_leave_is_asked_when_all_is_ready_and_before_anything_is_sent(
    carrier: Carrier, server: CarrierServer
) -> None:
    server.behave = answer(200, {"call_sid": "v3:1"})
    dial(carrier)  # from here on, the transport is known to tell of its last step
    seen_when_asked: list[int] = []

    def may_leave() -> bool:
        seen_when_asked.append(len(server.seen))
        return True

    before = time.monotonic()
    dialed = carrier.dial(an_order(), may_leave)
    assert dialed.call_sid == "v3:1"
    assert seen_when_asked == [1]
    assert dialed.left_at
    assert before < dialed.left_at < time.monotonic()


def test_nothing_is_sent_of_a_dial_whose_moment_has_passed(carrier: Carrier, server: CarrierServer) -> None:
    server.behave = answer(200, {"call_sid": "v3:1"})
    with pytest.raises(DialWithheld) as withheld:
        carrier.dial(an_order(), lambda: False)
    assert server.seen == []
    assert withheld.value.left_at is None
    assert dial(carrier) == "v3:1", "and the next one leaves"
    assert len(server.seen) == 1


def test_a_transport_without_a_wire_gets_no_dial_that_may_not_leave() -> None:
    """The failing test of old: httpx's mock transport tells of no steps, and the POST left although the rules said no."""
    sent: list[bytes] = []

    def network(request: httpx.Request) -> httpx.Response:
        sent.append(request.read())
        return httpx.Response(200, json={"call_sid": "v3:1"})

    carrier = Carrier(api_key=KEY, app_id="129", base_url="http://x/v2", transport=httpx.MockTransport(network))
    with pytest.raises(DialWithheld):
        carrier.dial(an_order(), lambda: False)
    assert sent == []
    assert dial(carrier) == "v3:1"
    assert len(sent) == 1
    carrier.close()


@pytest.mark.parametrize(
    "transport", [httpx.HTTPTransport, lambda: Silent(httpx.HTTPTransport())], ids=["tells", "does not tell"]
)
def test_not_one_byte_leaves_of_a_dial_that_may_not(transport: Callable[[], httpx.BaseTransport]) -> None:
    received = bytearray()
    with bytes_that_come(received) as url:
        carrier = Carrier(api_key=KEY, app_id="129", base_url=url, timeout_s=0.3, transport=transport())
        for _ in range(2):
            with pytest.raises(DialWithheld):
                carrier.dial(an_order(), lambda: False)
        with pytest.raises(DialUnconfirmed):
            dial(carrier)
        carrier.close()
    assert received.count(b"POST ") == received.count(an_order().to.encode()) == 1


def test_a_transport_that_stops_telling_of_its_steps_sends_no_call_that_may_not_leave(server: CarrierServer) -> None:
    """The head of the request may leave then, and names no number; its body stays."""
    server.behave = answer(200, {"call_sid": "v3:1"})
    with a_carrier(server, transport := Changing()) as carrier:
        assert dial(carrier) == "v3:1"
        transport.silence()
        with pytest.raises(DialWithheld):
            carrier.dial(an_order(), lambda: False)
        assert dial(carrier) == "v3:1", "the body is read only after the fence has said yes"
    time.sleep(0.1)
    assert [seen.body["To"] for seen in server.seen if seen.body] == [TO, TO]


def test_an_answer_to_a_dial_that_nobody_has_read_is_no_call(server: CarrierServer) -> None:
    with a_carrier(server, Deaf()) as carrier, pytest.raises(DialWithheld):
        dial(carrier)
    assert server.seen == []


def test_a_transport_that_sends_again_places_one_call_and_nobody_takes_it_for_unsent(server: CarrierServer) -> None:
    server.behave = answer(200, {"call_sid": "v3:1"})
    with a_carrier(server, Twice()) as carrier:
        assert type(outcome(carrier)) is DialUnconfirmed
    assert len(server.seen) == 1


def test_a_call_cannot_be_placed_past_the_fence(server: CarrierServer, carrier: Carrier) -> None:
    client, _ = carrier._clients
    for place in (
        lambda: client.texml.calls.create("129", from_="+12125550100", to=TO, texml="<Response/>"),
        lambda: client.post("/calls", cast_to=object, body={"to": TO}),
    ):
        with pytest.raises(telnyx.APIConnectionError) as caught:
            place()
        assert isinstance(caught.value.__cause__, Withheld)
    assert server.seen == []
