"""People who rang us while the dialer was away: the bot knows no more than their call's sid, and only the carrier is believed."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from callbacks_server import NAME, changed, serving, tell

from campaigns.call import OptOut
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.machine.embedded import EmbeddedRedis
from worker.rules.evidence import CallEvent, CallState, FoundCall
from worker.store import Store
from worker.web.inbound import LATELY, rang_us

CALLER = "+12125550142"
OURS = "+12125550100"
CAMPAIGNS = "+12125550170"
APP_ID = "2000000000000000001"
NOW = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def network() -> Iterator[httpx.Client]:
    command = [sys.executable, "-m", "sandbox.telnyx", "--port", "0", "--api-key", "k", "--number", OURS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        with httpx.Client(base_url=process.stdout.readline().split()[-1]) as client:
            yield client
        process.terminate()


@pytest.fixture(scope="module")
def callbacks(
    server: EmbeddedRedis, network: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("callbacks")
    with serving(
        server.url, folder, TELNYX_BASE_URL=str(network.base_url).rstrip("/") + "/v2", TELNYX_TEXML_APP_ID=APP_ID
    ) as serves:
        yield serves.client


@pytest.fixture(autouse=True)
def known_at_once(store: Store, network: httpx.Client, reminder: Campaign) -> None:
    store._redis.set("{dialout}:salt", "5a" * 16)
    store.campaigns.define(changed(reminder, callback_number=CAMPAIGNS))
    network.post("/sandbox/faults", json={"list_delay_s": 0})


def ring(network: httpx.Client, *, to: str = OURS, phone: str = CALLER) -> str:
    return network.post("/sandbox/ring", json={"from": phone, "to": to, "person": "hangs_up"}).json()["call_sid"]


def opt_out(callbacks: httpx.Client, call_sid: str) -> int:
    wish = OptOut(attempt_id="", call_sid=call_sid, reason="they said stop")
    return tell(callbacks, "/reports/opt-out", wish, "opt-out").status_code


@pytest.mark.parametrize("to", [OURS, CAMPAIGNS])
def test_the_number_that_the_carrier_names_is_listed_and_waits_in_no_campaign(
    callbacks: httpx.Client, network: httpx.Client, store: Store, reminder: Campaign, to: str
) -> None:
    contact = Contact(CALLER, NAME, 2)
    store.contacts.enlist(reminder, [(contact, place_of(contact))], store.now())
    sid = ring(network, to=to)
    for _ in range(2):
        assert opt_out(callbacks, sid) == 200
    assert [(phone, entry.source) for phone, entry in store.do_not_call.entries()] == [
        (CALLER, f"asked on the call {sid}")
    ]
    assert store.reading.status(reminder.name).dispositions == {"do_not_call": 1}


def test_a_call_that_the_carrier_does_not_show_yet_is_asked_about_again(
    callbacks: httpx.Client, network: httpx.Client, store: Store
) -> None:
    sid = ring(network)
    network.post("/sandbox/faults", json={"list_delay_s": 600})
    assert opt_out(callbacks, sid) == 503
    assert list(store.do_not_call.entries()) == []
    network.post("/sandbox/faults", json={"list_delay_s": 0})
    assert opt_out(callbacks, sid) == 200
    assert store.do_not_call.holds(CALLER)


def test_a_call_that_we_placed_lists_nobody(callbacks: httpx.Client, network: httpx.Client, store: Store) -> None:
    order = {"From": OURS, "To": CALLER, "Texml": "<Response/>"}
    answer = network.post(f"/v2/texml/calls/{APP_ID}", json=order, headers={"authorization": "Bearer k"})
    assert opt_out(callbacks, answer.json()["call_sid"]) == 404
    assert list(store.do_not_call.entries()) == []


@pytest.mark.parametrize("call", [{"to": "+12125550199"}, {"phone": "anonymous"}, {"phone": "sip:a@b"}], ids=str)
def test_a_call_to_nobody_of_us_or_without_a_number_lists_nobody(
    callbacks: httpx.Client, network: httpx.Client, store: Store, call: dict[str, str]
) -> None:
    assert opt_out(callbacks, ring(network, **call)) == 404
    assert list(store.do_not_call.entries()) == []


@pytest.mark.parametrize(
    "forged", ["", "v3:", "../../messages", "v3:abcdefg/../../x", "v3:abcdefg?x=1", "v" * 257, "é" * 9]
)
def test_the_carrier_is_not_asked_about_what_is_no_call(
    callbacks: httpx.Client, network: httpx.Client, store: Store, forged: str
) -> None:
    assert opt_out(callbacks, forged) == 404
    assert list(store.do_not_call.entries()) == []


def test_only_the_bot_is_believed(callbacks: httpx.Client, network: httpx.Client, store: Store) -> None:
    wish = OptOut(attempt_id="", call_sid=ring(network))
    assert tell(callbacks, "/reports/opt-out", wish, "joined").status_code == 403
    assert list(store.do_not_call.entries()) == []


@pytest.mark.parametrize(
    ("ago", "believed"),
    [
        (timedelta(0), True),
        (LATELY, True),
        (LATELY + timedelta(seconds=1), False),
        (timedelta(seconds=-30), True),
        (timedelta(minutes=-2), False),
        (None, False),
    ],
)
def test_only_a_call_of_the_last_hour_is_believed(ago: timedelta | None, believed: bool) -> None:
    created_at = None if ago is None else (NOW - ago).timestamp()
    call = FoundCall("v3:1", OURS, CALLER, created_at, CallEvent("v3:1", CallState.ANSWERED), inbound=True)
    assert rang_us(call, {OURS}, NOW) is believed
