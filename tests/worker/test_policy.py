from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import permutations

import pytest

from campaigns.call import Disposition, Joined, OptOut, Report
from campaigns.campaign import CallingWindow, Campaign
from campaigns.places import Place
from worker.rules import retries, settlement
from worker.rules.evidence import AnsweredBy, CallEvent, CallState, Detection, FoundCall
from worker.rules.hours import next_opening
from worker.rules.may_ring import Facts, may_ring
from worker.rules.settlement import DialAnswer, Evidence, Settled, Step, Waiting

NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
NINE_TO_EIGHT = CallingWindow(holidays=False)
NEW_YORK, LOS_ANGELES = Place(("America/New_York",), ("US-NY",)), Place(("America/Los_Angeles",), ("US-CA",))
SOMEWHERE = Place(NEW_YORK.zones + LOS_ANGELES.zones, ("US-CA", "US-NY"))
ZONES = ["America/New_York", "America/Phoenix", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]


PHONE = "+12125550111"


def day(campaign: Campaign, window: CallingWindow = NINE_TO_EIGHT) -> Campaign:
    return campaign.model_copy(update={"calling_window": window})


def evidence(**heard: object) -> Evidence:
    return Evidence(**{"begun_at": NOW, "lease_until": NOW + timedelta(minutes=10), **heard})  # type: ignore[arg-type]


def ended(disposition: Disposition, cause: str = "cause") -> tuple[datetime, CallEvent]:
    return NOW, CallEvent("v3:1", CallState.ENDED, None, disposition, cause, 7)


def report(disposition: Disposition = Disposition.COMPLETED) -> Report:
    return Report(
        report_id="r", attempt_id="a#1", disposition=disposition, reason="said so", started_at=NOW, ended_at=NOW
    )


def test_a_contact_is_rung_only_while_it_is_day_where_they_are(reminder: Campaign) -> None:
    nine_in_new_york = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
    assert next_opening(day(reminder), NEW_YORK, nine_in_new_york) == nine_in_new_york
    assert next_opening(day(reminder), LOS_ANGELES, nine_in_new_york) == nine_in_new_york + timedelta(hours=3)


def test_the_window_closes_on_the_minute(reminder: Campaign) -> None:
    eight = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)  # 20:00 in New York
    just_before = eight - timedelta(microseconds=1)
    assert next_opening(day(reminder), NEW_YORK, just_before) == just_before
    assert next_opening(day(reminder), NEW_YORK, eight) == eight + timedelta(hours=13)


def test_a_window_that_closes_in_an_hour_that_comes_twice_closes_the_first_time(reminder: Campaign) -> None:
    beirut = Place(("Asia/Beirut",), ())  # where 24 October 2026 ends twice: 23:00 to 24:00 comes again at 21:00 UTC
    late = day(reminder, CallingWindow(end=time(23, 30), holidays=False)).model_copy(update={"countries": ("LB",)})
    first, again = datetime(2026, 10, 24, 20, 29, tzinfo=UTC), datetime(2026, 10, 24, 21, 10, tzinfo=UTC)
    assert may_ring(Facts(late, "+96171123456", beirut), first).allowed
    assert may_ring(Facts(late, "+96171123456", beirut), again).reason.endswith(
        "it is 23:10 in Asia/Beirut for the second time today"
    )


def test_a_number_that_may_be_in_two_zones_is_rung_only_when_it_is_day_in_both(reminder: Campaign) -> None:
    opening = next_opening(day(reminder), SOMEWHERE, datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert opening == datetime(2026, 11, 23, 17, tzinfo=UTC)  # nine in Los Angeles


def test_an_unknown_zone_is_refused_and_not_guessed(reminder: Campaign) -> None:
    verdict = may_ring(Facts(reminder, PHONE, Place()), NOW)
    assert (verdict.allowed, verdict.rule, verdict.until) == (False, "zone_unknown", None)


def test_nobody_is_rung_more_often_than_the_campaign_says(reminder: Campaign) -> None:
    assert may_ring(Facts(reminder, PHONE, NEW_YORK, made=2), NOW).allowed
    assert may_ring(Facts(reminder, PHONE, NEW_YORK, made=3), NOW).rule == "attempts"


def test_weekdays_are_those_of_the_contact(reminder: Campaign) -> None:
    weekdays = CallingWindow(weekdays=("mon",), holidays=False)
    sunday_in_los_angeles = datetime(2026, 11, 23, 5, tzinfo=UTC)  # 21:00 on Sunday there, Monday by UTC
    opening = next_opening(day(reminder, weekdays), LOS_ANGELES, sunday_in_los_angeles)
    assert opening == datetime(2026, 11, 23, 17, tzinfo=UTC)


@pytest.mark.parametrize("disposition", [Disposition.BUSY, Disposition.NO_ANSWER, Disposition.REJECTED])
def test_a_call_that_nobody_answered_ends_as_the_carrier_says(disposition: Disposition) -> None:
    settled = settlement.settle(evidence(told=(ended(disposition),)), NOW)
    assert settled == Settled(disposition, "cause")


def test_an_answered_call_waits_for_the_bots_report_and_then_believes_it() -> None:
    heard = evidence(told=(ended(Disposition.COMPLETED),))
    assert isinstance(settlement.settle(heard, NOW), Waiting)
    heard = evidence(told=(ended(Disposition.COMPLETED),), report=report(Disposition.CALLBACK), reported_at=NOW)
    settled = settlement.settle(heard, NOW)
    assert isinstance(settled, Settled)
    assert (settled.disposition, settled.duration_s, settled.guess) == (Disposition.CALLBACK, 7, False)


def test_an_answered_call_without_a_report_is_our_failure_and_only_a_guess() -> None:
    settled = settlement.settle(evidence(told=(ended(Disposition.COMPLETED),)), NOW + timedelta(minutes=1))
    assert isinstance(settled, Settled)
    assert (settled.disposition, settled.guess) == (Disposition.FAILED, True)


def test_a_machine_that_answered_without_a_report_is_voicemail() -> None:
    detected = (Detection("v3:1", AnsweredBy.MACHINE),)
    settled = settlement.settle(
        evidence(told=(ended(Disposition.COMPLETED),), detected=detected), NOW + timedelta(minutes=1)
    )
    assert isinstance(settled, Settled)
    assert settled.disposition is Disposition.VOICEMAIL


def step(heard: Evidence, after_s: float) -> Step:
    decided = settlement.settle(heard, NOW + timedelta(seconds=after_s))
    assert isinstance(decided, Waiting), decided
    return decided.step


def asked(heard: Evidence, after_s: float, *, found: bool = False) -> Evidence:
    at = NOW + timedelta(seconds=after_s)
    return replace(heard, asked_at=at, not_found_at=None if found else at)


def test_an_unanswered_post_asks_the_carrier_again_and_again_and_is_settled_when_it_still_knows_nothing() -> None:
    doubt = evidence(dial=DialAnswer(unconfirmed=True, reason="timeout"))
    assert [step(doubt, s) for s in (0, 11.9, 12)] == [Step.WAIT, Step.WAIT, Step.ASK]
    doubt = asked(doubt, 12)
    assert [step(doubt, s) for s in (23.9, 24)] == [Step.WAIT, Step.ASK]
    settled = settlement.settle(asked(doubt, 59), NOW + timedelta(seconds=60))
    assert isinstance(settled, Settled)
    assert (settled.disposition, settled.guess) == (Disposition.UNCONFIRMED, True)
    assert "timeout" in settled.reason


def test_a_dial_that_the_carrier_took_is_not_given_up_because_its_list_is_late() -> None:
    taken = asked(evidence(dial=DialAnswer(call_sid="v3:1")), 61)
    assert step(taken, 61) is Step.WAIT
    assert step(taken, 73) is Step.ASK


def test_a_call_that_is_on_its_way_or_in_talk_is_left_alone_for_a_while() -> None:
    ringing = evidence(told=((NOW, CallEvent("v3:1", CallState.RINGING)),))
    assert [step(ringing, s) for s in (44, 45)] == [Step.WAIT, Step.ASK]
    talking = evidence(told=((NOW, CallEvent("v3:1", CallState.ANSWERED)),), joined=Joined(attempt_id="x", call_sid=""))
    assert [step(talking, s) for s in (119, 120)] == [Step.WAIT, Step.ASK]


def test_whoever_answers_and_hears_no_bot_is_released_after_the_carrier_was_asked() -> None:
    alone = evidence(told=((NOW, CallEvent("v3:1", CallState.ANSWERED)),))
    assert [step(alone, s) for s in (19, 20)] == [Step.WAIT, Step.ASK]
    alone = asked(alone, 20, found=True)
    assert [step(alone, s) for s in (29, 30)] == [Step.WAIT, Step.HANG_UP]
    joined = replace(alone, joined=Joined(attempt_id="x", call_sid="v3:1"))
    assert step(joined, 30) is Step.WAIT


def test_a_call_that_outlives_its_lease_is_hung_up_until_it_is_or_until_nobody_can_hope_any_more() -> None:
    lease_s = 90.0
    long = evidence(dial=DialAnswer(call_sid="v3:1"), lease_until=NOW + timedelta(seconds=lease_s))
    assert step(long, lease_s) is Step.HANG_UP
    gone = replace(long, hung_up_at=NOW + timedelta(seconds=lease_s))
    assert [step(gone, lease_s + s) for s in (0, 10)] == [Step.WAIT, Step.ASK]
    for hopeless in (long, gone):
        settled = settlement.settle(hopeless, NOW + timedelta(seconds=lease_s) + settlement.HANG_UP_GRACE)
        assert isinstance(settled, Settled)
        assert (settled.disposition, settled.guess) == (Disposition.UNCONFIRMED, True)


def test_what_the_carriers_list_says_is_a_guess_that_its_callback_corrects() -> None:
    call = FoundCall("v3:1", "+1", "+1", None, ended(Disposition.FAILED)[1])
    listed = settlement.settle(evidence(found=((NOW, call),)), NOW)
    told = settlement.settle(evidence(found=((NOW, call),), told=(ended(Disposition.REJECTED),)), NOW)
    assert isinstance(listed, Settled)
    assert isinstance(told, Settled)
    assert (listed.disposition, listed.guess) == (Disposition.FAILED, True)
    assert (told.disposition, told.guess) == (Disposition.REJECTED, False)


def test_what_the_carriers_list_shows_settles_what_no_callback_told() -> None:
    call = FoundCall("v3:1", "+1", "+1", None, ended(Disposition.BUSY)[1])
    settled = settlement.settle(evidence(dial=DialAnswer(unconfirmed=True), found=((NOW, call),)), NOW)
    assert isinstance(settled, Settled)
    assert settled.disposition is Disposition.BUSY


def test_the_order_of_the_evidence_does_not_matter() -> None:
    events = [
        ended(Disposition.BUSY),
        ended(Disposition.COMPLETED),
        ended(Disposition.FAILED),
        (NOW, CallEvent("v3:1", CallState.RINGING)),
    ]
    outcomes = {settlement.settle(evidence(told=tuple(order), report=report(), reported_at=NOW), NOW).disposition  # type: ignore[union-attr]
                for order in permutations(events)}  # fmt: skip
    assert outcomes == {Disposition.COMPLETED}


ASKED = OptOut(attempt_id="a#1", call_sid="v3:1", reason="enough of this")


def test_who_asked_not_to_be_called_again_is_not_even_if_no_report_ever_comes() -> None:
    talked = evidence(told=(ended(Disposition.COMPLETED),), opt_out=ASKED)
    assert settlement.settle(talked, NOW) == Waiting(NOW + settlement.REPORT_GRACE), "the report has answers to give"
    settled = settlement.settle(talked, NOW + settlement.REPORT_GRACE)
    assert isinstance(settled, Settled)
    assert (settled.disposition, settled.reason, settled.duration_s) == (Disposition.DO_NOT_CALL, "enough of this", 7)
    silent = settlement.settle(evidence(opt_out=ASKED), NOW + timedelta(hours=1))
    assert isinstance(silent, Settled)
    assert silent.disposition is Disposition.DO_NOT_CALL


@pytest.mark.parametrize("disposition", list(Disposition))
def test_no_report_takes_back_what_the_person_asked_for(disposition: Disposition) -> None:
    said = report(disposition).model_copy(update={"answers": {"yes": True}, "callback_at": NOW})
    settled = settlement.settle(
        evidence(opt_out=ASKED, report=said, reported_at=NOW, told=(ended(Disposition.COMPLETED),)), NOW
    )
    assert settled == Settled(Disposition.DO_NOT_CALL, "enough of this", duration_s=7, answers={"yes": True})


def test_who_asked_to_be_left_alone_was_not_alone_with_silence() -> None:
    talking = evidence(told=((NOW, CallEvent("", CallState.ANSWERED)),), opt_out=ASKED)
    assert step(talking, 119) is Step.WAIT
    assert talking.call_sid == "v3:1"


def test_a_retry_comes_after_its_delay_and_inside_the_window(reminder: Campaign) -> None:
    busy = Settled(Disposition.BUSY, "")
    assert retries.next_attempt(reminder, busy, 1, NEW_YORK, NOW) == NOW + timedelta(minutes=10)
    day_only = day(reminder)
    late = datetime(2026, 11, 24, 0, 55, tzinfo=UTC)  # 19:55 in New York
    assert retries.next_attempt(day_only, busy, 1, NEW_YORK, late) == datetime(2026, 11, 24, 14, tzinfo=UTC)


def test_a_callback_that_was_asked_for_beats_the_list(reminder: Campaign) -> None:
    at = NOW + timedelta(hours=3)
    asked = Settled(Disposition.CALLBACK, "", callback_at=at)
    assert retries.next_attempt(reminder, asked, 1, NEW_YORK, NOW) == at


@pytest.mark.parametrize("disposition", ["completed", "do_not_call", "wrong_number", "invalid_number", "rejected"])
def test_some_ends_are_final(reminder: Campaign, disposition: str) -> None:
    assert retries.next_attempt(reminder, Settled(Disposition(disposition), ""), 1, NEW_YORK, NOW) is None


def test_the_last_attempt_is_the_last(reminder: Campaign) -> None:
    assert retries.next_attempt(reminder, Settled(Disposition.BUSY, ""), 3, NEW_YORK, NOW) is None
