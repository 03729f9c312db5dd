"""`dialout doctor` against a healthy Telnyx, Redis and callbacks server, and against each of them broken in one way."""

import base64
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from callbacks_server import KEY as SIGNING_KEY
from callbacks_server import Server as Callbacks
from test_carrier_socket import CarrierServer, Handler, answer, listening

from worker.cli.doctor import Finding, examine
from worker.machine.embedded import EmbeddedRedis
from worker.settings import Settings
from worker.store import Store

__all__ = ["listening"]  # a fixture


class Telnyx:
    """An account with one number and one application."""

    def __init__(self, public_url: str) -> None:
        self.application: dict[str, Any] = {
            "active": True, "voice_url": f"{public_url}/telnyx/inbound", "status_callback": f"{public_url}/telnyx/status",
            "voice_fallback_url": "https://fallback.example", "outbound": {"outbound_voice_profile_id": "1"},
        }  # fmt: skip
        self.numbers = {"+12125550100": "129"}
        self.key_is_taken = True

    def __call__(self, request: Handler) -> None:
        path = request.path.partition("?")[0].removeprefix("/v2")
        if not self.key_is_taken:
            return answer(401, {})(request)
        match path:
            case "/texml_applications/129":
                body: object = {"data": self.application}
            case "/phone_numbers":
                body = {"data": [{"phone_number": n, "connection_id": app} for n, app in self.numbers.items()]}
            case "/verified_numbers" | "/whoami":
                body = {"data": []}
            case _:
                return answer(404, {})(request)
        return answer(200, body)(request)


@pytest.fixture
def telnyx(listening: CarrierServer, callbacks_server: Callbacks) -> Iterator[Telnyx]:
    account = Telnyx(f"http://127.0.0.1:{callbacks_server.port}")
    listening.behave = account
    yield account
    listening.behave = answer(200, {})


@pytest.fixture
def well(
    listening: CarrierServer, telnyx: Telnyx, server: EmbeddedRedis, store: Store, callbacks_server: Callbacks
) -> Settings:
    del store  # the fixture empties the store: campaigns of other tests have caller IDs of their own
    return Settings.model_validate(
        {
            "redis_url": server.url,
            "telnyx_api_key": "k",
            "telnyx_texml_app_id": "129",
            "telnyx_public_key": base64.b64encode(bytes(SIGNING_KEY.verify_key)).decode(),
            "telnyx_base_url": listening.url,
            "caller_ids": "+12125550100",
            "public_url": f"http://127.0.0.1:{callbacks_server.port}",
            "brief_secret": "s",
            "stream_url": f"ws://127.0.0.1:{callbacks_server.port}/ws",
        }
    )


def ill(found: list[Finding]) -> dict[str, str]:
    return {one.check: one.says for one in found if one.ok is False}


def test_where_all_is_well_there_is_nothing_to_fix(well: Settings) -> None:
    found = list(examine(well))
    assert ill(found) == {}
    assert {one.check for one in found if one.ok} == {
        "settings", "redis", "clock", "telnyx", "application", "callbacks", "numbers", "agent",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("update", "check", "says"),
    [
        ({"brief_secret": ""}, "settings", "BRIEF_SECRET is not set"),
        ({"telnyx_public_key": "c2hvcnQ="}, "settings", "TELNYX_PUBLIC_KEY is not the base64 of 32 bytes"),
        ({"redis_url": "redis://127.0.0.1:1/0"}, "redis", "cannot reach Redis"),
        ({"telnyx_texml_app_id": "130"}, "application", "there is no TeXML application 130"),
        ({"telnyx_base_url": "http://127.0.0.1:1"}, "telnyx", "could not be asked"),
        ({"caller_ids": "+13125550100"}, "numbers", "+13125550100: it is not one of this Telnyx account's numbers"),
        ({"public_url": "http://127.0.0.1:1"}, "callbacks", "cannot be reached from here"),
        ({"stream_url": "ws://127.0.0.1:1/ws"}, "agent", "127.0.0.1:1 cannot be reached"),
    ],
)
def test_a_problem_is_reported_by_the_check_that_it_belongs_to(
    well: Settings, update: dict[str, str], check: str, says: str
) -> None:
    changed = {name: value for name, value in well.model_dump().items() if name not in update}
    found = ill(list(examine(Settings.model_validate(changed | update))))
    assert says in found[check]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"active": False}, "it is not active"),
        ({"voice_url": ""}, "its voice_url is empty: set it to http"),
        ({"status_callback": "https://elsewhere"}, "its status_callback is https://elsewhere: set it to"),
        ({"outbound": {}}, "it has no outbound voice profile"),
    ],
)
def test_every_wrong_key_of_an_application_is_reported(
    well: Settings, telnyx: Telnyx, wrong: dict[str, Any], says: str
) -> None:
    telnyx.application |= wrong
    assert says in ill(list(examine(well)))["application"]


def test_telnyx_is_asked_nothing_more_once_it_refuses_the_key(well: Settings, telnyx: Telnyx) -> None:
    telnyx.key_is_taken = False
    found = list(examine(well))
    assert "TELNYX_API_KEY" in ill(found)["telnyx"]
    assert not {one.check for one in found} & {"application", "numbers"}


def test_a_number_whose_calls_do_not_reach_us_is_noted(well: Settings, telnyx: Telnyx) -> None:
    telnyx.numbers["+12125550100"] = "another"
    (note,) = [one for one in examine(well) if one.check == "numbers"]
    assert note.ok is None
    assert "assign it" in note.says


class Stranger(BaseHTTPRequestHandler):
    """Another server, which knows none of our paths."""

    def log_message(self, *_: object) -> None: ...


def test_a_public_url_that_leads_to_another_server_is_noticed(well: Settings) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as stranger:
        thread = Thread(target=stranger.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{stranger.server_address[1]}"
        found = ill(list(examine(Settings.model_validate(well.model_dump() | {"public_url": url}))))
        stranger.shutdown()
        thread.join()
    assert "leads to something else" in found["callbacks"]


def test_no_finding_holds_a_secret(well: Settings) -> None:
    secret = "KEYsecret0123456789"
    told = Settings.model_validate(well.model_dump() | {"telnyx_api_key": secret, "brief_secret": secret})
    assert secret not in json.dumps([one.facts() for one in examine(told)])
