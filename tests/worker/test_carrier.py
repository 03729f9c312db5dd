import random
import subprocess
import sys
import typing
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import httpx
import pytest
from pydantic import BaseModel
from telnyx.types import call_hangup
from telnyx.types.texml.accounts import call_resource

from campaigns.call import Disposition
from worker.rules.evidence import AnsweredBy, CallState
from worker.telnyx import codes
from worker.telnyx.arrival import Usual
from worker.telnyx.carrier import Carrier
from worker.telnyx.order import DialOrder
from worker.telnyx.reading import read_detection, read_status
from worker.telnyx.refusals import AccountBlocked, CarrierBusy, DialRefused, DialUnconfirmed

NUMBER = "+12125550142"


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.telnyx", "--port", "0", "--ring-scale", "0.05"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    yield process.stdout.readline().split()[-1]
    process.kill()  # one of its answers hangs for minutes
    process.wait(60)
    process.stdout.close()


@pytest.fixture
def carrier(network: str, request: pytest.FixtureRequest) -> Iterator[Carrier]:
    """A carrier that waits for any machine, unless no answer will come."""
    params = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    patience_s = 2 if params.get("fault") == "hang" else 60
    httpx.post(f"{network}/sandbox/faults", json={"create": [], "list_delay_s": 0})
    carrier = Carrier(
        api_key="KEYsandbox", app_id="2000000000000000001", base_url=f"{network}/v2", timeout_s=patience_s
    )
    yield carrier
    carrier.close()


def order(to: str = NUMBER) -> DialOrder:
    return DialOrder(to, "+12125550100", "<Response><Hangup/></Response>", "http://127.0.0.1:9/s", None, 30, 60)


def posts(network: str) -> int:
    return len(httpx.get(f"{network}/sandbox/requests").json())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("429", CarrierBusy),
        ("429-api", CarrierBusy),
        ("403-D1", CarrierBusy),
        ("channels", CarrierBusy),
        ("500", DialUnconfirmed),
        ("503", DialUnconfirmed),
        ("502-after", DialUnconfirmed),
        ("cut", DialUnconfirmed),
        ("hang", DialUnconfirmed),
        ("html", DialUnconfirmed),
        ("empty", DialUnconfirmed),
        ("broken", DialUnconfirmed),
        ("401", AccountBlocked),
        ("403", AccountBlocked),
        ("403-D51", AccountBlocked),
        ("404", AccountBlocked),
        ("funds", AccountBlocked),
        ("403-D13", DialRefused),
        ("422", DialRefused),
    ],
)
def test_every_answer_leads_to_what_the_dialer_does_next_after_exactly_one_post(
    carrier: Carrier, network: str, fault: str, expected: type[Exception]
) -> None:
    httpx.post(f"{network}/sandbox/faults", json={"create": [{"kind": fault, "seconds": 600}]})
    before = posts(network)
    with pytest.raises(expected) as caught:
        carrier.dial(order(), lambda: True)
    assert type(caught.value) is expected
    assert posts(network) == before + 1
    assert "KEYsandbox" not in str(caught.value)
    assert NUMBER not in str(caught.value)


def test_nothing_rang_when_nobody_listens() -> None:
    carrier = Carrier(api_key="k", app_id="1", base_url="http://127.0.0.1:9/v2", timeout_s=60)
    with pytest.raises(CarrierBusy, match="cannot be reached"):
        carrier.dial(order(), lambda: True)
    carrier.close()


def test_a_call_is_placed_found_and_hung_up_twice(carrier: Carrier, network: str) -> None:
    httpx.post(f"{network}/sandbox/people", json={"+12125550143": "no_answer"})
    sid = carrier.dial(order("+12125550143"), lambda: True).call_sid
    assert sid.startswith("v3:")
    assert [call.call_sid for call in carrier.find("+12125550143", datetime.now(UTC) - timedelta(seconds=10))] == [sid]
    carrier.hang_up(sid)
    carrier.hang_up(sid)
    fetched = carrier.fetch(sid)
    assert fetched
    assert (fetched.to, fetched.caller_id, fetched.inbound) == ("+12125550143", "+12125550100", False)


def test_a_call_to_us_is_told_from_ours(carrier: Carrier, network: str) -> None:
    assert literals(call_resource.CallResource, "direction") == ("inbound", "outbound")
    ring = {"from": NUMBER, "to": "+12125550100", "person": "hangs_up"}
    fetched = carrier.fetch(httpx.post(f"{network}/sandbox/ring", json=ring).json()["call_sid"])
    assert fetched
    assert (fetched.to, fetched.caller_id, fetched.inbound) == ("+12125550100", NUMBER, True)


def test_what_nearly_all_answers_take_is_learned_and_only_the_few_that_take_longer_are_late() -> None:
    dice, usual = random.Random(1), Usual()
    for _ in range(2000):
        usual.excess_of(dice.uniform(0.04, 0.06))
    late = [usual.excess_of(dice.uniform(0.04, 0.06)) for _ in range(2000)]
    assert 0.02 < sum(map(bool, late)) / len(late) < 0.1
    assert usual.excess_of(0.2) == pytest.approx(0.14, abs=0.01)


def literals(model: type[BaseModel], name: str) -> tuple[str, ...]:
    """The values that the SDK's own type of a field allows."""

    def inside(annotation: object) -> tuple[str, ...]:
        if typing.get_origin(annotation) is Literal:
            return typing.get_args(annotation)
        return tuple(value for part in typing.get_args(annotation) for value in inside(part))

    found = inside(model.model_fields[name].annotation)
    assert found, f"the SDK no longer lists {name}"
    return found


def test_every_code_that_the_sdk_knows_has_an_entry() -> None:
    assert set(literals(call_hangup.Payload, "hangup_cause")) <= set(codes.HANGUP_CAUSES)
    assert set(literals(call_resource.CallResource, "status")) <= set(codes.CALL_STATES)
    assert set(literals(call_resource.CallResource, "answered_by")) <= set(codes.ANSWERED_BY)
    assert {s for s, state in codes.CALL_STATES.items() if state is CallState.ENDED} == set(codes.END_STATES)


DOCUMENTED_AMD = [
    "human",
    "machine_start",
    "machine_end_beep",
    "machine_end_silence",
    "machine_end_other",
    "fax",
    "unknown",
]
DOCUMENTED_D = [f"D{n}" for n in (1, 2, 3, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 22, 24, 35, 36, 38, 39, 40, 41, 51,
                                  52, 53, 54, 60, 61, 63, 64, 65)]  # fmt: skip
DOCUMENTED_API = (
    "10002 10003 10004 10005 10007 10008 10009 10010 10011 10015 10016 10026 10032 10033 10037 10038 10039 "
)
DOCUMENTED_API += "20012 20100 90014 90015 90018 90034 90041 90042 90043 90045 90046 90048 90103"


def test_every_documented_code_has_an_entry() -> None:
    assert set(DOCUMENTED_AMD) <= set(codes.ANSWERED_BY)
    assert set(DOCUMENTED_D) | {"PE1", "PE6", "TV1", "TM1", "P05", "P15"} <= set(codes.D_CODES)
    assert set(DOCUMENTED_API.split()) <= set(codes.API_ERRORS)


def status(call_status: str, **fields: str) -> Disposition | None:
    event = read_status({"CallSid": "v3:1", "CallStatus": call_status, **fields})
    assert event
    return event.disposition


@pytest.mark.parametrize(
    ("call_status", "fields", "expected"),
    [
        ("completed", {"HangupCause": "normal_clearing"}, "completed"),
        ("completed", {"HangupCause": "time_limit"}, "completed"),
        ("busy", {"SipHangupCause": "486"}, "busy"),
        ("no-answer", {"SipHangupCause": "480"}, "no_answer"),
        ("canceled", {"SipHangupCause": "487"}, "canceled"),
        ("failed", {"HangupCause": "user_busy"}, "busy"),
        ("failed", {"HangupCause": "call_rejected"}, "rejected"),
        ("failed", {"SipHangupCause": "603"}, "rejected"),
        ("failed", {"SipHangupCause": "404"}, "invalid_number"),
        ("failed", {"SipHangupCause": "486"}, "busy"),
        ("failed", {"SipHangupCause": "503"}, "failed"),
        ("failed", {"SipHangupCause": "unspecified"}, "failed"),
        ("failed", {"SipHangupCause": "403", "ErrorMessage": "not whitelisted D13"}, "rejected"),
        ("failed", {}, "failed"),
    ],
)
def test_a_terminal_callback_is_read_by_its_causes(call_status: str, fields: dict[str, str], expected: str) -> None:
    assert status(call_status, **fields) == expected


def test_steps_on_the_way_are_no_ends_and_digits_are_no_steps() -> None:
    assert status("ringing") is None
    assert read_status({"CallSid": "v3:1", "CallStatus": "dtmf"}) is None
    with pytest.raises(ValueError, match="must have CallSid"):
        read_status({"CallStatus": "busy"})


@pytest.mark.parametrize(
    "text", ["2026-11-23T18:00:00Z", "2026-11-23 18:00:00.000000Z", "Mon, 23 Nov 2026 18:00:00 +0000", "nonsense", ""]
)
def test_every_timestamp_that_telnyx_writes_is_read_and_any_other_is_left_out(text: str) -> None:
    event = read_status({"CallSid": "v3:1", "CallStatus": "ringing", "Timestamp": text})
    assert event
    assert event.at == (1_795_456_800.0 if "2026" in text else None)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://x.example/r.mp3?X-Amz-Signature=212555010012125550100&e=600", True),
        ("", False),
        ("javascript:alert(1)", False),
        ("https://x.example/a b", False),
        ("https://x.example/" + "y" * 3000, False),
    ],
)
def test_where_the_recording_is_is_kept_as_it_came_if_it_is_an_address(url: str, kept: bool) -> None:
    event = read_status({"CallSid": "v3:1", "CallStatus": "completed", "CallDuration": "9", "RecordingUrl": url})
    assert event
    assert event.recording_url == (url if kept else "")


def test_who_answered_is_a_human_unless_telnyx_is_sure_of_a_machine() -> None:
    assert read_detection({"CallSid": "v3:1", "AnsweredBy": "machine_end_beep"}).answered_by is AnsweredBy.MACHINE_READY
    for word in ("not_sure", "unknown", "something new"):
        assert read_detection({"CallSid": "v3:1", "AnsweredBy": word}).answered_by is AnsweredBy.HUMAN
