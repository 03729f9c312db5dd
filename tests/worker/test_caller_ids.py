"""Caller IDs: from which of our numbers a contact is called, how often a number may call, and when it must rest.

More than 300 lines: the order, the limits and the health of caller IDs belong together.
"""

import random
import threading
from datetime import UTC, datetime, timedelta

import pytest
from claiming import claim
from hypothesis import given
from hypothesis import strategies as st
from test_brakes import begin, enlist, wide
from test_carrier_socket import CarrierServer, Numbers, answer, listening, owned

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from worker.dialing import bids, own_numbers
from worker.machine.embedded import EmbeddedRedis
from worker.rules import caller_ids
from worker.rules.caller_ids import CallerId, CallerIdLimits
from worker.rules.settlement import Settled
from worker.settings import Settings
from worker.store import Store
from worker.telnyx.carrier import Carrier

__all__ = ["listening"]  # a fixture

NOON = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
NEW_YORK, BOSTON, CHICAGO, LONDON = "+12125550199", "+16175550199", "+13125550199", "+442079460999"
POOL = (CHICAGO, LONDON, BOSTON, NEW_YORK)


def order(
    pool: tuple[str, ...] = POOL, phone: str = "+12125550111", contact_id: str = "a", before: str = ""
) -> list[str]:
    return caller_ids.in_order(pool, phone=phone, contact_id=contact_id, before=before)


def test_a_contact_is_called_from_their_own_area_then_from_nearby_then_from_anywhere() -> None:
    first, second, *rest = order()
    assert (first, second, set(rest)) == (NEW_YORK, BOSTON, {CHICAGO, LONDON})
    assert order(phone="+13125550111")[0] == CHICAGO
    assert order(phone="+442079460111")[0] == LONDON


def test_a_number_of_the_contacts_state_is_tried_before_one_of_their_time_zone() -> None:
    buffalo, miami = "+17165550199", "+13055550199"
    assert order((CHICAGO, BOSTON, miami, buffalo))[0] == buffalo
    assert order((CHICAGO, LONDON, BOSTON))[0] == BOSTON, "none of the state: then the zone"


def test_a_contact_who_was_called_before_sees_the_same_number_again() -> None:
    assert order(before=LONDON) == [LONDON, *(number for number in order() if number != LONDON)]
    assert order(before="+19995550100") == order(), "a number that has left the campaign changes nothing"


@given(st.lists(st.from_regex(r"\+1[2-9]\d{2}55501\d{2}", fullmatch=True), unique=True, min_size=1), st.text())
def test_the_order_has_each_number_once_and_is_the_same_after_a_change_of_the_pool(
    pool: list[str], contact_id: str
) -> None:
    whole = order(tuple(pool), contact_id=contact_id)
    assert sorted(whole) == sorted(pool)
    assert order(tuple(reversed(pool)), contact_id=contact_id) == whole
    assert order(tuple(whole[1:]), contact_id=contact_id) == whole[1:]


def test_contacts_are_spread_evenly_over_numbers_that_are_equally_near() -> None:
    pool = tuple(f"+1212555{100 + n:04d}" for n in range(4))
    firsts = [order(pool, contact_id=f"contact {n}")[0] for n in range(2000)]
    assert all(400 < firsts.count(number) < 600 for number in pool)


# --- what a dial counts ----------------------------------------------------------------------------------------------


def claimed(store: Store, campaign: Campaign) -> list[str]:
    return claim(store, campaign, lines=1000, ahead=1000, lease=timedelta(days=9))


def caller_of(store: Store, attempt_id: str) -> str:
    case = store.attempts.case(attempt_id)
    assert case
    return case.attempt["caller_id"]


def test_the_first_number_is_used_until_it_has_made_its_calls_of_the_day(store: Store, reminder: Campaign) -> None:
    store.clock_ms = round(NOON.timestamp() * 1000)
    campaign = wide(reminder)
    enlist(store, campaign, 6)
    limits = CallerIdLimits(calls_per_day=2)
    attempts = claimed(store, campaign)
    why = [begin(store, a, pool=[NEW_YORK, CHICAGO], limits=limits) for a in attempts]
    assert why == [""] * 4 + ["caller_id"] * 2
    assert [caller_of(store, a) for a in attempts[:4]] == [NEW_YORK, NEW_YORK, CHICAGO, CHICAGO]
    case = store.attempts.case(attempts[4])
    assert case
    store.clock_ms += 2000
    begun = store.attempts.begin(
        case, "t", lease=HOUR, first_look=HOUR, account_interval=SECOND, campaign_interval=SECOND, record={},
        pool=[CHICAGO, NEW_YORK], limits=limits,
    )  # fmt: skip
    midnight = datetime(2026, 11, 24, 5, tzinfo=UTC)  # midnight in New York, which Chicago has an hour later
    assert begun.until == midnight
    store.clock_ms = round(midnight.timestamp() * 1000)
    assert begin(store, attempts[4], pool=[CHICAGO, NEW_YORK], limits=limits) == ""
    assert caller_of(store, attempts[4]) == NEW_YORK
    assert [one.today for one in store.own_numbers.read([NEW_YORK, CHICAGO], store.now())] == [1, 2]


def test_a_number_cools_down_between_two_calls(store: Store, reminder: Campaign) -> None:
    store.clock_ms = round(NOON.timestamp() * 1000)
    campaign = wide(reminder)
    enlist(store, campaign, 3)
    first, second, third = claimed(store, campaign)
    limits = CallerIdLimits(cool_down=30 * SECOND)
    assert begin(store, first, pool=[NEW_YORK], limits=limits) == ""
    assert begin(store, second, pool=[NEW_YORK], limits=limits) == "caller_id"
    assert begin(store, second, pool=[NEW_YORK, CHICAGO], limits=limits) == ""
    store.clock_ms += 30_000
    assert begin(store, third, pool=[NEW_YORK], limits=limits) == ""


def test_an_attempt_that_was_given_back_is_not_counted_as_a_call_of_its_number(
    store: Store, reminder: Campaign
) -> None:
    campaign = wide(reminder)
    enlist(store, campaign, 2)
    first, second = claimed(store, campaign)
    limits = CallerIdLimits(calls_per_day=1)
    assert begin(store, first, pool=[NEW_YORK], limits=limits) == ""
    assert begin(store, second, pool=[NEW_YORK], limits=limits) == "caller_id"
    case = store.attempts.case(first)
    assert case
    assert store.attempts.postpone(case, "t", store.now(), "carrier_busy", "429")
    assert begin(store, second, pool=[NEW_YORK], limits=limits) == ""


def test_the_next_attempt_knows_from_which_number_the_contact_was_called(store: Store, reminder: Campaign) -> None:
    enlist(store, reminder, 1)
    (attempt_id,) = claimed(store, reminder)
    assert begin(store, attempt_id, pool=[BOSTON]) == ""
    case = store.attempts.case(attempt_id)
    assert case
    assert case.caller_id == BOSTON
    assert store.attempts.conclude(case, Settled(Disposition.BUSY, "busy"), store.now() - SECOND) == "ok"
    (following,) = claimed(store, reminder)
    again = store.attempts.case(following)
    assert again
    assert again.caller_id == BOSTON


def test_many_workers_at_once_never_exceed_a_numbers_calls_of_the_day(
    server: EmbeddedRedis, store: Store, reminder: Campaign
) -> None:
    campaign = wide(reminder)
    enlist(store, campaign, 80)
    attempts, allowed = claimed(store, campaign), list[str]()
    shares = [attempts[n::4] for n in range(4)]

    def work(share: list[str]) -> None:
        own = Store.at(server.url)
        for attempt_id in share:
            if not begin(own, attempt_id, pool=[NEW_YORK, CHICAGO], limits=CallerIdLimits(calls_per_day=15)):
                allowed.append(attempt_id)

    threads = [threading.Thread(target=work, args=(share,)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(caller_of(store, a) for a in allowed) == [NEW_YORK] * 15 + [CHICAGO] * 15


def test_nobody_is_called_from_a_number_that_is_not_ours_or_that_rests(store: Store, reminder: Campaign) -> None:
    store.clock_ms = round(NOON.timestamp() * 1000)
    campaign = wide(reminder)
    enlist(store, campaign, 2)
    first, second = claimed(store, campaign)
    store.own_numbers.record_owned({NEW_YORK: False, BOSTON: True})
    store.own_numbers.rest(BOSTON, NOON + DAY)
    assert begin(store, first, pool=[NEW_YORK, BOSTON, CHICAGO]) == ""
    assert caller_of(store, first) == CHICAGO
    assert begin(store, second, pool=[NEW_YORK, BOSTON]) == "caller_id"
    store.own_numbers.record_owned({NEW_YORK: True})
    assert begin(store, second, pool=[NEW_YORK, BOSTON]) == ""


def test_no_contact_is_claimed_while_no_number_may_call(store: Store, reminder: Campaign) -> None:
    store.clock_ms = round(NOON.timestamp() * 1000)
    campaign = wide(reminder.model_copy(update={"caller_ids": (NEW_YORK, BOSTON)}))
    enlist(store, campaign, 9)
    settings = Settings(calls_per_caller_id_per_day=3, caller_id_cool_down_s=60)
    assert bids.room(store, campaign, settings, store.now(), within=SECOND) == 2
    for attempt_id in claimed(store, campaign)[:2]:
        assert begin(store, attempt_id, pool=[NEW_YORK, BOSTON], limits=own_numbers.limits(settings)) == ""
    assert bids.room(store, campaign, settings, store.now(), within=SECOND) == 0
    store.clock_ms += 60_000
    assert bids.room(store, campaign, settings, store.now(), within=SECOND) == 2


MOMENTS = st.integers(0, 120).map(lambda seconds: NOON - seconds * SECOND)
NUMBERS = st.builds(
    CallerId, number=st.just(NEW_YORK), today=st.integers(0, 5), tomorrow=st.just(NOON + DAY), last=st.none() | MOMENTS,
    rest=st.none() | st.just(NOON + HOUR), ours=st.none() | st.booleans(),
)  # fmt: skip


@given(st.lists(NUMBERS, max_size=6), st.integers(0, 4), st.integers(0, 90))
def test_there_is_room_only_where_some_number_may_call(pool: list[CallerId], per_day: int, cool_down_s: int) -> None:
    limits = CallerIdLimits(per_day, cool_down_s * SECOND)
    free = [one for one in pool if caller_ids.free_at(one, limits, NOON) == NOON]
    room = caller_ids.room(pool, limits, NOON, within=timedelta(0))
    assert (room is None or room > 0) == bool(free)
    if room is not None and cool_down_s:
        assert room == len(free)


# --- health ----------------------------------------------------------------------------------------------------------


def number(past: tuple[int, int], recent: tuple[int, int]) -> CallerId:
    calls, answered = recent
    said = "1" * answered + "0" * (calls - answered)
    return CallerId(NEW_YORK, past[0] + calls, past[1] + answered, said)


@pytest.mark.parametrize(
    ("past", "recent", "sick"),
    [
        ((1000, 300), (200, 30), True),
        ((1000, 300), (200, 60), False),
        ((1000, 300), (200, 80), False),
        ((100_000, 30_000), (200, 43), False),  # a third less
        ((100_000, 30_000), (200, 39), True),
        ((1000, 300), (60, 2), True),
        ((1000, 300), (49, 0), False),  # too few calls to tell
        ((199, 60), (200, 0), False),
        ((1000, 0), (200, 0), False),
        ((1000, 1000), (200, 200), False),
    ],
)
def test_a_number_is_sick_if_it_is_answered_far_less_than_it_was(
    past: tuple[int, int], recent: tuple[int, int], sick: bool
) -> None:
    assert caller_ids.is_sick(number(past, recent)) is sick


def test_chance_alone_makes_hardly_any_number_sick() -> None:
    dice = random.Random(7)
    sick = sum(
        caller_ids.is_sick(number((2000, sum(dice.random() < 0.25 for _ in range(2000))), (200, answered)))
        for answered in (sum(dice.random() < 0.25 for _ in range(200)) for _ in range(1000))
    )
    assert sick <= 3


def call(store: Store, attempt_id: str, *, answered: bool) -> None:
    """Conclude one call from New York twice: first as a guess, then as a fact."""
    assert begin(store, attempt_id, pool=[NEW_YORK]) == ""
    end = Disposition.COMPLETED if answered else Disposition.NO_ANSWER
    marks = frozenset({end, "answered", "person"} if answered else {end})
    for guess in (True, False):
        case = store.attempts.case(attempt_id)
        assert case
        assert store.attempts.conclude(case, Settled(end, f"a guess: {guess}", guess=guess), None, marks) == "ok"


def tend(store: Store, telnyx: CarrierServer, settings: Settings) -> None:
    carrier = Carrier(api_key="k", app_id="129", base_url=telnyx.url, timeout_s=60)
    own_numbers.tend(store, carrier, settings)
    carrier.close()


def test_the_carrier_is_asked_once_an_hour_which_numbers_are_ours_and_its_last_answer_is_kept(
    store: Store, listening: CarrierServer
) -> None:
    store.clock_ms = round(NOON.timestamp() * 1000)
    settings = Settings(caller_ids=(NEW_YORK, BOSTON))
    listening.behave = answer(500, {})
    tend(store, listening, settings)
    assert [one.ours for one in store.own_numbers.read(settings.caller_ids, NOON)] == [None, None]
    listening.behave = Numbers([owned(BOSTON)])
    tend(store, listening, settings)
    listening.behave = Numbers([owned(NEW_YORK)])
    tend(store, listening, settings)
    assert [one.ours for one in store.own_numbers.read(settings.caller_ids, NOON)] == [False, True]


def test_a_sick_number_rests_for_a_day_and_is_then_judged_by_new_calls(
    store: Store, reminder: Campaign, listening: CarrierServer
) -> None:
    store.clock_ms = round(NOON.timestamp() * 1000)
    campaign = wide(reminder.model_copy(update={"caller_ids": (NEW_YORK,)}))
    settings = Settings(caller_ids=())
    enlist(store, campaign, 500)
    for n, attempt_id in enumerate(claimed(store, campaign)):
        call(store, attempt_id, answered=n < 300 and n % 2 == 0)
    (one,) = store.own_numbers.read([NEW_YORK], store.now())
    assert (one.calls, one.answered, len(one.recent), one.past) == (500, 150, caller_ids.RECENT, (300, 150))
    store.clock_ms = round(NOON.timestamp() * 1000)
    tend(store, listening, settings)
    (one,) = store.own_numbers.read([NEW_YORK], store.now())
    assert (one.rest, one.recent, one.answer_rate) == (NOON + caller_ids.REST, "", None)
    assert not caller_ids.is_sick(one)
    assert one.facts(CallerIdLimits(), NOON)["resting_until"] == "2026-11-24T18:00:00+00:00"
