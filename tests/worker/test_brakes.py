"""The brakes: what stops a campaign and what does not, and how the store counts it.

More than 300 lines: each brake has its boundary cases.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from claiming import claim
from hypothesis import given
from hypothesis import strategies as st

from campaigns.call import Disposition, Joined, Report
from campaigns.campaign import Brakes, Campaign, Pacing
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.dialing import bids, concluding
from worker.rules import brakes, hours
from worker.rules.brakes import Counted, Ended, Mark
from worker.rules.evidence import AnsweredBy, CallEvent, CallState, Detection
from worker.rules.rule import Rule
from worker.rules.settlement import DialAnswer, Evidence, Settled
from worker.rules.states import CampaignState
from worker.rules.verdict import Verdict
from worker.settings import Settings
from worker.store import Store, witnesses

NOON = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SETTINGS = Settings()
REFUSED = witnesses.dialed(DialAnswer(refused=Disposition.FAILED, reason="no outbound profile (D38)"))


def ended(*each: str) -> list[Ended]:
    """Return attempts a#1, a#2, …; each argument is the marks of one, separated by spaces."""
    return [Ended(f"a#{n}", frozenset(marks.split())) for n, marks in enumerate(each, 1)]


def counted(*each: str, **more: object) -> Counted:
    return Counted(approved=True, recent=ended(*each), **more)  # type: ignore[arg-type]


@pytest.fixture
def braked(reminder: Campaign) -> Campaign:
    return reminder.model_copy(update={"brakes": Brakes()})


# --- what an attempt is marked with ---------------------------------------------------------------------------------


def evidence(*, joined_after: float | None = None, answered: bool = True, **heard: object) -> Evidence:
    told = ((NOON, CallEvent("v3:1", CallState.ANSWERED)),) if answered else ()
    joined = {}
    if joined_after is not None:
        joined = {"joined": Joined(attempt_id="a#1"), "joined_at": NOON + joined_after * SECOND}
    return Evidence(begun_at=NOON, lease_until=NOON, told=told, **joined, **heard)  # type: ignore[arg-type]


def report(answered_by: str) -> Report:
    return Report(
        report_id="r", attempt_id="a#1", disposition=Disposition.COMPLETED, started_at=NOON, ended_at=NOON,
        answered_by=answered_by,  # type: ignore[arg-type]
    )  # fmt: skip


TALKED = Settled(Disposition.COMPLETED, "talked", duration_s=30)


@pytest.mark.parametrize(
    ("heard", "settled", "marks"),
    [
        ({"answered": False}, Settled(Disposition.NO_ANSWER, ""), ""),
        ({"joined_after": 0.4}, TALKED, "answered person"),
        ({"joined_after": 2.0}, TALKED, "answered person"),
        ({"joined_after": 2.1}, TALKED, "answered person abandoned"),
        ({}, Settled(Disposition.FAILED, "no bot came", duration_s=31), "answered person abandoned"),
        ({}, Settled(Disposition.FAILED, "no bot came, and nobody says how long it took"), "answered person abandoned"),
        ({}, Settled(Disposition.REJECTED, "rang off at once", duration_s=2), "answered person short"),
        ({"joined_after": 0.4}, Settled(Disposition.REJECTED, "", duration_s=6), "answered person short"),
        ({"joined_after": 0.4}, Settled(Disposition.REJECTED, "", duration_s=7), "answered person"),
        ({"joined_after": 5}, Settled(Disposition.VOICEMAIL, "", duration_s=30), "answered"),
        ({"joined_after": 5, "detected": (Detection("v3:1", AnsweredBy.MACHINE),)}, TALKED, "answered"),
        ({"joined_after": 5, "report": report("fax")}, TALKED, "answered"),
        ({"report": report("human"), "reported_at": NOON}, TALKED, "answered person"),
        ({"answered": False, "joined_after": 5}, TALKED, "answered person"),
    ],
)
def test_an_attempt_is_marked_with_what_it_was(heard: dict, settled: Settled, marks: str) -> None:
    found = brakes.marks_of(evidence(**heard), settled)
    assert found == {settled.disposition, *marks.split()}
    assert brakes.read_marks(brakes.write_marks(found)) == found


# --- what stops a campaign -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("each", "rule"),
    [
        (["failed"] * 6 + ["busy"] * 14, ""),
        (["failed"] * 4 + ["unconfirmed"] * 3 + ["busy"] * 13, "failed"),
        (["failed"] * 19, ""),  # too few attempts to tell
        (["failed"] * 30 + ["busy"] * 50, ""),  # the failures are too long ago
        (["busy"] * 150 + ["failed"] * 16, "failed"),
        (["canceled"] * 4 + ["busy"] * 16, ""),
        (["canceled"] * 5 + ["busy"] * 15, "canceled"),
        (["completed answered short"] * 6 + ["completed answered"] * 34, ""),
        (["completed answered short"] * 7 + ["no_answer"] * 100 + ["completed answered"] * 33, "short"),
        (["completed answered short"] * 7 + ["completed answered"] * 32, ""),
    ],
)
def test_too_many_bad_attempts_of_one_kind_stop_a_campaign(braked: Campaign, each: list[str], rule: str) -> None:
    stop = brakes.stop(braked, counted(*each))
    assert (stop.rule if stop else "") == rule


def test_a_stop_names_its_attempts_and_says_how_to_go_on(braked: Campaign) -> None:
    stop = brakes.stop(braked, counted(*["busy"] * 14, *["failed"] * 7))
    assert stop
    assert stop.attempts == tuple(f"a#{n}" for n in range(15, 22))
    assert stop.why == (
        "failed: 7 of the last 21 attempts failed, or may have rung without our knowledge, which is more than 30% "
        "(a#15, a#16, a#17, a#18, a#19 and 2 more); look at `dialout results appointment_reminder`, "
        "then `dialout resume appointment_reminder`"
    )


@pytest.mark.parametrize("limit", ["failed", "canceled", "short", "abandoned"])
def test_a_brake_that_is_set_to_one_never_stops_anything(braked: Campaign, limit: str) -> None:
    released = braked.model_copy(update={"brakes": Brakes().model_copy(update={limit: 1.0})})
    each = {"failed": "failed", "canceled": "canceled", "short": "busy answered short", "abandoned": "busy"}[limit]
    nobody = {"people": 200, "abandoned": ["a#1"] * 200, "people_since": 200, "abandoned_since": 200}
    seen = counted(*[each] * 200, **(nobody if limit == "abandoned" else {}))
    assert brakes.stop(braked, seen)
    assert brakes.stop(released, seen) is None


@pytest.mark.parametrize(
    ("people", "abandoned", "people_since", "abandoned_since", "stops", "warns"),
    [
        (99, 50, 99, 50, False, False),  # too few people: one call moves the share by more than a point
        (100, 1, 100, 1, False, False),
        (100, 2, 100, 2, False, True),
        (100, 3, 100, 3, True, True),
        (1000, 40, 99, 9, False, True),  # resumed, and too few people since
        (1000, 40, 500, 2, False, True),  # resumed, and few abandoned calls since
        (1000, 40, 500, 20, True, True),
        (10_000, 100, 500, 20, False, False),  # a bad time in a good month
    ],
)
def test_a_campaign_warns_at_two_percent_of_abandoned_calls_in_a_month_and_stops_at_three(
    braked: Campaign, people: int, abandoned: int, people_since: int, abandoned_since: int, stops: bool, warns: bool
) -> None:
    attempts = [f"a#{n}" for n in range(abandoned)]
    seen = counted(
        people=people, abandoned=attempts, people_since=people_since, abandoned_since=abandoned_since
    )  # fmt: skip
    stop = brakes.stop(braked, seen)
    assert bool(stop) is stops
    if stop:
        assert (stop.rule, len(stop.attempts)) == ("abandoned", abandoned)
    assert bool(brakes.warning(braked, seen)) is warns


def test_the_canary_waits_for_the_last_of_its_attempts_to_end(braked: Campaign) -> None:
    totals = {"completed": 4, "no_answer": 5, "failed": 1, "answered": 4}
    assert brakes.stop(braked, Counted(begun=9, totals=totals)) is None
    assert brakes.stop(braked, Counted(begun=10, live=1, totals=totals)) is None
    assert brakes.stop(braked, Counted(begun=10, approved=True, totals=totals)) is None
    stop = brakes.stop(braked, Counted(begun=10, totals=totals))
    assert stop
    assert stop.why.startswith("canary: its first 10 attempts are done (completed 4, no_answer 5, failed 1); look at")
    assert [brakes.room(braked, Counted(begun=begun)) for begun in (0, 9, 10, 11)] == [10, 1, 0, 0]


def test_a_campaign_that_has_made_its_calls_of_the_day_claims_no_more(reminder: Campaign) -> None:
    capped = reminder.model_copy(update={"pacing": Pacing(calls_per_day=50)})
    assert [brakes.room(capped, Counted(today=today)) for today in (0, 49, 50)] == [50, 1, 0]


@given(
    zone=st.sampled_from(["America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]),
    now=st.integers(0, 2 * 365 * 86_400).map(lambda seconds: NOON + seconds * SECOND),
)
def test_a_day_begins_at_midnight_in_its_zone_and_ends_where_the_next_begins(zone: str, now: datetime) -> None:
    began, ends = hours.day_of(zone, now)
    assert began <= now < ends
    assert timedelta(hours=22) < ends - began < timedelta(hours=26)
    assert hours.day_of(zone, began) == (began, ends)
    assert hours.day_of(zone, ends - timedelta(microseconds=1)) == (began, ends)


# --- what the store counts -------------------------------------------------------------------------------------------


def enlist(store: Store, campaign: Campaign, count: int) -> None:
    people = [Contact(f"+1212555{100 + n:04d}", {"name": "N", "day": "d", "time": "t"}, n + 2) for n in range(count)]
    store.campaigns.define(campaign)
    store.contacts.enlist(campaign, [(person, place_of(person)) for person in people], store.now())


def claimed(store: Store, campaign: Campaign, most: int = 1000) -> list[str]:
    room = bids.room(store, campaign, SETTINGS, store.now(), within=SECOND)
    return claim(store, campaign, lines=1000, ahead=1000, most=most if room is None else min(room, most))


def begin(store: Store, attempt_id: str, **more: object) -> str:
    case = store.attempts.case(attempt_id)
    assert case
    begun = None
    while begun is None or (begun.clock and not begun.dial):
        if begun and begun.at:
            store.clock_ms = round(begun.at.timestamp() * 1000)  # wait for the moment, as the worker does
        begun = store.attempts.begin(
            case, "t", lease=60 * SECOND, first_look=SECOND, account_interval=SECOND / 10_000,
            campaign_interval=SECOND / 10_000, record={"version": "1"}, **more,
        )  # fmt: skip
    return "" if begun.dial else begun.rule


def wide(campaign: Campaign, **update: object) -> Campaign:
    pacing = campaign.pacing.model_copy(update={"lines": 1000, "calls_per_second": 1000, **update})
    return campaign.model_copy(update={"pacing": pacing})


def dialed(store: Store, campaign: Campaign) -> Iterator[str]:
    for attempt_id in claimed(store, campaign):
        if not begin(store, attempt_id):
            yield attempt_id


def fail(store: Store, attempt_id: str) -> None:
    store.attempts.witness(attempt_id, REFUSED, token="t")
    concluding.conclude(store, attempt_id)


def test_no_more_attempts_than_the_canarys_are_dialed_before_the_operator_approves(
    store: Store, braked: Campaign
) -> None:
    campaign = wide(braked)
    enlist(store, campaign, 40)
    # All are claimed before the brakes are asked, so that only begin.lua itself can refuse them.
    attempts = claim(store, campaign, most=30)
    refused = [why for attempt_id in attempts if (why := begin(store, attempt_id))]
    assert refused == ["canary"] * 20
    under_way = [attempt_id for attempt_id in attempts if (case := store.attempts.case(attempt_id)) and case.begun]
    for attempt_id in attempts:
        case = store.attempts.case(attempt_id)
        assert case
        if not case.begun:
            concluding.give_back(store, case, "", Verdict(Rule.CANARY, "for a reason", store.now()))
    assert claimed(store, campaign) == []
    for attempt_id in under_way:
        assert store.campaigns.get(campaign.name)[1] is CampaignState.RUNNING
        fail(store, attempt_id)
        assert claimed(store, campaign) == []
    _, state, why = store.campaigns.get(campaign.name)
    assert (state, why.partition(";")[0]) == (
        CampaignState.PAUSED,
        "canary: its first 10 attempts are done (failed 10)",
    )
    assert store.brakes.holding(campaign.name) == ("canary", [])
    store.campaigns.set_state(campaign.name, CampaignState.RUNNING)
    assert len(list(dialed(store, campaign))) == 30


def test_a_pause_and_a_resume_before_the_canary_is_done_approve_nothing(store: Store, braked: Campaign) -> None:
    campaign = wide(braked)
    enlist(store, campaign, 40)
    for attempt_id in claimed(store, campaign, most=4):
        assert not begin(store, attempt_id)
    store.campaigns.set_state(campaign.name, CampaignState.PAUSED, "by the operator")
    store.campaigns.set_state(campaign.name, CampaignState.RUNNING)
    assert len(list(dialed(store, campaign))) == 6


def test_an_attempt_that_was_given_back_counts_neither_for_the_canary_nor_for_the_day(
    store: Store, braked: Campaign
) -> None:
    campaign = wide(braked, calls_per_day=12)
    enlist(store, campaign, 40)
    for attempt_id in list(dialed(store, campaign)):
        case = store.attempts.case(attempt_id)
        assert case
        assert store.attempts.postpone(case, "t", store.now() - SECOND, "carrier_busy", "429")
    assert len(list(dialed(store, campaign))) == 10


def test_the_calls_of_a_day_are_counted_where_they_begin_and_from_zero_the_next_day(
    store: Store, reminder: Campaign
) -> None:
    campaign = wide(reminder, calls_per_day=3)
    store.clock_ms = round(NOON.timestamp() * 1000)
    enlist(store, campaign, 10)
    attempts = claim(store, campaign, most=5, lease=timedelta(days=1))
    assert [begin(store, attempt_id) for attempt_id in attempts] == ["", "", "", "calls_per_day", "calls_per_day"]
    assert claimed(store, campaign) == []
    began, ends = hours.day_of(campaign.day_zone, NOON)
    assert (began, ends) == (datetime(2026, 11, 23, 5, tzinfo=UTC), datetime(2026, 11, 24, 5, tzinfo=UTC))
    store.clock_ms = round(ends.timestamp() * 1000) - 1
    assert begin(store, attempts[3]) == "calls_per_day"
    store.clock_ms += 1
    assert [begin(store, attempt_id) for attempt_id in attempts[3:]] == ["", ""]
    assert len(list(dialed(store, campaign))) == 1


def test_too_many_failures_pause_a_campaign_and_a_resume_counts_from_zero(store: Store, braked: Campaign) -> None:
    campaign = wide(braked.model_copy(update={"brakes": Brakes(canary=0)}))
    enlist(store, campaign, 60)
    attempts = list(dialed(store, campaign))
    for attempt_id in attempts[:20]:
        assert bids.room(store, campaign, SETTINGS, store.now(), within=SECOND) is None
        fail(store, attempt_id)
    assert bids.room(store, campaign, SETTINGS, store.now(), within=SECOND) == 0
    _, state, why = store.campaigns.get(campaign.name)
    assert state is CampaignState.PAUSED
    assert why.startswith("failed: 20 of the last 20 attempts failed")
    assert store.brakes.holding(campaign.name) == ("failed", attempts[:20])
    store.campaigns.set_state(campaign.name, CampaignState.RUNNING)
    assert store.brakes.holding(campaign.name) == ("", [])
    for attempt_id in attempts[20:39]:
        fail(store, attempt_id)
        assert bids.room(store, campaign, SETTINGS, store.now(), within=SECOND) is None
    fail(store, attempts[39])
    assert bids.room(store, campaign, SETTINGS, store.now(), within=SECOND) == 0


def totals(store: Store, campaign: Campaign) -> Mapping[str, int]:
    return {mark: count for mark, count in store.brakes.counted(campaign, store.now()).totals.items() if count}


def test_an_attempt_counts_once_as_what_all_evidence_says_that_it_was(store: Store, reminder: Campaign) -> None:
    store.clock_ms = round(NOON.timestamp() * 1000)
    enlist(store, reminder, 1)
    (attempt_id,) = dialed(store, reminder)

    def conclude(*marks: str, guess: bool = True) -> None:
        case = store.attempts.case(attempt_id)
        assert case
        settled = Settled(Disposition(marks[0]), "so it seems", guess=guess)
        assert store.attempts.conclude(case, settled, None, frozenset(marks)) == "ok"

    conclude("unconfirmed")
    conclude("unconfirmed")
    assert totals(store, reminder) == {"unconfirmed": 1}
    conclude("failed", "answered", "person", "abandoned")
    seen = store.brakes.counted(reminder, store.now())
    assert (seen.people, seen.abandoned, seen.people_since, seen.abandoned_since) == (1, [attempt_id], 1, 1)
    assert seen.recent == [Ended(attempt_id, frozenset({"failed", "answered", "person", "abandoned"}))]
    conclude("failed", "answered", "person")  # the same disposition with other marks
    conclude("completed", "answered", "person", guess=False)
    seen = store.brakes.counted(reminder, store.now())
    assert (seen.people, seen.abandoned, len(seen.recent)) == (1, [], 1)
    assert totals(store, reminder) == {"completed": 1, "answered": 1, "person": 1}
    store.clock_ms += round(timedelta(days=32).total_seconds() * 1000)
    assert store.brakes.counted(reminder, store.now()).people == 0


ENDINGS = [
    witnesses.told(CallEvent("v3:1", CallState.ANSWERED)),
    witnesses.joined(Joined(attempt_id="a")),
    witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.COMPLETED, "done", 20)),
]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_call_with_a_bot_is_counted_once_as_answered_in_whatever_order_its_witnesses_come(
    store: Store, reminder: Campaign, order: tuple[int, ...]
) -> None:
    enlist(store, reminder, 1)
    (attempt_id,) = dialed(store, reminder)
    for n in order:
        store.attempts.witness(attempt_id, ENDINGS[n])
        concluding.conclude(store, attempt_id)
        concluding.conclude(store, attempt_id)
    said = report("human").model_copy(update={"attempt_id": attempt_id})
    store.attempts.witness(attempt_id, witnesses.reported(said))
    concluding.conclude(store, attempt_id)
    assert totals(store, reminder) == {"completed": 1, "answered": 1, "person": 1}


def test_the_window_holds_the_last_attempts_and_no_more(store: Store, reminder: Campaign) -> None:
    campaign = wide(reminder)
    enlist(store, campaign, brakes.REMEMBERED + 5)
    for attempt_id in dialed(store, campaign):
        fail(store, attempt_id)
    seen = store.brakes.counted(campaign, store.now())
    assert (len(seen.recent), seen.totals[Disposition.FAILED]) == (brakes.REMEMBERED, brakes.REMEMBERED + 5)


def test_no_brake_counts_a_call_to_us(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 1)
    (attempt_id,) = dialed(store, reminder)
    fail(store, attempt_id)
    case = store.attempts.case(attempt_id)
    assert case
    inbound = store.callers.ring_back(case, "v3:in", timedelta(minutes=10))
    store.attempts.witness(
        inbound, witnesses.told(CallEvent("v3:in", CallState.ENDED, None, Disposition.COMPLETED, "done", 2))
    )
    store.attempts.witness(inbound, witnesses.reported(report("human").model_copy(update={"attempt_id": inbound})))
    concluding.conclude(store, inbound)
    assert store.reading.status(reminder.name).dispositions == {"completed": 1}
    assert totals(store, reminder) == {"failed": 1}


def test_marketing_may_not_exceed_the_laws_share_of_abandoned_calls(reminder: Campaign) -> None:
    loose = reminder.model_dump() | {"purpose": "marketing", "brakes": {"abandoned": 0.05}}
    with pytest.raises(ValueError, match=r"brakes.abandoned: at most 3 % of marketing calls may be abandoned"):
        Campaign.model_validate(loose)
    assert Campaign.model_validate(loose | {"purpose": "informational"}).brakes.abandoned == 0.05


def test_no_mark_has_the_name_of_a_disposition() -> None:
    assert not {*Mark} & {*Disposition}
