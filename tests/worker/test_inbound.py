"""People who ring us though we never rang them: in whose name they are answered, and what they can ask for."""

import time
from collections.abc import Callable
from datetime import datetime
from urllib.parse import quote

import httpx
import pytest
from callbacks_server import SECRET, changed, dialed, signed, tell
from defusedxml import ElementTree

from campaigns.call import (
    SIGNATURE_HEADER,
    Brief,
    DetectionQuery,
    Direction,
    Joined,
    OptOut,
    Report,
    Script,
    from_parameters,
    sign_message,
    verify_message,
)
from campaigns.campaign import WEEKDAYS, CallingWindow, Campaign
from tests.lateness import Lateness
from worker.rules.states import CampaignState
from worker.store import Store

STRANGER = "+12125550142"
OURS = "+12125550100"


@pytest.fixture(autouse=True)
def same_salt(store: Store) -> None:
    store._redis.set("{dialout}:salt", "5a" * 16)


@pytest.fixture
def named(store: Store, reminder: Campaign) -> Callable[..., Campaign]:
    def define(name: str, **update: object) -> Campaign:
        campaign = changed(reminder, **{"name": name, "business_name": f"{name} Inc"} | update)
        store.campaigns.define(campaign)
        # Which is newer is told by the millisecond.
        time.sleep(0.002)
        return campaign

    return define


def ring(client: httpx.Client, *, to: str = OURS, phone: str = STRANGER, sid: str = "v3:x") -> Brief | None:
    """Ring us; returns what the bot is told, or None if it is told nothing."""
    answer = client.post("/telnyx/inbound", **signed({"CallSid": sid, "From": phone, "To": to}))
    assert answer.status_code == 200
    document = ElementTree.fromstring(answer.text)
    assert document.find(".//Stream") is not None
    told = {str(p.get("name")): str(p.get("value")) for p in document.iter("Parameter")}
    return from_parameters(told, SECRET, time.time()) if told else None


def test_a_stranger_is_answered_in_the_name_of_the_only_campaign(
    callbacks: httpx.Client, named: Callable[..., Campaign]
) -> None:
    named("one")
    brief = ring(callbacks, to="+12125550177")
    assert brief
    assert (brief.campaign, brief.direction, brief.contact) == ("one", Direction.INBOUND, {})
    assert brief.attempt_id.startswith("caller#")
    assert "one Inc" in brief.greeting
    assert brief.script
    assert "dental practice" in brief.script.instructions
    assert brief.report_url == "https://dialer.example/reports"
    again = ring(callbacks, to="+12125550177")
    assert again
    assert again.attempt_id == brief.attempt_id, "Telnyx may ask twice for one call"


def test_the_number_that_was_rung_tells_the_campaign_and_of_several_the_newest(
    callbacks: httpx.Client, named: Callable[..., Campaign]
) -> None:
    named("first", caller_ids=("+12125550171", "+12125550172"), callback_number="+12125550170")
    named("second", caller_ids=("+12125550172",), callback_number="+12125550173")
    names = {
        to: brief and brief.campaign
        for to in ("0", "1", "2", "3", "4")
        if (brief := ring(callbacks, to=f"+1212555017{to}")) or 1
    }
    assert names == {"0": "first", "1": "first", "2": "second", "3": "second", "4": None}


def test_nobody_is_answered_in_another_businesss_name(
    callbacks: httpx.Client, store: Store, named: Callable[..., Campaign]
) -> None:
    named("first", callback_number="+12125550170")
    named("second", callback_number="+12125550171")
    store.campaigns.set_state("first", CampaignState.PAUSED, "test")
    assert ring(callbacks, to="+12125550170") is None
    assert ring(callbacks, to="+12125550179") is None, "a number of neither could mean either"


def test_a_number_of_no_campaigns_own_is_answered_by_the_newest_if_all_are_of_one_business(
    callbacks: httpx.Client, named: Callable[..., Campaign]
) -> None:
    for name in ("first", "second"):
        named(name, business_name="Both Inc")
    brief = ring(callbacks, to="+12125550179")
    assert brief
    assert brief.campaign == "second"


def test_without_a_campaign_or_a_call_to_name_the_document_names_only_the_agent(
    callbacks: httpx.Client, store: Store, named: Callable[..., Campaign]
) -> None:
    assert ring(callbacks) is None
    named("one")
    assert ring(callbacks, sid="") is None
    store.campaigns.set_state("one", CampaignState.STOPPED, "test")
    assert ring(callbacks) is None


def test_whoever_rings_us_is_connected_at_any_hour_and_even_if_we_may_not_ring_them(
    callbacks: httpx.Client, store: Store, reminder: Campaign, named: Callable[..., Campaign]
) -> None:
    yesterday = WEEKDAYS[(datetime.now().astimezone().weekday() + 4) % 7]
    named("one", calling_window=CallingWindow(weekdays=(yesterday,)))
    store.do_not_call.add(STRANGER, "operator")
    assert ring(callbacks)
    dialed(store, reminder)
    store.do_not_call.add("+12125550111", "operator")
    known = ring(callbacks, phone="+12125550111", sid="v3:y")
    assert known
    assert known.contact["name"] == "Ada"


def test_a_stranger_can_opt_out_and_what_the_bot_says_of_them_is_taken(
    callbacks: httpx.Client, store: Store, named: Callable[..., Campaign]
) -> None:
    named("one")
    brief = ring(callbacks)
    assert brief
    id_ = brief.attempt_id
    now = store.now()
    report = Report(report_id="r", attempt_id=id_, disposition="completed", started_at=now, ended_at=now)  # type: ignore[arg-type]
    with Lateness() as late:
        began = time.monotonic()
        assert tell(callbacks, "/reports/joined", Joined(attempt_id=id_), "joined").status_code == 200
        query = DetectionQuery(attempt_id=id_)
        assert tell(callbacks, "/reports/detection", query, "detection").json() == {"answered_by": ""}
        assert tell(callbacks, "/reports", report, "report").status_code == 200
        took_s = time.monotonic() - began
    assert took_s < 4 + late.seconds, "no detection can come, so none is waited for"
    assert not store.do_not_call.holds(STRANGER)
    for _ in range(2):
        assert tell(callbacks, "/reports/opt-out", OptOut(attempt_id=id_), "opt-out").status_code == 200
        assert store.do_not_call.holds(STRANGER)
    assert store.reading.status("one").contacts == 0, "a stranger is no contact"


def test_a_report_alone_is_enough_to_opt_a_stranger_out(
    callbacks: httpx.Client, store: Store, named: Callable[..., Campaign]
) -> None:
    named("one")
    brief = ring(callbacks)
    assert brief
    now = store.now()
    report = Report(report_id="r", attempt_id=brief.attempt_id, disposition="do_not_call", started_at=now, ended_at=now)  # type: ignore[arg-type]
    assert tell(callbacks, "/reports", report, "report").status_code == 200
    assert store.do_not_call.holds(STRANGER)


@pytest.mark.parametrize("phone", ["anonymous", "", "+0", "sip:a@b", "+1212555014x"])
def test_who_withholds_their_number_is_talked_with_and_told_that_nothing_can_be_listed(
    callbacks: httpx.Client, store: Store, named: Callable[..., Campaign], phone: str
) -> None:
    named("one")
    brief = ring(callbacks, phone=phone)
    assert brief
    assert tell(callbacks, "/reports/opt-out", OptOut(attempt_id=brief.attempt_id), "opt-out").status_code == 404
    assert list(store.do_not_call.entries()) == []


def fetch(client: httpx.Client, attempt_id: str) -> Script:
    header = sign_message(attempt_id.encode(), SECRET, purpose="script", now=time.time())
    answer = client.get(f"/briefs/{quote(attempt_id, safe='')}", headers={SIGNATURE_HEADER: header})
    assert answer.status_code == 200
    verify_message(answer.content, answer.headers[SIGNATURE_HEADER], SECRET, purpose="script", now=time.time())
    return Script.model_validate_json(answer.content)


def test_a_long_script_for_strangers_is_fetched_like_any_other(
    callbacks: httpx.Client, reminder: Campaign, named: Callable[..., Campaign]
) -> None:
    long = reminder.templates.model_dump() | {"unknown_instructions": "Be kind. " * 1000}
    named("one", templates=long)
    brief = ring(callbacks)
    assert brief
    assert brief.script is None
    assert fetch(callbacks, brief.attempt_id).instructions.startswith("Be kind.")


def test_a_long_script_for_who_rings_back_says_when_we_called(
    callbacks: httpx.Client, store: Store, reminder: Campaign
) -> None:
    long = reminder.templates.model_dump() | {"inbound_instructions": "We called at {{ called_at }}. " * 200}
    attempt = dialed(store, changed(reminder, templates=long))
    brief = ring(callbacks, phone="+12125550111")
    assert brief
    assert brief.script is None
    called_at = brief.greeting.partition("We called you at ")[2].partition(" about")[0]
    assert called_at
    assert fetch(callbacks, brief.attempt_id).instructions.startswith(f"We called at {called_at}. We")
    assert "Ada" in fetch(callbacks, attempt).instructions
