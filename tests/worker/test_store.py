# More than 300 lines: each transition of the record has its races.

import math
import threading
from datetime import timedelta

import pytest
from claiming import claim
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from campaigns.call import Disposition
from campaigns.campaign import Campaign, Pacing
from campaigns.contacts import Contact
from campaigns.places import Place, place_of
from tests.search import examples
from worker.machine.embedded import EmbeddedRedis
from worker.rules import retries
from worker.rules.evidence import CallEvent, CallState
from worker.rules.settlement import DialAnswer, Settled
from worker.rules.states import CampaignState
from worker.rules.timing import APART, CATCH_UP, SPARE
from worker.store import Store, times, witnesses
from worker.store.errors import StoreError
from worker.store.values import Begun, Case, Enlisted, Reception

SECOND = timedelta(seconds=1)
MS = timedelta(milliseconds=1)
BUSY = Settled(Disposition.BUSY, "busy")


def people(count: int) -> list[tuple[Contact, Place]]:
    contacts = [
        Contact(f"+1212555{100 + n:04d}", {"name": f"N{n}", "day": "d", "time": "t"}, n + 2) for n in range(count)
    ]
    return [(contact, place_of(contact)) for contact in contacts]


def enlist(store: Store, campaign: Campaign, count: int) -> None:
    store.campaigns.define(campaign)
    store.contacts.enlist(campaign, people(count), store.now())


def begin(store: Store, attempt_id: str, token: str = "t", per_s: float = 10_000) -> Begun:
    case = store.attempts.case(attempt_id)
    assert case
    return store.attempts.begin(
        case, token, lease=60 * SECOND, first_look=10 * SECOND, account_interval=SECOND / per_s,
        campaign_interval=SECOND / per_s, record={"caller_id": "+12125550100"},
    )  # fmt: skip


def begun(store: Store, campaign: Campaign) -> Case:
    enlist(store, campaign, 1)
    (attempt_id,) = claim(store, campaign)
    assert begin(store, attempt_id).dial
    case = store.attempts.case(attempt_id)
    assert case
    return case


def refreshed(store: Store, case: Case) -> Case:
    again = store.attempts.case(case.attempt_id)
    assert again
    return again


def busy(case: Case) -> witnesses.Testimony:
    return witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.BUSY, "busy"))


def test_the_same_file_enqueued_twice_changes_nothing(store: Store, reminder: Campaign) -> None:
    store.campaigns.define(reminder)
    assert store.contacts.enlist(reminder, people(20), store.now()) == Enlisted(new=20)
    before = store.reading.status(reminder.name)
    assert store.contacts.enlist(reminder, people(20), store.now()) == Enlisted(known=20)
    assert store.reading.status(reminder.name) == before


def test_a_number_on_the_do_not_call_list_is_enlisted_as_refused(store: Store, reminder: Campaign) -> None:
    store.do_not_call.add("+12125550100", "operator")
    enlist(store, reminder, 2)
    status = store.reading.status(reminder.name)
    assert (status.due, status.refused, status.dispositions) == (1, 1, {"do_not_call": 1})


def test_a_claim_takes_no_more_than_the_lines_that_are_free(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 20)
    assert len(claim(store, reminder, lines=4)) == 4
    assert claim(store, reminder, lines=4) == []
    assert len(claim(store, reminder, lines=5)) == 1


def test_a_claim_takes_no_more_than_the_campaigns_own_lines(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 20)
    assert len(claim(store, reminder)) == reminder.pacing.lines


def test_many_claimers_at_once_never_take_the_same_attempt(
    server: EmbeddedRedis, store: Store, reminder: Campaign
) -> None:
    wide = reminder.model_copy(update={"pacing": reminder.pacing.model_copy(update={"lines": 1000})})
    enlist(store, wide, 200)
    taken: list[str] = []

    def work() -> None:
        mine = Store.at(server.url)
        while got := claim(mine, wide, lines=1000, ahead=1000)[:] or None:
            taken.extend(got)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 200


def test_a_paused_campaign_is_not_claimed_and_a_claimed_attempt_of_it_is_not_dialed(
    store: Store, reminder: Campaign
) -> None:
    enlist(store, reminder, 3)
    (attempt_id, *_) = claim(store, reminder, lines=1)
    store.campaigns.set_state(reminder.name, CampaignState.PAUSED, "test")
    assert begin(store, attempt_id) == Begun(dial=False, rule="paused")
    assert claim(store, reminder, lines=3) == []


def test_an_attempt_is_begun_once_even_if_its_message_comes_twice(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    assert begin(store, case.attempt_id, "another").rule == "gone"
    assert begin(store, case.attempt_id, "t").dial, (
        "the same worker gets the same answer again: its reply may have been lost"
    )


def test_an_attempt_whose_lease_ran_out_is_not_dialed(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 1)
    (attempt_id,) = claim(store, reminder, lease=timedelta(milliseconds=1))
    threading.Event().wait(0.02)
    assert begin(store, attempt_id).rule == "gone"


def test_a_number_listed_after_the_claim_is_not_dialed(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 1)
    (attempt_id,) = claim(store, reminder)
    store.do_not_call.add("+12125550100", "operator")
    assert begin(store, attempt_id).rule == "do_not_call"


def test_two_campaigns_do_not_ring_one_number_at_once(store: Store, reminder: Campaign) -> None:
    other = reminder.model_copy(update={"name": "other"})
    begun(store, reminder)
    enlist(store, other, 1)
    (attempt_id,) = claim(store, other)
    assert begin(store, attempt_id).rule == "on_a_call"


def departures(
    store: Store, campaign: str, count: int, *, account_per_s: float, per_s: float
) -> tuple[list[float], float]:
    """When `count` dials may leave, in ms from now; and when the first without a departure asks again (0: all have one)."""
    given = store.pace.departures(
        campaign, count, account_interval=SECOND / account_per_s, campaign_interval=SECOND / per_s, farthest=SECOND
    )
    milliseconds = [(turn - given.clock.now) / timedelta(milliseconds=1) for turn in given.at]
    return milliseconds, (given.next - given.clock.now) / timedelta(milliseconds=1) if given.next else 0.0


def test_each_dial_has_a_departure_and_asks_again_if_none_is_near(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 4)
    store.clock_ms = int(store.now().timestamp() * 1000)
    apart = math.ceil(500 * (1 + SPARE))
    assert departures(store, reminder.name, 4, account_per_s=2, per_s=10) == ([0, apart], math.ceil(1000 * (1 + SPARE)))
    assert claim(store, reminder) == [], "an attempt that cannot leave within the second is not claimed"
    store.clock_ms += 1100
    late, _ = departures(store, reminder.name, 1, account_per_s=2, per_s=10)
    assert late == [math.ceil(1000 * (1 + SPARE)) - 1100], (
        "a departure that no dial took a moment ago can still be taken"
    )
    store.clock_ms += 3000
    gone, _ = departures(store, reminder.name, 1, account_per_s=2, per_s=10)
    assert gone == [-(CATCH_UP / MS)], "but not later"


def test_a_slow_campaign_holds_up_no_other(store: Store) -> None:
    store.clock_ms = int(store.now().timestamp() * 1000)
    assert departures(store, "slow", 2, account_per_s=100, per_s=1.1)[0] == [0, math.ceil(1000 * (1 + SPARE) / 1.1)]
    fast, _ = departures(store, "fast", 10, account_per_s=100, per_s=100)
    assert fast[-1] < 130, "ten departures of the account, after the two that the slow campaign took"


def left_after(store: Store, attempt_id: str, late_ms: int, per_s: float) -> int:
    """Begin a dial now, let it leave `late_ms` later than planned, and return when it left."""
    while not (answer := begin(store, attempt_id, per_s=per_s)).dial:
        assert answer.at, answer
        store.clock_ms = int(answer.at.timestamp() * 1000)
    assert answer.at
    left = answer.at + timedelta(milliseconds=late_ms)
    store.attempts.witness(attempt_id, witnesses.dialed(DialAnswer(call_sid="v3:1")), token="t", left_at=left)
    return round(left.timestamp() * 1000)


@given(
    per_s=st.sampled_from([0.5, 1, 2, 3, 7]),
    delays=st.lists(st.tuples(st.integers(0, 900), st.integers(0, 100)), min_size=20, max_size=20),
)
@examples(40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_dial_follows_the_nth_before_it_too_soon_even_if_dials_leave_late(
    store: Store, reminder: Campaign, per_s: float, delays: list[tuple[int, int]]
) -> None:
    store._redis.flushall()
    store = Store(store._redis, clock_ms=1_800_000_000_000)
    roomy = reminder.model_copy(update={"pacing": Pacing(lines=20)})
    enlist(store, roomy, 20)
    left = []
    for attempt_id, (late_ms, pause_ms) in zip(claim(store, roomy, lease=1000 * SECOND), delays, strict=True):
        left.append(left_after(store, attempt_id, late_ms, per_s))
        store.clock_ms += pause_ms
    most = max(1, int(per_s))
    left.sort()
    assert all(later - earlier >= 1000 * most / per_s for earlier, later in zip(left, left[most:], strict=False))


def test_a_dial_that_missed_its_departure_asks_for_another_and_keeps_the_pace(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 2)
    first, second = claim(store, reminder)
    store.clock_ms = start = int(store.now().timestamp() * 1000)
    assert begin(store, first, "a", per_s=1).at == times.moment(start)
    store.clock_ms += 1100
    assert begin(store, second, "b", per_s=1).at == times.moment(store.clock_ms)
    again = begin(store, first, "a", per_s=1)
    assert (again.dial, again.at) == (True, times.moment(start + 1100 + 1000 + round(APART / MS)))
    store.campaigns.set_state(reminder.name, CampaignState.PAUSED)
    store.clock_ms += 5000
    assert begin(store, first, "a", per_s=1).rule == "paused"


def test_nothing_is_written_while_the_departure_is_far_away(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 2)
    first, second = claim(store, reminder)
    store.clock_ms = start = int(store.now().timestamp() * 1000)
    assert begin(store, first, per_s=1).dial
    wait = begin(store, second, per_s=1)
    assert (wait.dial, wait.rule, wait.at) == (False, None, times.moment(start + 1000 + round(APART / MS)))
    case = store.attempts.case(second)
    assert case
    assert not case.begun


def test_a_postponed_attempt_is_not_spent(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    assert store.attempts.postpone(case, "t", store.now(), "carrier_busy", "429")
    assert store.reading.status(reminder.name).due == 1
    assert claim(store, reminder) == [case.attempt_id]


def test_a_late_worker_cannot_give_back_another_worker_s_attempt(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    assert not store.attempts.postpone(case, "a stale token", store.now(), "carrier_busy", "429")
    assert (
        store.attempts.witness(case.attempt_id, witnesses.dialed(DialAnswer()), token="a stale token")
        is Reception.UNKNOWN
    )


def test_a_repeated_word_changes_nothing_and_a_word_about_no_attempt_is_refused(
    store: Store, reminder: Campaign
) -> None:
    case = begun(store, reminder)
    assert store.attempts.witness(case.attempt_id, busy(case)) is Reception.NEWS
    before = store._redis.hgetall(f"{{dialout}}:attempt:{case.attempt_id}")
    assert store.attempts.witness(case.attempt_id, busy(case)) is Reception.REPEATED
    assert store._redis.hgetall(f"{{dialout}}:attempt:{case.attempt_id}") == before
    assert store.attempts.witness("nobody#1", busy(case)) is Reception.UNKNOWN


def test_a_call_that_ended_frees_its_line_before_it_is_concluded(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    assert store.reading.status(reminder.name).lines_in_use == 1
    store.attempts.witness(case.attempt_id, busy(case))
    assert store.reading.status(reminder.name).lines_in_use == 0


def test_a_conclusion_from_old_evidence_is_not_written(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    store.attempts.witness(case.attempt_id, busy(case))
    assert store.attempts.conclude(case, BUSY, None) == "stale"
    assert store.attempts.conclude(refreshed(store, case), BUSY, None) == "ok"


def test_a_settled_fact_stays(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    assert store.attempts.conclude(case, BUSY, None) == "ok"
    assert store.attempts.conclude(case, Settled(Disposition.COMPLETED, "late"), None) == "settled"
    assert store.reading.status(reminder.name).dispositions == {"busy": 1}


def test_a_settled_fact_gives_way_to_a_person_who_asks_for_no_more_calls_and_to_nothing_else(
    store: Store, reminder: Campaign
) -> None:
    case = begun(store, reminder)
    asked = Settled(Disposition.DO_NOT_CALL, "asked")
    assert store.attempts.conclude(case, Settled(Disposition.CALLBACK, "later"), store.now()) == "ok"
    assert store.attempts.conclude(case, asked, None) == "ok"
    status = store.reading.status(reminder.name)
    assert (status.due, status.done, status.dispositions) == (0, 1, {"do_not_call": 1})
    assert store.do_not_call.holds(case.phone)
    for other in (Settled(Disposition.COMPLETED, "talked"), asked):
        assert store.attempts.conclude(case, other, store.now()) == "settled"
    assert store.reading.status(reminder.name) == status


def test_a_guess_is_corrected_and_the_retry_that_it_had_queued_is_withdrawn(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    guess = Settled(Disposition.UNCONFIRMED, "no answer", guess=True)
    assert store.attempts.conclude(case, guess, store.now() + timedelta(hours=1)) == "ok"
    assert store.reading.status(reminder.name).due == 1
    assert store.attempts.conclude(refreshed(store, case), Settled(Disposition.COMPLETED, "it was"), None) == "ok"
    status = store.reading.status(reminder.name)
    assert (status.due, status.done, status.dispositions) == (0, 1, {"completed": 1})


def test_a_guess_is_corrected_even_if_the_retry_that_it_had_queued_is_claimed_but_not_yet_dialed(
    store: Store, reminder: Campaign
) -> None:
    case = begun(store, reminder)
    assert store.attempts.conclude(case, Settled(Disposition.UNCONFIRMED, "no answer", guess=True), store.now()) == "ok"
    assert claim(store, reminder) == [f"{case.contact_id}#2"]
    assert store.attempts.conclude(refreshed(store, case), Settled(Disposition.COMPLETED, "it was"), None) == "ok"
    assert begin(store, f"{case.contact_id}#2").rule == "gone"
    status = store.reading.status(reminder.name)
    assert (status.due, status.live, status.done, status.lines_in_use) == (0, 0, 1, 0)


def test_a_guess_made_again_changes_nothing_and_a_fact_that_confirms_it_leaves_the_retry_where_it_is(
    store: Store, reminder: Campaign
) -> None:
    case = begun(store, reminder)
    due = store.now() + timedelta(hours=1)
    guess = Settled(Disposition.FAILED, "no report", guess=True)
    assert store.attempts.conclude(case, guess, due) == "ok"
    journal = store.reading.journal(case.contact_id)
    assert store.attempts.conclude(refreshed(store, case), guess, due + timedelta(hours=1)) == "ok"
    assert (
        store.attempts.conclude(
            refreshed(store, case), Settled(Disposition.FAILED, "so it was"), due + timedelta(hours=2)
        )
        == "ok"
    )
    assert store.reading.journal(case.contact_id) == journal
    ((count, first),) = store.reading.status(reminder.name).due_by_place.values()
    assert first
    assert (count, abs(first - due) < SECOND) == (1, True)
    assert (
        store.attempts.conclude(refreshed(store, case), Settled(Disposition.COMPLETED, "too late"), None) == "settled"
    )


def test_two_sweeps_at_once_never_look_at_the_same_attempt_and_it_is_looked_at_again_later(
    store: Store, reminder: Campaign
) -> None:
    case = begun(store, reminder)
    store.attempts.witness(case.attempt_id, busy(case))
    store.clock_ms = int(store.now().timestamp() * 1000) + 1000
    assert store.attempts.take_unsettled() == [case.attempt_id]
    assert store.attempts.take_unsettled() == []
    store.clock_ms += 10_001
    assert store.attempts.take_unsettled() == [case.attempt_id]


def test_the_pace_slows_when_the_carrier_is_busy_and_comes_back_by_itself(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 9)
    store.clock_ms = start = int(store.now().timestamp() * 1000)

    def next_dial_after() -> float:
        (attempt_id,) = claim(store, reminder, ahead=1)
        (first, then), _ = departures(store, reminder.name, 2, account_per_s=10, per_s=10)
        assert begin(store, attempt_id, per_s=10_000).dial
        case = store.attempts.case(attempt_id)
        assert case
        store.attempts.postpone(case, "t", store.now() + timedelta(hours=1), "carrier_busy", "429", slow_to=40)
        store.clock_ms += 1000  # type: ignore[operator]
        return (then - first) / 100 / (1 + SPARE)

    waits = [next_dial_after() for _ in range(4)]
    assert waits[0] == pytest.approx(1, abs=0.01)
    assert waits == sorted(waits)
    assert waits[-1] > 2.9  # it doubled three times, and faded a little in between
    store.clock_ms = start + 30_000
    assert next_dial_after() < 1.1


def test_ticks_that_come_together_are_one(store: Store) -> None:
    ticks = [store.tick("claim", timedelta(milliseconds=50)) for _ in range(3)]
    assert ticks == [True, False, False]
    assert store.tick("sweep", SECOND)
    threading.Event().wait(0.06)
    assert store.tick("claim", SECOND)


def test_an_opt_out_withdraws_the_number_s_waiting_attempts_in_every_campaign(store: Store, reminder: Campaign) -> None:
    other = reminder.model_copy(update={"name": "other"})
    case = begun(store, reminder)
    enlist(store, other, 2)
    store.attempts.conclude(case, Settled(Disposition.DO_NOT_CALL, "asked"), None)
    assert store.do_not_call.holds(case.phone)
    store.do_not_call.add(case.phone, "asked during a call")
    assert store.reading.status("other").refused == 1


def test_a_retry_that_is_due_is_claimed_as_the_next_attempt(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    store.attempts.conclude(case, BUSY, store.now() - SECOND)
    assert claim(store, reminder) == [f"{case.contact_id}#2"]


def test_a_contact_who_rings_back_is_not_rung_again_after_a_talk(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    store.attempts.conclude(case, BUSY, store.now() + timedelta(hours=1))
    inbound_id = store.callers.ring_back(refreshed(store, case), "v3:in", timedelta(minutes=10))
    assert store.reading.status(reminder.name).due == 0
    assert store.callers.attempt_of("v3:in") == inbound_id
    inbound = store.attempts.case(inbound_id)
    assert inbound
    settled, following = retries.after_inbound(Settled(Disposition.COMPLETED, "talked"), inbound.before, store.now())
    assert store.attempts.conclude(inbound, settled, following) == "ok"
    status = store.reading.status(reminder.name)
    assert (status.due, status.live, status.dispositions) == (0, 0, {"completed": 1})


def test_a_call_back_that_came_to_nothing_restores_the_waiting_attempt(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    due = store.now() + timedelta(hours=1)
    store.attempts.conclude(case, BUSY, due)
    inbound = store.attempts.case(store.callers.ring_back(refreshed(store, case), "v3:in", timedelta(minutes=10)))
    assert inbound
    settled, following = retries.after_inbound(Settled(Disposition.FAILED, "no bot"), inbound.before, store.now())
    assert store.attempts.conclude(inbound, settled, following) == "ok"
    assert store.reading.status(reminder.name).due == 1
    assert following
    assert abs(following - due) < SECOND


def test_every_contact_is_in_exactly_one_state(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 12)
    attempts = claim(store, reminder)
    for attempt_id in attempts[:2]:
        assert begin(store, attempt_id).dial
        case = store.attempts.case(attempt_id)
        assert case
        store.attempts.conclude(case, BUSY, None)
    store.do_not_call.add("+12125550111", "operator")
    status = store.reading.status(reminder.name)
    assert status.contacts == status.due + status.live + status.done + status.refused == 12
    assert len(store.reading.outcomes(reminder.name)) == 12


def test_a_stop_is_for_good(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 1)
    store.campaigns.set_state(reminder.name, CampaignState.STOPPED, "test")
    with pytest.raises(StoreError, match="for good"):
        store.campaigns.set_state(reminder.name, CampaignState.RUNNING)
    with pytest.raises(StoreError, match="was stopped"):
        store.campaigns.define(reminder)


def test_all_keys_share_one_slot_of_a_cluster(store: Store, reminder: Campaign) -> None:
    case = begun(store, reminder)
    store.attempts.conclude(case, BUSY, store.now())
    assert {key.partition(":")[0] for key in store._redis.scan_iter()} == {"{dialout}"}
