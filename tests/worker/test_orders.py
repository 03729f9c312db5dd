"""From a contact to what the carrier is told of its call."""

import time

import pytest
from callbacks_server import SECRET, changed, dialed
from defusedxml import ElementTree
from pydantic import SecretStr

from campaigns.call import from_parameters
from campaigns.campaign import Campaign
from worker.dialing import briefing
from worker.settings import Settings
from worker.store import Store

SETTINGS = Settings(
    public_url="https://dialer.example",
    brief_secret=SecretStr(SECRET),
    stream_url="ws://agent.example/ws",
    caller_ids=("+12125550100",),
)


@pytest.mark.parametrize("record", [True, False])
def test_what_a_campaign_says_of_its_calls_reaches_the_carrier_and_the_bot(
    store: Store, reminder: Campaign, record: bool
) -> None:
    rules = reminder.call.model_copy(update={"record": record, "menus": "press_keys"})
    case = store.attempts.case(dialed(store, changed(reminder, call=rules.model_dump())))
    assert case
    order = briefing.order(case, SETTINGS, store.now())
    assert (order.record, order.time_limit_s) == (record, 300)
    document = ElementTree.fromstring(order.texml)
    brief = from_parameters({p.get("name"): p.get("value") for p in document.iter("Parameter")}, SECRET, time.time())
    assert brief.greeting.endswith("This call is recorded.") is record
    assert brief.listening == reminder.listening
    script = brief.script
    assert script
    assert script.hours
    assert (script.menus, script.time_limit_s, script.hours.zone) == ("press_keys", 280, case.zones[0])
    assert script.transfers == {"front_desk": "+12125550109"}
    assert "Harbour Dental" in script.screening
