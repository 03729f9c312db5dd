"""A fast rehearsal: the real tasks on a timeline, and an auditor who is not fooled.

More than 300 lines: each thing that the auditor must notice is a test.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.campaign import Campaign, load_campaign
from campaigns.contacts import Contact, RowError, read_contacts
from campaigns.places import place_of
from worker.rehearsal.fast.days import friday_before_the_clocks_change
from worker.rehearsal.fast.event_clock import EventClock
from worker.rehearsal.fast.findings import Allowance, Findings, audit
from worker.rehearsal.fast.odds import Odds, PostAnswer
from worker.rehearsal.fast.records import NetworkCall, Post
from worker.rehearsal.fast.sample import NoFiction, write_contacts
from worker.store import Store

ROOT = Path(__file__).parents[2]
ADA, BOB, OURS = "+12125550111", "+18085550112", "+12125550100"
MONDAY = datetime(2026, 11, 2, 20, tzinfo=UTC)  # 15:00 in New York, 10:00 in Honolulu
SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000


# --- whole days ---------------------------------------------------------------------------------------------------------


def rehearsed(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Run the command in a process of its own, as an operator does, with this environment's settings."""
    environment = os.environ | {"DIALOUT_DATA": str(folder), "LINES": "10", "CALLS_PER_SECOND": "1"}
    command = [sys.executable, "-m", "worker.cli", "rehearse", "--fast", "--json", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_day_passes_in_seconds_and_the_same_seed_gives_the_same_day(tmp_path: Path) -> None:
    code, first = rehearsed(tmp_path / "1", "--count", "60", "--days", "1")
    assert (code, first["findings"]) == (0, [])
    assert sum(first["dispositions"].values()) == first["contacts"] == 60
    assert first["calls"] > 60  # some were rung again
    assert {"completed", "voicemail"} <= first["dispositions"].keys()
    code, second = rehearsed(tmp_path / "2", "--count", "60", "--days", "1")
    assert (code, second) == (0, first)


def test_who_is_not_rung_before_the_days_are_over_waits_and_is_not_lost(tmp_path: Path) -> None:
    code, facts = rehearsed(tmp_path, "--count", "60", "--days", "0.02", "--start", "2026-11-02T20:00:00")
    assert (code, facts["findings"]) == (0, [])
    assert facts["waiting"] == facts["dispositions"]["due"] > 0
    assert datetime.fromisoformat(facts["end"]) < MONDAY + timedelta(hours=1)


def test_a_weekend_on_which_nobody_may_be_rung_passes_without_a_call(tmp_path: Path) -> None:
    code, facts = rehearsed(tmp_path, "--count", "5", "--days", "1", "--start", "2026-11-01T11:00:00")  # a Sunday
    assert (code, facts["requests"], facts["waiting"]) == (0, 0, 5)


# --- the auditor --------------------------------------------------------------------------------------------------------


def at(hours: float = 0) -> int:
    return round(MONDAY.timestamp() * 1000 + hours * HOUR)


def talked(
    sid: str, attempt_id: str, number: str, from_ms: int, *, inbound: bool = False, says: str = "completed"
) -> NetworkCall:
    """A call of a minute, answered after ten seconds."""
    return NetworkCall(
        sid, attempt_id, number, OURS, inbound, from_ms, from_ms + 10 * SECOND, from_ms + 11 * SECOND,
        ended_ms=from_ms + 70 * SECOND, status="completed", says=says,
    )  # fmt: skip


@dataclass
class Books:
    """Two contacts, well treated: one is busy and then talks, the other talks at once."""

    zones: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {ADA: ("America/New_York",), BOB: ("Pacific/Honolulu",)}
    )
    posts: list[Post] = field(
        default_factory=lambda: [
            Post("ada#1", ADA, OURS, at(), PostAnswer.TAKEN, "s1"),
            Post("bob#1", BOB, OURS, at(0.01), PostAnswer.TAKEN, "s2"),
            Post("ada#2", ADA, OURS, at(1), PostAnswer.TAKEN, "s3"),
        ]
    )
    calls: list[NetworkCall] = field(
        default_factory=lambda: [
            NetworkCall(
                "s1", "ada#1", ADA, OURS, inbound=False, created_ms=at(), ended_ms=at() + 5 * SECOND, status="busy"
            ),
            talked("s2", "bob#1", BOB, at(0.01)),
            talked("s3", "ada#2", ADA, at(1)),
        ]
    )
    outcomes: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"phone": ADA, "state": "done", "disposition": "completed", "reason": "", "attempts": 2},
            {"phone": BOB, "state": "done", "disposition": "completed", "reason": "", "attempts": 1},
        ]
    )
    approved_ms: int = at(0.5)
    calls_per_day: int = 0
    limits: Allowance = field(default_factory=lambda: Allowance(calls_per_second=1, lines=2))

    def audited(self, campaign: Campaign) -> Findings:
        pacing = campaign.pacing.model_copy(update={"calls_per_day": self.calls_per_day})
        return audit(
            campaign.model_copy(update={"pacing": pacing}),
            self.limits,
            self.zones,
            posts=self.posts,
            calls=self.calls,
            outcomes=self.outcomes,
            approved_ms=self.approved_ms,
        )


@pytest.fixture(scope="module")
def sample() -> Campaign:
    campaign = load_campaign(ROOT / "campaigns" / "appointment_reminder")
    return campaign.model_copy(update={"brakes": campaign.brakes.model_copy(update={"canary": 2})})


def test_the_auditor_finds_nothing_where_nothing_is_wrong(sample: Campaign) -> None:
    verdict = Books().audited(sample)
    assert (verdict.sentences, verdict.most_lines, verdict.silent) == ([], 1, 0)


def too_early_in_hawaii(books: Books) -> None:
    books.posts[1].at_ms = at(-1.001)


def on_a_sunday(books: Books) -> None:
    books.posts[0].at_ms = at(-24)


def in_the_other_of_two_zones(books: Books) -> None:
    books.zones[ADA] = ("America/New_York", "Europe/London")


def one_attempt_twice(books: Books) -> None:
    books.posts[2].attempt_id = "ada#1"


def at_once_after_busy(books: Books) -> None:
    books.calls[2].created_ms = at() + 9 * MINUTE


def while_they_talk(books: Books) -> None:
    books.calls[0].ended_ms = at(1.001)


def four_times(books: Books) -> None:
    books.posts += [Post(f"ada#{n}", ADA, OURS, at(n), PostAnswer.LOST) for n in (3, 4)]
    books.outcomes[0]["attempts"] = 4


def after_they_opted_out(books: Books) -> None:
    books.calls.append(talked("i1", "x", ADA, at(0.5), inbound=True, says="do_not_call"))
    books.calls[-1].opted_out_ms = at(0.51)


def after_they_talked(books: Books) -> None:
    books.calls.append(talked("i1", "x", ADA, at(0.5), inbound=True))


def before_they_wanted(books: Books) -> None:
    books.calls[0].status, books.calls[0].says, books.calls[0].wanted_ms = "completed", "callback", at(1.5)


def after_what_is_not_retried(books: Books) -> None:
    books.calls[0].status, books.calls[0].says = "completed", "voicemail"


def a_stranger(books: Books) -> None:
    books.posts.append(Post("eve#1", "+12125550199", OURS, at(0.1), PostAnswer.TAKEN))


def faster_than_the_pace(books: Books) -> None:
    books.posts[1].at_ms = at() + 999


def more_calls_than_lines(books: Books) -> None:
    books.limits = Allowance(calls_per_second=1, lines=1)
    books.calls[0].ended_ms = at(0.011)


def before_the_canary_is_approved(books: Books) -> None:
    books.approved_ms = at(1.1)


def too_many_in_a_day(books: Books) -> None:
    books.calls_per_day = 2


def too_often_from_one_number(books: Books) -> None:
    books.limits = Allowance(calls_per_second=1, lines=2, calls_per_caller_id_per_day=2)


def too_soon_from_one_number(books: Books) -> None:
    books.limits = Allowance(calls_per_second=1, lines=2, cool_down_s=37)


def no_bot_is_warm(books: Books) -> None:
    books.calls[1].joined_ms += 3 * SECOND
    books.calls[1].cold = True


def nobody_knows(books: Books) -> None:
    books.outcomes.pop()


def still_live(books: Books) -> None:
    books.outcomes[1]["state"] = "live"


def no_disposition(books: Books) -> None:
    books.outcomes[1]["disposition"] = None


def another_count(books: Books) -> None:
    books.outcomes[0]["attempts"] = 1


def another_end(books: Books) -> None:
    books.outcomes[0]["disposition"] = "busy"


def another_word_than_the_bots(books: Books) -> None:
    books.outcomes[0]["disposition"] = "voicemail"


@pytest.mark.parametrize(
    ("plant", "kind", "words"),
    [
        (one_attempt_twice, "rung_twice", "one attempt was sent again after it was taken"),
        (while_they_talk, "rung_twice", "was rung while a call to them went on"),
        (too_early_in_hawaii, "outside_the_rules", "08:59:56 HST"),
        (on_a_sunday, "outside_the_rules", "was rung on Sun 2026-11-01 at 15:00:00 EST"),
        (in_the_other_of_two_zones, "outside_the_rules", "was rung on Mon 2026-11-02 at 20:00:00 GMT"),
        (at_once_after_busy, "outside_the_rules", "was rung again 0:08:55 after busy, and not 0:10:00"),
        (four_times, "outside_the_rules", "was rung 4 times"),
        (after_they_opted_out, "outside_the_rules", "had asked not to be called again"),
        (after_they_talked, "outside_the_rules", "was rung again after completed"),
        (before_they_wanted, "outside_the_rules", "1800 s too soon"),
        (after_what_is_not_retried, "outside_the_rules", "after voicemail, which is not to be retried"),
        (a_stranger, "outside_the_rules", "is in no file, and was rung"),
        (faster_than_the_pace, "outside_the_rules", "more than 1 requests in 1 s"),
        (more_calls_than_lines, "outside_the_rules", "2 calls went on at once, and there are 1 lines"),
        (
            before_the_canary_is_approved,
            "outside_the_rules",
            "3 contacts were rung before the canary of 2 was approved",
        ),
        (too_many_in_a_day, "outside_the_rules", "3 calls on 2026-11-02, and 2 are allowed"),
        (too_often_from_one_number, "outside_the_rules", "+12125550100 rang 3 times in a day"),
        (too_soon_from_one_number, "outside_the_rules", "+12125550100 rang again before 37 s were over"),
        (no_bot_is_warm, "outside_the_rules", "no bot was warm for 1 of the 2 who answered"),
        (nobody_knows, "lost", "has no outcome: in no result"),
        (still_live, "lost", "has no outcome: live"),
        (no_disposition, "lost", "has no disposition"),
        (another_count, "wrong", "1 attempts by the dialer's records, 2 by the network's"),
        (another_end, "wrong", "the network says completed, the dialer busy"),
        (another_word_than_the_bots, "wrong", "the bot reported completed, the dialer says voicemail"),
    ],
)
def test_the_auditor_finds_what_is_planted(
    sample: Campaign, plant: Callable[[Books], None], kind: str, words: str
) -> None:
    books = Books()
    plant(books)
    assert words in "\n".join(getattr(books.audited(sample), kind))


def test_a_request_that_the_carrier_was_too_busy_for_is_sent_again_and_spends_nothing(sample: Campaign) -> None:
    books = Books()
    books.posts.insert(0, Post("ada#1", ADA, OURS, at() - 5 * SECOND, PostAnswer.BUSY))
    assert books.audited(sample).sentences == []


def test_whoever_hears_no_bot_within_two_seconds_is_counted(sample: Campaign) -> None:
    books = Books()
    books.calls[1].joined_ms = 0
    assert books.audited(sample).silent == 1


# --- time ---------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 50), st.lists(st.integers(0, 50), max_size=3)), max_size=8))
def test_whoever_sleeps_wakes_at_its_instant_and_one_at_a_time(plans: list[tuple[int, list[int]]]) -> None:
    moments: list[int] = []
    timeline = EventClock(1000, moments.append)
    heard: list[int] = []
    running: list[int] = []

    def live(name: int, naps: list[int]) -> None:
        expected = timeline.now_ms
        for nap_ms in [*naps, 0]:
            assert running == []
            running.append(name)
            heard.append(timeline.now_ms)
            running.remove(name)
            timeline.sleep(nap_ms / 1000)
            expected += nap_ms
            assert timeline.now_ms == expected

    for name, (start_ms, naps) in enumerate(plans):
        timeline.after(start_ms / 1000, lambda name=name, naps=naps: live(name, naps))
    while timeline.next_ms is not None:
        timeline.step()
    assert heard == sorted(heard)
    assert len(heard) == sum(len(naps) + 1 for _, naps in plans)
    assert moments == sorted(set(moments))


def test_what_an_action_raises_is_raised_where_the_timeline_is_moved() -> None:
    def fails() -> None:
        timeline.sleep(1)
        raise LookupError

    timeline = EventClock(0, lambda _ms: None)
    timeline.after(1, fails)
    timeline.step()
    with pytest.raises(LookupError):
        timeline.step()
    timeline.now(lambda: None)  # and the next action has a thread that works


def test_a_tick_of_beat_is_taken_once_by_the_stores_own_clock(store: Store) -> None:
    store.clock_ms = at()
    every = timedelta(milliseconds=200)
    assert [store.tick("claim", every), store.tick("claim", every)] == [True, False]
    store.clock_ms += 200
    assert store.tick("claim", every)


@pytest.mark.parametrize(
    ("zone", "day"),
    [("America/New_York", "2026-10-30"), ("Europe/London", "2026-10-23"), ("America/Phoenix", "2027-08-27")],
)
def test_days_begin_on_a_friday_before_the_clocks_change(zone: str, day: str) -> None:
    start = friday_before_the_clocks_change(zone)
    assert (start.date().isoformat(), start.weekday(), start.hour) == (day, 4, 14)


# --- the people ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["appointment_reminder", "patient_survey", "renewal_offer"])
def test_the_contacts_made_up_are_contacts_of_their_campaign_and_nobodys_number(name: str, tmp_path: Path) -> None:
    campaign = load_campaign(ROOT / "campaigns" / name)
    write_contacts(tmp_path / "contacts.csv", campaign, 2000, seed=1)
    with (tmp_path / "contacts.csv").open("rb") as file:
        rows = list(read_contacts(file, campaign))
    assert [row for row in rows if isinstance(row, RowError)] == []
    zones = {place_of(row).zones for row in rows if isinstance(row, Contact)}
    assert len(rows) == 2000
    assert () not in zones
    assert campaign.allowed_countries == ("GB",) or {("Pacific/Honolulu",), ("America/Phoenix",)} <= zones


def test_where_no_numbers_are_reserved_for_fiction_a_file_is_asked_for(sample: Campaign, tmp_path: Path) -> None:
    french = sample.model_copy(update={"countries": ("FR",), "default_region": "FR"})
    with pytest.raises(NoFiction, match="name a CSV"):
        write_contacts(tmp_path / "contacts.csv", french, 10, seed=1)


def test_one_seed_is_one_fate_for_each_ring() -> None:
    fates = [Odds(seed).fate(ADA, nth, 12) for seed in (1, 1, 2) for nth in (1, 2)]
    assert fates[:2] == fates[2:4]
    assert fates[0] != fates[1]
    assert fates[:2] != fates[4:]
