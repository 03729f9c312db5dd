"""One attempt's way with collaborators that are handed in: a real store, and a phone that does as it is told."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from claiming import claim
from pydantic import SecretStr

from campaigns.call import Disposition
from campaigns.campaign import Campaign, load_campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.dialing import dial
from worker.dialing.collaborators import Dialer
from worker.machine.clock import MachineClock
from worker.machine.embedded import EmbeddedRedis
from worker.rehearsal.fast.days import rehearse
from worker.rehearsal.fast.event_clock import EventClock
from worker.rehearsal.fast.odds import Odds
from worker.rehearsal.fast.sample import write_contacts
from worker.rules.evidence import FoundCall
from worker.rules.rule import Rule
from worker.rules.states import CampaignState
from worker.settings import Settings
from worker.store import Store
from worker.store.redis_server import connect
from worker.telnyx.order import Dialed, DialOrder
from worker.telnyx.refusals import AccountBlocked, CarrierBusy, DialRefused, DialUnconfirmed

ROOT = Path(__file__).parents[2]
SETTINGS = Settings(
    telnyx_api_key=SecretStr("k"),
    telnyx_texml_app_id="1",
    telnyx_base_url="http://sandbox.invalid/v2",
    public_url="https://dialer.example",
    brief_secret=SecretStr("s"),
    stream_url="ws://agent.example/ws",
    caller_ids=("+12125550100",),
    calls_per_second=1000,
    lines=100,
)

Answer = Callable[[DialOrder], str]


def takes(order: DialOrder) -> str:
    return f"v3:{order.to}"


@dataclass
class TestPhone:
    """A phone network on which each dial is answered as the test says."""

    __test__ = False
    answer: Answer = takes
    dialed: list[str] = field(default_factory=list)

    def warm_up(self) -> None: ...

    def dial(self, order: DialOrder, may_leave: Callable[[], bool]) -> Dialed:
        assert may_leave()
        self.dialed.append(order.to)
        return Dialed(self.answer(order), time.monotonic())

    def find(self, to: str, begun_at: datetime) -> list[FoundCall]:
        return []

    def fetch(self, call_sid: str) -> FoundCall | None:
        return None

    def hang_up(self, call_sid: str) -> None: ...

    def numbers(self) -> dict[str, str]:
        return {}


def attempts(store: Store, campaign: Campaign, count: int = 1) -> list[str]:
    """Enlist some contacts and claim them; returns the ids of their attempts."""
    fast = campaign.model_copy(
        update={"pacing": campaign.pacing.model_copy(update={"calls_per_second": 1000.0, "lines": 100})}
    )
    people = [Contact(f"+1212555{n:04}", {"name": "Ada", "day": "d", "time": "t"}, n) for n in range(111, 111 + count)]
    store.campaigns.define(fast)
    store.contacts.enlist(fast, [(one, place_of(one)) for one in people], store.now())
    return claim(store, fast)


def journal(store: Store, attempt_id: str) -> dict[str, Any]:
    return store.reading.journal(attempt_id.partition("#")[0])[-1]


def test_place_ends_when_every_answer_is_recorded(store: Store, reminder: Campaign) -> None:
    ids = attempts(store, reminder, 12)

    def slowly(order: DialOrder) -> str:
        time.sleep(0.2)
        return takes(order)

    phone = TestPhone(slowly)
    dial.place(Dialer(store, phone, SETTINGS), ids)

    assert len(phone.dialed) == 12
    answers = [case.evidence.dial for case in store.attempts.cases(ids)]
    assert all(answer and answer.call_sid for answer in answers)


@pytest.mark.parametrize(
    ("error", "rule", "state"),
    [
        (CarrierBusy("busy", 7.0), Rule.CARRIER_BUSY, CampaignState.RUNNING),
        (AccountBlocked("no funds"), Rule.ACCOUNT_BLOCKED, CampaignState.PAUSED),
    ],
)
def test_an_attempt_that_rang_nobody_is_given_back_with_the_rule_for_it(
    store: Store, reminder: Campaign, error: Exception, rule: Rule, state: CampaignState
) -> None:
    (attempt_id,) = attempts(store, reminder)

    def refuse(_: DialOrder) -> str:
        raise error

    dial.place(Dialer(store, TestPhone(refuse), SETTINGS), [attempt_id])
    entry = journal(store, attempt_id)
    assert (entry["event"], entry["rule"], entry["reason"]) == ("postponed", rule, str(error))
    assert store.campaigns.get(reminder.name)[1] is state
    assert store.reading.status(reminder.name).due == 1


@pytest.mark.parametrize(
    ("error", "refused", "unconfirmed"),
    [
        (DialRefused("no such number", Disposition.INVALID_NUMBER), Disposition.INVALID_NUMBER, False),
        (DialUnconfirmed("no answer"), None, True),
    ],
)
def test_what_the_carrier_made_of_a_dial_is_recorded(
    store: Store, reminder: Campaign, error: Exception, refused: Disposition | None, unconfirmed: bool
) -> None:
    (attempt_id,) = attempts(store, reminder)

    def refuse(_: DialOrder) -> str:
        raise error

    dial.place(Dialer(store, TestPhone(refuse), SETTINGS), [attempt_id])
    (case,) = store.attempts.cases([attempt_id])
    assert case.evidence.dial
    assert (case.evidence.dial.refused, case.evidence.dial.unconfirmed) == (refused, unconfirmed)


def test_one_attempt_that_fails_in_a_way_that_nobody_foresaw_holds_up_no_other(
    store: Store, reminder: Campaign, caplog: pytest.LogCaptureFixture
) -> None:
    ids = attempts(store, reminder, 5)
    poisoned = store.attempts.cases(ids[2:3])[0].phone

    def answer(order: DialOrder) -> str:
        if order.to == poisoned:
            raise LookupError("nobody foresaw it")
        return takes(order)

    dial.place(Dialer(store, TestPhone(answer), SETTINGS), ids)
    assert [bool(case.evidence.dial) for case in store.attempts.cases(ids)] == [True, True, False, True, True]
    assert f"{ids[2]} cannot be dialed" in caplog.text


def of_a_newer_version(store: Store) -> Store:
    """Return a store whose begin.lua knows a rule that the enum does not."""
    store._database._registered["begin"] = store._redis.register_script("return {'no', 'household', 0}")
    return store


def test_a_rule_that_is_not_known_here_is_an_error_that_is_recorded(
    store: Store, server: EmbeddedRedis, reminder: Campaign, caplog: pytest.LogCaptureFixture
) -> None:
    (attempt_id,) = attempts(store, reminder)
    phone = TestPhone()
    newer = of_a_newer_version(Store(connect(server.url, 5.0)))
    dial.place(Dialer(newer, phone, SETTINGS), [attempt_id])
    assert phone.dialed == []
    entry = journal(store, attempt_id)
    assert (entry["event"], entry["rule"]) == ("postponed", Rule.UNKNOWN_ANSWER)
    assert "'household'" in caplog.text
    assert store.reading.status(reminder.name).due == 1


def test_an_attempt_that_another_worker_dials_is_left_to_it(store: Store, reminder: Campaign) -> None:
    (attempt_id,) = attempts(store, reminder)
    phone = TestPhone()
    dial.place(Dialer(store, phone, SETTINGS), [attempt_id])
    dial.place(Dialer(store, phone, SETTINGS), [attempt_id])
    assert len(phone.dialed) == 1
    assert journal(store, attempt_id)["event"] != "postponed"


# --- beside one another -----------------------------------------------------------------------------------------------


def test_a_crew_ends_when_all_have_ended_and_tells_the_first_error() -> None:
    ended: list[int] = []

    def fail() -> None:
        raise redis.ConnectionError

    def work() -> None:
        time.sleep(0.1)
        ended.append(threading.get_ident())

    def lead() -> None:
        with MachineClock().crew() as start:
            for action in (work, fail, work):
                start(action)

    with pytest.raises(redis.ConnectionError):
        lead()
    assert len(ended) == 2


def test_a_crew_on_an_event_clock_does_the_same() -> None:
    clock = EventClock(0, lambda _ms: None)
    ended: list[float] = []

    def work(seconds: float) -> None:
        clock.sleep(seconds)
        ended.append(clock.monotonic())
        if seconds == 1:
            raise LookupError

    def lead() -> None:
        try:
            with clock.crew() as start:
                for seconds in (2, 1, 3):
                    start(lambda seconds=seconds: work(seconds))
        except LookupError:
            ended.append(clock.monotonic())

    clock.after(0, lead)
    while clock.next_ms is not None:
        clock.step()
    assert ended == [1, 2, 3, 3]


# --- nothing hidden ---------------------------------------------------------------------------------------------------


def test_importing_what_celery_and_uvicorn_name_makes_no_folder_and_reads_no_environment(tmp_path: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "CALLS_PER_SECOND": "not a number",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    program = "import worker.app, worker.tasks, worker.callbacks, worker.rehearsal.fast.days"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_fast_rehearsal_leaves_its_process_as_it_was(tmp_path: Path) -> None:
    campaign = load_campaign(ROOT / "campaigns" / "appointment_reminder")
    write_contacts(tmp_path / "contacts.csv", campaign, 20, seed=1)
    before = dict(os.environ)
    outcome = rehearse(
        campaign,
        tmp_path / "contacts.csv",
        tmp_path / "folder",
        Settings(lines=5),
        days=0.01,
        odds=Odds(1),
        start=datetime(2026, 11, 2, 20, tzinfo=UTC),
        show=lambda _status, _doing: None,
    )
    assert outcome.sentences == []
    assert outcome.requests > 0
    assert timedelta(0) < outcome.end - outcome.start < timedelta(hours=1)
    assert dict(os.environ) == before
