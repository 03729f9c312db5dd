"""The leave to dial: what a worker does with each answer that the store may give just before the POST."""

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from callbacks_server import NAME, SECRET
from claiming import claim
from pydantic import SecretStr

from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.dialing import dial
from worker.dialing.collaborators import Dialer
from worker.rules.evidence import FoundCall
from worker.rules.rule import Rule
from worker.settings import Settings
from worker.store import Store
from worker.telnyx.order import Dialed, DialOrder

SETTINGS = Settings(
    telnyx_api_key=SecretStr("k"),
    telnyx_texml_app_id="1",
    telnyx_base_url="http://127.0.0.1:9/v2",
    public_url="https://dialer.example",
    brief_secret=SecretStr(SECRET),
    stream_url="ws://agent.example/ws",
    caller_ids=("+12125550100",),
    calls_per_second=100,
)


class SilentPhone:
    """A network that rings nobody, and keeps the orders that it got."""

    def __init__(self) -> None:
        self.orders: list[DialOrder] = []

    def warm_up(self) -> None:
        pass

    def dial(self, order: DialOrder, may_leave: Callable[[], bool]) -> Dialed:
        self.orders.append(order)
        return Dialed("none", None)

    def find(self, to: str, begun_at: datetime) -> list[FoundCall]:
        return []

    def fetch(self, call_sid: str) -> FoundCall | None:
        return None

    def hang_up(self, call_sid: str) -> None:
        pass

    def numbers(self) -> dict[str, str]:
        return {}


def test_a_rule_that_this_version_does_not_know_is_recorded_and_the_contact_waits(
    store: Store, reminder: Campaign, caplog: pytest.LogCaptureFixture
) -> None:
    store.campaigns.define(reminder)
    contact = Contact("+12125550111", NAME, 2)
    store.contacts.enlist(reminder, [(contact, place_of(contact))], store.now())
    (attempt_id,) = claim(store, reminder)
    newer = store._redis.register_script("return {'no', 'household', 0}")  # a begin.lua of another version
    store._database._registered["begin"] = newer
    phone = SilentPhone()

    with caplog.at_level(logging.ERROR):
        dial.place(Dialer(store, phone, SETTINGS), [attempt_id])

    assert phone.orders == []
    assert "household" in caplog.text
    contact_id = attempt_id.partition("#")[0]
    told = json.loads(store._redis.lrange(f"{{dialout}}:journal:{contact_id}", -1, -1)[0])  # type: ignore[index]
    assert (told["event"], told["rule"]) == ("postponed", Rule.UNKNOWN_ANSWER)
    assert "household" in told["reason"]
    standing = store.reading.standing(contact_id)
    assert standing
    assert standing.due
    assert standing.due > store.now() + timedelta(seconds=1)
