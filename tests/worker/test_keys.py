"""The table of keys in worker/store/keys.py against the keys that a campaign leaves: neither has a key that the other lacks."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
import redis
from claiming import claim
from redis.cluster import RedisCluster
from redis.crc import key_slot
from servers import redis_with, until

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import free_port
from worker.rules import retries
from worker.rules.caller_ids import CallerIdLimits
from worker.rules.do_not_call import Registry
from worker.rules.evidence import CallEvent, CallState
from worker.rules.settlement import Settled
from worker.store import Store, witnesses
from worker.store import keys as documented
from worker.store.values import Caller, Case, Enlisted, Reception

SECOND: Final = timedelta(seconds=1)
BUSY: Final = Settled(Disposition.BUSY, "busy")
ABANDONED: Final = frozenset({"failed", "answered", "person", "abandoned"})
LISTED: Final = "+12125550103"
MEANINGS: Final = {
    "c": r"[a-z_]+", "id": r"[a-z2-7]{16}(#i?\w+)?", "contact": r"[a-z2-7]{16}", "zone": r"\d+", "phone": r"\+\d+",
    "sid": r"v3:\w+", "task": r"[a-z]+", "hash": r"[0-9a-f]{20}",
}  # fmt: skip
TRANSIENT: Final = {"due", "live", "lines", "queued", "watch", "inbound", "talking", "awaiting"}
MORTAL: Final = {"pace", "left", "call", "caller", "slow", "tick", "warm", "lines_from", "rung"}


def documented_keys() -> list[tuple[str, str]]:
    """Read the table: each key's pattern and its type. A key may have two types, one after the other."""
    rows = re.findall(r"^    (\{dialout\}:\S+(?:, \S+)*) {2,}(\w+)", documented.__doc__ or "", re.MULTILINE)
    found = []
    for names, kind in rows:
        for name in names.removeprefix("{dialout}:").split(", "):
            pattern = re.sub(r"<(\w+)>", lambda m: MEANINGS[m[1]], name)
            found.append((r"\{dialout\}:" + pattern, kind))
    return found


def kept(store: Store) -> dict[str, tuple[str, bool]]:
    """Return the keys in Redis -> their types, and whether they expire."""
    client = store._redis
    found = {key: (client.type(key), client.pttl(key) >= 0) for key in client.scan_iter(count=1000)}
    return {key: facts for key, facts in found.items() if facts[0] != "none"}  # it expired while we looked


def kind_of(key: str) -> str:
    return key.split(":")[1]


class Campaigning:
    """One campaign from its first contact to its last, by the store's own methods. `seen` collects the keys on the way."""

    def __init__(self, store: Store, campaign: Campaign) -> None:
        self.store, self.campaign, self.seen = store, campaign, set[tuple[str, str, bool]]()

    def look(self) -> None:
        self.seen |= {(key, *facts) for key, facts in kept(self.store).items()}

    def case(self, attempt_id: str) -> Case:
        case = self.store.attempts.case(attempt_id)
        assert case
        return case

    def claim(self) -> list[str]:
        claimed = claim(self.store, self.campaign, lines=9)
        self.look()
        return claimed

    def begin(self, attempt_id: str) -> Case:
        quick = timedelta(microseconds=1)
        self.store.pace.departures(
            self.campaign.name, 1, account_interval=quick, campaign_interval=quick, farthest=SECOND
        )
        begun = self.store.attempts.begin(
            self.case(attempt_id), "t", lease=60 * SECOND, first_look=SECOND, account_interval=quick,
            campaign_interval=quick, record={"version": "1"}, pool=["+12125550199"], limits=CallerIdLimits(lines=9),
        )  # fmt: skip
        assert begun.dial, begun
        self.look()
        return self.case(attempt_id)

    def end(self, case: Case, settled: Settled, *, again: bool = False) -> None:
        if settled.disposition is not Disposition.BUSY:
            answered = CallEvent("v3:out", CallState.ANSWERED)
            assert self.store.attempts.witness(case.attempt_id, witnesses.told(answered)) is Reception.NEWS
            self.look()
        event = CallEvent("v3:out", CallState.ENDED, None, settled.disposition, settled.reason)
        assert self.store.attempts.witness(case.attempt_id, witnesses.told(event)) is Reception.NEWS
        due = self.store.now() - SECOND if again else None
        assert self.store.attempts.conclude(self.case(case.attempt_id), settled, due, ABANDONED) == "ok"
        self.look()

    def run(self) -> None:
        store, campaign = self.store, self.campaign
        people = [Contact(f"+1212555010{n}", {"name": "Ada", "day": "d", "time": "t"}, n + 2) for n in range(6)]
        store.campaigns.define(campaign)
        assert store.do_not_call.add(LISTED, "operator")
        store.do_not_call.record_import("us-dnc", Registry(store.now().date(), "marketing"))
        assert store.contacts.enlist(campaign, [(p, place_of(p)) for p in people], store.now()) == Enlisted(6, 0, 1)
        assert store.contacts.refuse_rows(campaign.name, [{"line": 9, "reason": "no number"}]) == 1
        again, postponed, asked, rings, late = self.claim()
        self.end(self.begin(again), BUSY, again=True)
        # One is claimed and never dialed, one is begun and refused by the carrier: both are given back.
        assert store.attempts.postpone(self.case(late), "", store.now() - SECOND, "lease_ended", "nobody dialed it")
        case = self.begin(postponed)
        assert store.attempts.postpone(case, "t", store.now() - SECOND, "carrier_busy", "429", slow_to=8)
        assert store.tick("claim", SECOND)
        self.end(self.begin(asked), Settled(Disposition.DO_NOT_CALL, "asked"))
        store.pace.count_warm_bots(7, store.now())
        # One is busy now, rings back, and talks.
        case = self.begin(rings)
        self.end(case, BUSY, again=True)
        store.callers.call_began("v3:in")
        inbound = self.case(store.callers.ring_back(self.case(rings), "v3:in", timedelta(minutes=10)))
        self.look()
        talked, following = retries.after_inbound(Settled(Disposition.COMPLETED, "talked"), inbound.before, store.now())
        assert following is None
        assert store.callers.attempt_of("v3:in") == inbound.attempt_id
        self.end(inbound, talked)
        store.callers.call_ended("v3:in")
        # Somebody rings us whom no attempt rang.
        stranger = Caller("+12125550142", campaign.name)
        assert store.callers.get(store.callers.meet("v3:stranger", stranger)) == stranger
        # Three wait again: one asks elsewhere for no more calls, and the others are reached.
        assert store.do_not_call.add(self.case(late).phone, "operator")
        for attempt_id in self.claim():
            self.end(self.begin(attempt_id), Settled(Disposition.COMPLETED, "talked"))


@pytest.fixture(params=["one server", "a cluster", "a cluster, by a client that knows of none"])
def any_store(request: pytest.FixtureRequest, server: EmbeddedRedis, tmp_path: Path) -> Iterator[Store]:
    if request.param == "one server":
        yield request.getfixturevalue("store")
        return
    with (
        redis_with({"cluster-enabled": "yes", "cluster-port": str(free_port())}, tmp_path) as url,
        redis.Redis.from_url(url, decode_responses=True) as client,
    ):
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until(lambda: client.cluster("INFO")["cluster_state"] == "ok")
        if "none" in request.param:
            yield Store(client)
        else:
            with RedisCluster.from_url(url, decode_responses=True) as cluster:
                yield Store(cluster)


def test_a_finished_campaign_leaves_the_keys_of_the_table_and_no_other(any_store: Store, reminder: Campaign) -> None:
    whole = Campaigning(any_store, reminder)
    whole.run()
    left = kept(any_store)
    status = any_store.reading.status(reminder.name)
    assert (status.due, status.live, status.done, status.refused, status.lines_in_use) == (0, 0, 4, 2, 0)
    assert {row["state"] for row in any_store.reading.outcomes(reminder.name)} == {"done", "refused"}
    assert status.dispositions == {"completed": 3, "do_not_call": 3}
    assert len({key_slot(key.encode()) for key, _, _ in whole.seen}) == 1
    table = documented_keys()
    undocumented = [
        (key, kind)
        for key, kind, _ in whole.seen | {(key, *facts) for key, facts in left.items()}
        if kind not in {of for row, of in table if re.fullmatch(row, key)}
    ]
    assert undocumented == []
    unused = [
        (row, of) for row, of in table if not any(kind == of and re.fullmatch(row, key) for key, kind, _ in whole.seen)
    ]
    assert unused == [], "the table has keys that no campaign leaves"
    assert {kind_of(key) for key in left} & TRANSIENT == set()
    assert {kind_of(key) for key, _, expires in whole.seen if expires} == MORTAL
    assert {kind_of(key) for key, _, expires in whole.seen if not expires} & MORTAL == set()
