"""The claim: fair shares between campaigns, lines that are kept for people who ring us, and warm bots for every answer.

More than 300 lines: all cases of one script.
"""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from threading import Thread

import pytest
from claiming import bid, limits
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from campaigns.call import Disposition, Joined
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import Place
from tests.search import examples
from worker.machine.embedded import EmbeddedRedis
from worker.rules import caller_ids, warm_bots
from worker.rules.evidence import AnsweredBy, CallEvent, CallState, Detection
from worker.rules.settlement import Settled
from worker.rules.states import CampaignState
from worker.settings import Settings
from worker.store import Store, witnesses
from worker.store.values import Begun, Bid

SECOND = timedelta(seconds=1)
ANSWERED = witnesses.told(CallEvent("v3:1", CallState.ANSWERED))
TALKED = witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.COMPLETED))
RUNG_OUT = witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.NO_ANSWER))


def campaign(
    store: Store, reminder: Campaign, name: str, people: int, *, weight: float = 1, lines: int = 1000
) -> Campaign:
    """Define a campaign in which `people` contacts wait, in two zones."""
    pacing = reminder.pacing.model_copy(update={"weight": weight, "lines": lines, "calls_per_second": 1000})
    found = reminder.model_copy(update={"name": name, "pacing": pacing})
    store.campaigns.define(found)
    columns, area = {"name": "Ada", "day": "d", "time": "t"}, sum(name.encode()) % 1000
    for zone, start in (("America/New_York", 0), ("America/Chicago", 1)):
        for n in range(start, people, 2):
            contact = Contact(f"+1212{area:03d}{n:04d}", columns, n)
            store.contacts.enlist(found, [(contact, Place((zone,)))], store.now() - SECOND * (1000 - n))
    return found


def claimed(store: Store, *bids: Bid, **changed: object) -> list[str]:
    taken = store.pace.claim(bids, limits(**{"lines": 1000, "ahead": 1000, **changed}))  # type: ignore[arg-type]
    return [attempt for ids in taken.values() for attempt in ids]


def whose(store: Store, attempts: list[str]) -> Counter[str]:
    cases = [store.attempts.case(attempt) for attempt in attempts]
    return Counter(case.campaign.name for case in cases if case)


def begun(store: Store, attempt_id: str, caller_id: str, most: int) -> Begun:
    case = store.attempts.case(attempt_id)
    assert case
    quick = timedelta(microseconds=1)
    return store.attempts.begin(
        case, "t", lease=600 * SECOND, first_look=10 * SECOND, account_interval=quick, campaign_interval=quick,
        record={"version": "1"}, pool=[caller_id], limits=caller_ids.CallerIdLimits(lines=most),
    )  # fmt: skip


def begin(store: Store, attempt_id: str) -> None:
    assert begun(store, attempt_id, "+12125550100", 0).dial


def later(store: Store, seconds: float) -> None:
    store.clock_ms = int(store.now().timestamp() * 1000 + seconds * 1000)


# --- fair shares ----------------------------------------------------------------------------------------------------------


def test_lines_that_free_up_one_by_one_go_to_campaigns_by_their_weights(store: Store, reminder: Campaign) -> None:
    weights = {"one": 1.0, "two": 2.0, "five": 5.0}
    bids = [bid(store, campaign(store, reminder, name, 200, weight=weight)) for name, weight in weights.items()]
    taken = [attempt for lines in range(1, 161) for attempt in claimed(store, *bids, lines=lines)]
    assert len(taken) == 160
    assert whose(store, taken) == {"one": 20, "two": 40, "five": 100}


def test_what_the_pace_lets_through_goes_to_campaigns_by_their_weights(store: Store, reminder: Campaign) -> None:
    weights = {"one": 1.0, "three": 3.0}
    bids = [bid(store, campaign(store, reminder, name, 200, weight=weight)) for name, weight in weights.items()]
    taken = [attempt for ahead in range(4, 81, 4) for attempt in claimed(store, *bids, ahead=ahead)]
    assert whose(store, taken) == {"one": 20, "three": 60}


def test_a_campaign_that_cannot_use_its_share_leaves_it_to_the_others_at_once(store: Store, reminder: Campaign) -> None:
    few = bid(store, campaign(store, reminder, "few", 3, weight=9))
    narrow = bid(store, campaign(store, reminder, "narrow", 50, weight=9, lines=2))
    many = bid(store, campaign(store, reminder, "many", 50))
    assert whose(store, claimed(store, few, narrow, many, lines=40)) == {"few": 3, "narrow": 2, "many": 35}


def test_a_campaign_that_may_take_few_leaves_the_rest_to_the_others(store: Store, reminder: Campaign) -> None:
    held_back = replace(bid(store, campaign(store, reminder, "held_back", 50, weight=9)), most=2)
    many = bid(store, campaign(store, reminder, "many", 50))
    assert whose(store, claimed(store, held_back, many, lines=20)) == {"held_back": 2, "many": 18}
    assert claimed(store, replace(held_back, most=0), lines=40) == []


def test_a_campaign_that_comes_later_has_saved_up_nothing(store: Store, reminder: Campaign) -> None:
    early = bid(store, campaign(store, reminder, "early", 200))
    assert len(claimed(store, early, lines=100)) == 100
    late = bid(store, campaign(store, reminder, "late", 200))
    assert whose(store, claimed(store, early, late, lines=120)) == {"early": 10, "late": 10}


def test_a_paused_campaign_is_not_claimed_and_starves_nobody(store: Store, reminder: Campaign) -> None:
    bids = [bid(store, campaign(store, reminder, name, 20)) for name in ("paused", "running")]
    store.campaigns.set_state("paused", CampaignState.PAUSED)
    assert whose(store, claimed(store, *bids, lines=10)) == {"running": 10}


def test_zones_alternate_even_when_lines_free_up_one_by_one(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "zones", 10))
    taken = [attempt for lines in range(1, 11) for attempt in claimed(store, its, lines=lines)]
    assert len(taken) == 10
    half = {case.zones for attempt in taken[:6] if (case := store.attempts.case(attempt))}
    assert half == {("America/New_York",), ("America/Chicago",)}


def test_claimers_at_once_keep_the_shares_and_the_lines(
    server: EmbeddedRedis, store: Store, reminder: Campaign
) -> None:
    weights = {"one": 1.0, "four": 4.0}
    bids = [bid(store, campaign(store, reminder, name, 300, weight=weight)) for name, weight in weights.items()]
    taken: list[str] = []

    def work() -> None:
        mine = Store.at(server.url)
        for lines in range(5, 101, 5):
            taken.extend(claimed(mine, *bids, lines=lines))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 100
    assert whose(store, taken) == {"one": 20, "four": 80}


# --- lines ----------------------------------------------------------------------------------------------------------------


def test_lines_kept_for_people_who_ring_us_are_never_dialed_on(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "reserve", 20))
    assert len(claimed(store, its, lines=10, lines_for_inbound=3)) == 7


def test_people_who_ring_us_take_the_reserve_first_and_then_the_dialers_lines(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "inbound", 30))
    for caller in range(5):
        store.callers.call_began(f"v3:{caller}")
        store.callers.call_began(f"v3:{caller}")
    assert len(claimed(store, its, lines=10, lines_for_inbound=3)) == 5
    store.callers.call_ended("v3:0")
    store.callers.call_ended("v3:0")
    store.callers.call_ended("v3:a-stranger")
    assert len(claimed(store, its, lines=10, lines_for_inbound=3)) == 1
    assert store.pace.occupied(30 * SECOND).inbound == 4
    later(store, 1201)
    assert len(claimed(store, its, lines=10, lines_for_inbound=3)) == 7, "a call to us ends even if nobody tells us"


def test_a_caller_id_has_no_more_calls_at_once_than_its_lines(store: Store, reminder: Campaign) -> None:
    first, second, third, fourth = claimed(store, bid(store, campaign(store, reminder, "ids", 4)))
    mine, other = "+12125550100", "+12125550101"
    assert begun(store, first, mine, 2).dial
    assert begun(store, second, mine, 2).dial
    assert begun(store, third, mine, 2).rule == "caller_id"
    assert begun(store, third, other, 2).dial
    store.attempts.witness(first, RUNG_OUT)
    assert begun(store, fourth, mine, 2).dial


def test_a_reserve_that_leaves_no_line_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="leaves none of LINES"):
        Settings(lines=10, lines_for_inbound=10)


def test_warm_bots_are_as_many_as_the_settings_say_or_as_lines_without_a_count_or_as_are_needed() -> None:
    assert Settings(lines=9, warm_bots=4).bots_at_once == 4
    assert Settings(lines=9, pipecat_private_key=SecretStr("sk")).bots_at_once == 9
    assert Settings(lines=9).bots_at_once is None


# --- warm bots ------------------------------------------------------------------------------------------------------------


def test_while_nothing_is_known_everybody_is_expected_to_answer(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "warm", 30))
    assert len(claimed(store, its, warm_bots=4)) == 4
    assert claimed(store, its, warm_bots=4) == []


def test_without_a_number_of_warm_bots_there_are_as_many_as_are_needed(store: Store, reminder: Campaign) -> None:
    assert len(claimed(store, bid(store, campaign(store, reminder, "warm", 30)))) == 30


def test_a_used_bot_is_warm_again_only_after_its_rest(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "rest", 30))
    later(store, 0)
    (talks,) = claimed(store, its, warm_bots=1)
    begin(store, talks)
    store.attempts.witness(talks, ANSWERED)
    store.attempts.witness(talks, TALKED)
    later(store, 29.9)
    assert claimed(store, its, warm_bots=1, bot_rest=30 * SECOND) == []
    later(store, 0.2)
    assert len(claimed(store, its, warm_bots=1, bot_rest=30 * SECOND)) == 1


def test_a_call_that_rang_out_took_no_bot(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "rest", 30))
    (attempt,) = claimed(store, its, warm_bots=1)
    begin(store, attempt)
    store.attempts.witness(attempt, RUNG_OUT)
    assert len(claimed(store, its, warm_bots=1, bot_rest=30 * SECOND)) == 1


def test_people_who_ring_us_take_warm_bots_too(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "inbound", 30))
    later(store, 0)
    store.callers.call_began("v3:in")
    assert len(claimed(store, its, warm_bots=3)) == 2
    store.callers.call_ended("v3:in")
    assert claimed(store, its, warm_bots=3, bot_rest=30 * SECOND) == []
    later(store, 30.1)
    assert len(claimed(store, its, warm_bots=3, bot_rest=30 * SECOND)) == 3, "the leases of the others have ended too"


def test_a_bot_whose_call_outlived_its_lease_or_was_concluded_is_used(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "leases", 30))
    later(store, 0)
    outlives, concluded = claimed(store, its, warm_bots=2)
    for attempt in (outlives, concluded):
        begin(store, attempt)
        store.attempts.witness(attempt, ANSWERED)
    case = store.attempts.case(concluded)
    assert case
    assert (
        store.attempts.conclude(case, Settled(Disposition.FAILED, "nothing was heard of it", guess=True), None) == "ok"
    )
    assert store.pace.occupied(30 * SECOND).cooling == 1
    later(store, 601)
    claimed(store, its, warm_bots=0)
    assert store.pace.occupied(30 * SECOND).cooling == 1
    assert store.pace.occupied(30 * SECOND).lines == 0


def test_free_bots_are_those_that_the_count_found_idle_less_those_taken_since(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "counted", 100))
    later(store, 0)
    before = claimed(store, its, warm_bots=1)
    for attempt in before:
        begin(store, attempt)
        store.attempts.witness(attempt, ANSWERED)
    later(store, 5)
    store.pace.count_warm_bots(3, store.now())
    taken = claimed(store, its, warm_bots=1, bot_rest=30 * SECOND)
    assert len(taken) == 3, "a call that the count saw is not subtracted again"
    begin(store, taken[0])
    store.attempts.witness(taken[0], ANSWERED)
    assert claimed(store, its, warm_bots=1, bot_rest=30 * SECOND) == []


def test_a_count_that_grows_old_gives_way_to_the_setting(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "old", 100))
    later(store, 0)
    store.pace.count_warm_bots(40, store.now())
    later(store, 40)
    assert len(claimed(store, its, warm_bots=0, lease=SECOND)) == 20
    later(store, 301)
    assert claimed(store, its, warm_bots=0) == []
    assert len(claimed(store, its, warm_bots=7)) == 7


def test_the_answer_rate_is_learned_and_fades(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "learns", 60))
    attempts = claimed(store, its)
    for n, attempt in enumerate(attempts):
        begin(store, attempt)
        if n % 3 == 0:
            store.attempts.witness(attempt, ANSWERED)
            store.attempts.witness(attempt, witnesses.detected(Detection("v3:1", AnsweredBy.HUMAN)))
            store.attempts.witness(attempt, TALKED)
        elif n % 3 == 1:
            store.attempts.witness(attempt, RUNG_OUT)
        else:
            store.attempts.witness(attempt, witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.BUSY)))
    (found,) = store.campaigns.under_way()
    assert (found.answered, found.rung_out) == (20, 20), "a busy line says nothing about how many people answer"
    store._redis.hset("{dialout}:odds:learns", "answered", 199)
    begin_again = claimed(store, bid(store, campaign(store, reminder, "learns", 62)))
    begin(store, begin_again[0])
    store.attempts.witness(begin_again[0], ANSWERED)
    (found,) = store.campaigns.under_way()
    assert (found.answered, found.rung_out) == (100, 10)


def test_a_call_to_us_says_nothing_about_how_many_people_answer(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "theirs", 1))
    (attempt,) = claimed(store, its)
    begin(store, attempt)
    store.attempts.witness(attempt, RUNG_OUT)
    case = store.attempts.case(attempt)
    assert case
    store.attempts.conclude(case, Settled(Disposition.NO_ANSWER, ""), None)
    inbound = store.callers.ring_back(case, "v3:in", 600 * SECOND)
    store.attempts.witness(inbound, witnesses.joined(Joined(attempt_id=inbound)))
    store.attempts.witness(inbound, TALKED)
    (found,) = store.campaigns.under_way()
    assert (found.answered, found.rung_out) == (0, 1)


# --- silence --------------------------------------------------------------------------------------------------------------


def ringing(store: Store, reminder: Campaign) -> tuple[Bid, str]:
    its = bid(store, campaign(store, reminder, "silence", 20))
    later(store, 0)
    (attempt,) = claimed(store, its, lines=1)
    begin(store, attempt)
    store.attempts.witness(attempt, ANSWERED)
    return its, attempt


def silent_and_slowed(store: Store, its: Bid) -> tuple[int, bool]:
    claimed(store, its, lines=0, slow_to=40.0)
    return store.reading.status("silence").silent, bool(store._redis.exists("{dialout}:slow"))


@pytest.mark.parametrize("after_s", [0, 1.9])
def test_a_bot_that_comes_in_time_is_no_silence(store: Store, reminder: Campaign, after_s: float) -> None:
    its, attempt = ringing(store, reminder)
    later(store, after_s)
    store.attempts.witness(attempt, witnesses.joined(Joined(attempt_id=attempt)))
    later(store, 10)
    assert silent_and_slowed(store, its) == (0, False)


def test_a_bot_that_was_there_before_we_heard_of_the_answer_is_no_silence(store: Store, reminder: Campaign) -> None:
    its = bid(store, campaign(store, reminder, "silence", 20))
    later(store, 0)
    (attempt,) = claimed(store, its, lines=1)
    begin(store, attempt)
    store.attempts.witness(attempt, witnesses.joined(Joined(attempt_id=attempt)))
    store.attempts.witness(attempt, ANSWERED)
    later(store, 10)
    assert silent_and_slowed(store, its) == (0, False)


def test_a_person_who_hangs_up_before_a_bot_must_be_there_heard_no_silence(store: Store, reminder: Campaign) -> None:
    its, attempt = ringing(store, reminder)
    later(store, 1)
    store.attempts.witness(attempt, TALKED)
    later(store, 10)
    assert silent_and_slowed(store, its) == (0, False)


@pytest.mark.parametrize("then", ["nothing", "a late bot", "a hangup"])
def test_an_answer_without_a_bot_is_counted_once_and_slows_the_pace(
    store: Store, reminder: Campaign, then: str
) -> None:
    its, attempt = ringing(store, reminder)
    later(store, 2.1)
    if then == "a late bot":
        store.attempts.witness(attempt, witnesses.joined(Joined(attempt_id=attempt)))
    elif then == "a hangup":
        store.attempts.witness(attempt, TALKED)
    assert silent_and_slowed(store, its) == (1, True)
    assert silent_and_slowed(store, its) == (1, True)


# --- the arithmetic -------------------------------------------------------------------------------------------------------


def test_the_answer_rate_is_never_below_what_was_seen_and_comes_near_it() -> None:
    assert warm_bots.answer_rate(0, 0) == 1
    assert warm_bots.answer_rate(3, 0) == 1
    for answered, rung_out in [(0, 10), (3, 7), (30, 70), (300, 700), (1, 99)]:
        seen = answered / (answered + rung_out)
        assert seen < warm_bots.answer_rate(answered, rung_out) < seen + 2.5 / (answered + rung_out) ** 0.5
    assert warm_bots.answer_rate(300, 700) < warm_bots.answer_rate(30, 70) < warm_bots.answer_rate(3, 7)


@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0, 1)), max_size=5), st.integers(0, 60), st.floats(0, 1))
def test_there_is_always_room_where_everybody_could_answer_and_never_where_the_mean_does_not_fit(
    ringing: list[tuple[int, float]], free: int, rate: float
) -> None:
    allowed = warm_bots.may_ring_one_more(free, 0, ringing, rate)
    calls, mean = sum(count for count, _ in ringing) + 1, sum(count * p for count, p in ringing) + rate
    assert allowed or calls > free
    assert not allowed or mean <= free + 1e-9


@examples(60)
@given(st.lists(st.tuples(st.integers(0, 8), st.floats(0.01, 1)), min_size=1, max_size=3), st.integers(0, 12))
def test_the_claim_takes_as_many_as_the_rules_allow(
    server: EmbeddedRedis, reminder: Campaign, groups: list[tuple[int, float]], free: int
) -> None:
    store = Store.at(server.url)
    store._redis.flushall()
    later(store, 0)
    bids = [bid(store, campaign(store, reminder, f"c{n}", 30), answer_rate=rate) for n, (_, rate) in enumerate(groups)]
    standing = []
    for (count, rate), one in zip(groups, bids, strict=True):
        if count:
            assert len(claimed(store, one, ahead=count)) == count
            store._redis.delete(f"{{dialout}}:queued:{one.campaign.name}")
        standing.append((count, rate))
    rate = groups[0][1]
    allowed = 0
    while allowed < 30 - groups[0][0] and warm_bots.may_ring_one_more(free, 0, [*standing, (allowed, rate)], rate):
        allowed += 1
    others = [Bid(one.campaign, [], one.lines, one.answer_rate) for one in bids[1:]]
    assert len(claimed(store, bids[0], *others, warm_bots=free)) == allowed
