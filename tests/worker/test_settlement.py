"""How an attempt ended: each witness alone, witnesses that contradict each other, and silence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from campaigns.call import Disposition, Joined, OptOut, Report
from worker.rules import settlement
from worker.rules.evidence import AnsweredBy, CallEvent, CallState, Detection, FoundCall
from worker.rules.settlement import DialAnswer, Evidence, Settled, Step, Waiting

NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


def evidence(**heard: object) -> Evidence:
    return Evidence(**{"begun_at": NOW, "lease_until": NOW + timedelta(minutes=10), **heard})  # type: ignore[arg-type]


def ended(disposition: Disposition, cause: str = "cause") -> tuple[datetime, CallEvent]:
    return NOW, CallEvent("v3:1", CallState.ENDED, None, disposition, cause, 7)


def report(disposition: Disposition = Disposition.COMPLETED) -> Report:
    return Report(
        report_id="r", attempt_id="a#1", disposition=disposition, reason="said so", started_at=NOW, ended_at=NOW
    )


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


def test_the_carrier_is_asked_about_an_unanswered_post_until_it_counts_as_never_placed() -> None:
    doubt = evidence(dial=DialAnswer(unconfirmed=True, reason="timeout"))
    assert [step(doubt, s) for s in (0, 11.9, 12)] == [Step.WAIT, Step.WAIT, Step.ASK]
    doubt = asked(doubt, 12)
    assert [step(doubt, s) for s in (23.9, 24)] == [Step.WAIT, Step.ASK]
    settled = settlement.settle(asked(doubt, 59), NOW + timedelta(seconds=60))
    assert isinstance(settled, Settled)
    assert (settled.disposition, settled.guess) == (Disposition.UNCONFIRMED, True)
    assert "timeout" in settled.reason


def test_a_dial_that_the_carrier_took_is_not_given_up_while_its_list_is_late() -> None:
    taken = asked(evidence(dial=DialAnswer(call_sid="v3:1")), 61)
    assert step(taken, 61) is Step.WAIT
    assert step(taken, 73) is Step.ASK


def test_the_carrier_is_not_asked_at_once_about_a_call_that_rings_or_is_in_talk() -> None:
    ringing = evidence(told=((NOW, CallEvent("v3:1", CallState.RINGING)),))
    assert [step(ringing, s) for s in (44, 45)] == [Step.WAIT, Step.ASK]
    talking = evidence(told=((NOW, CallEvent("v3:1", CallState.ANSWERED)),), joined=Joined(attempt_id="x", call_sid=""))
    assert [step(talking, s) for s in (119, 120)] == [Step.WAIT, Step.ASK]


def test_a_call_that_no_bot_joins_is_hung_up_after_the_carrier_was_asked() -> None:
    alone = evidence(told=((NOW, CallEvent("v3:1", CallState.ANSWERED)),))
    assert [step(alone, s) for s in (19, 20)] == [Step.WAIT, Step.ASK]
    alone = asked(alone, 20, found=True)
    assert [step(alone, s) for s in (29, 30)] == [Step.WAIT, Step.HANG_UP]
    joined = replace(alone, joined=Joined(attempt_id="x", call_sid="v3:1"))
    assert step(joined, 30) is Step.WAIT


def test_a_call_that_outlives_its_lease_is_hung_up_and_in_the_end_unconfirmed() -> None:
    lease_s = 90.0
    long = evidence(dial=DialAnswer(call_sid="v3:1"), lease_until=NOW + timedelta(seconds=lease_s))
    assert step(long, lease_s) is Step.HANG_UP
    gone = replace(long, hung_up_at=NOW + timedelta(seconds=lease_s))
    assert [step(gone, lease_s + s) for s in (0, 10)] == [Step.WAIT, Step.ASK]
    for hopeless in (long, gone):
        settled = settlement.settle(hopeless, NOW + timedelta(seconds=lease_s) + settlement.HANG_UP_GRACE)
        assert isinstance(settled, Settled)
        assert (settled.disposition, settled.guess) == (Disposition.UNCONFIRMED, True)


def test_an_end_from_the_carriers_list_is_a_guess_that_a_callback_corrects() -> None:
    call = FoundCall("v3:1", "+1", "+1", None, ended(Disposition.FAILED)[1])
    listed = settlement.settle(evidence(found=((NOW, call),)), NOW)
    told = settlement.settle(evidence(found=((NOW, call),), told=(ended(Disposition.REJECTED),)), NOW)
    assert isinstance(listed, Settled)
    assert isinstance(told, Settled)
    assert (listed.disposition, listed.guess) == (Disposition.FAILED, True)
    assert (told.disposition, told.guess) == (Disposition.REJECTED, False)


def test_the_carriers_list_settles_an_attempt_about_which_no_callback_came() -> None:
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


def test_an_opt_out_holds_even_if_no_report_ever_comes() -> None:
    talked = evidence(told=(ended(Disposition.COMPLETED),), opt_out=ASKED)
    assert settlement.settle(talked, NOW) == Waiting(NOW + settlement.REPORT_GRACE), "the report has answers to give"
    settled = settlement.settle(talked, NOW + settlement.REPORT_GRACE)
    assert isinstance(settled, Settled)
    assert (settled.disposition, settled.reason, settled.duration_s) == (Disposition.DO_NOT_CALL, "enough of this", 7)
    silent = settlement.settle(evidence(opt_out=ASKED), NOW + timedelta(hours=1))
    assert isinstance(silent, Settled)
    assert silent.disposition is Disposition.DO_NOT_CALL


@pytest.mark.parametrize("disposition", list(Disposition))
def test_no_report_takes_back_an_opt_out(disposition: Disposition) -> None:
    said = report(disposition).model_copy(update={"answers": {"yes": True}, "callback_at": NOW})
    settled = settlement.settle(
        evidence(opt_out=ASKED, report=said, reported_at=NOW, told=(ended(Disposition.COMPLETED),)), NOW
    )
    assert settled == Settled(Disposition.DO_NOT_CALL, "enough of this", duration_s=7, answers={"yes": True})


def test_an_opt_out_shows_that_a_bot_was_on_the_call() -> None:
    talking = evidence(told=((NOW, CallEvent("", CallState.ANSWERED)),), opt_out=ASKED)
    assert step(talking, 119) is Step.WAIT
    assert talking.call_sid == "v3:1"
