"""All witnesses of one call, in any order, some twice and some never, with sweeps in between, lead to one conclusion."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from claiming import claim
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from campaigns.call import Disposition, Joined, OptOut, Report
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from tests.search import examples
from worker.dialing import concluding
from worker.rules.evidence import AnsweredBy, CallEvent, CallState, Detection, FoundCall
from worker.rules.settlement import DialAnswer, Step
from worker.store import Store, witnesses

SID = "v3:1"
NOON = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
CONTACT = Contact("+12125550111", {"name": "Ada", "day": "Tuesday", "time": "nine"}, 2)
LEASE = timedelta(seconds=90)
UNANSWERED = [Disposition(name) for name in ("busy", "no_answer", "rejected", "invalid_number", "canceled", "failed")]
TALKS = [Disposition(name) for name in ("completed", "callback", "do_not_call", "wrong_number", "voicemail", "failed")]


@dataclass(frozen=True)
class Truth:
    """What really happened to one call: its end as the carrier says, and as the bot says, if one was there (`talk`)."""

    end: Disposition
    talk: Disposition | None
    machine: bool
    opts_out: bool = False  # the person asked during the talk not to be called again

    def witnesses(self) -> list[witnesses.Testimony]:
        """Return all that could ever be heard about the call, from each of its witnesses."""
        states = [CallState.INITIATED, CallState.RINGING]
        states += [CallState.ANSWERED] if self.talk else []
        heard = [witnesses.told(CallEvent(SID, state)) for state in states]
        heard += [witnesses.found(FoundCall(SID, CONTACT.phone, "+1", None, CallEvent(SID, state))) for state in states]
        heard.append(witnesses.told(CallEvent(SID, CallState.ENDED, None, self.end, "told", 9)))
        # The carrier's list names no causes: a call that it does not show as busy, no-answer or canceled is "failed" there.
        listed = Disposition.FAILED if self.end in {Disposition.REJECTED, Disposition.INVALID_NUMBER} else self.end
        end = CallEvent(SID, CallState.ENDED, None, listed, "listed", 9)
        heard.append(witnesses.found(FoundCall(SID, CONTACT.phone, "+1", None, end)))
        if self.talk:
            by = AnsweredBy.MACHINE if self.machine else AnsweredBy.HUMAN
            heard += [witnesses.detected(Detection(SID, by)), witnesses.joined(Joined(attempt_id="a", call_sid=SID))]
            heard.append(witnesses.reported(Report(
                report_id="r", attempt_id="a", disposition=self.talk, reason="reported", answers={"yes": True},
                call_sid=SID, started_at=NOON, ended_at=NOON + timedelta(seconds=9),
            )))  # fmt: skip
        if self.opts_out:
            heard.append(witnesses.opted_out(OptOut(attempt_id="a", call_sid=SID, reason="enough")))
        return heard


def expected(truth: Truth, heard: set[witnesses.Testimony]) -> set[Disposition]:
    """Return the dispositions that are right, by what was heard and not by when."""
    kinds = {testimony.kind.split(":")[0] for testimony in heard}
    ends = {testimony.kind.split(":")[0]: testimony for testimony in heard if ":ended:" in testimony.kind}
    if "opt_out" in kinds:
        return {Disposition.DO_NOT_CALL}
    if "report" in kinds:
        assert truth.talk
        return {truth.talk}
    if ends and truth.talk and truth.end is Disposition.COMPLETED:
        return {Disposition.VOICEMAIL if truth.machine and "detected" in kinds else Disposition.FAILED}
    if "call" in ends:
        return {truth.end}
    if "found" in ends:
        return {Disposition(ends["found"].kind.rpartition(":")[2])}
    answered = any(":answered" in t.kind for t in heard) or "joined" in kinds
    return {Disposition.FAILED if answered else Disposition.UNCONFIRMED}


truths = st.one_of(
    st.builds(Truth, st.sampled_from(UNANSWERED), st.none(), st.just(False)),
    # "failed" after an answer means that the call broke off in the middle of the talk.
    st.builds(
        Truth,
        st.sampled_from([Disposition.COMPLETED, Disposition.FAILED]),
        st.sampled_from(TALKS),
        st.booleans(),
        st.booleans(),
    ),
)
dials = st.sampled_from([DialAnswer(call_sid=SID), DialAnswer(call_sid=""), DialAnswer(unconfirmed=True), None])
"""What the worker says of its POST: the carrier named a sid, named none, gave no usable answer; None: the worker died."""


class Attempt:
    """An attempt that has begun. The test sets the store's clock."""

    def __init__(self, store: Store, campaign: Campaign) -> None:
        self.store, self.campaign = store, campaign
        store._redis.flushall()
        store.clock_ms = int(NOON.timestamp() * 1000)
        store.campaigns.define(campaign)
        store.contacts.enlist(campaign, [(CONTACT, place_of(CONTACT))], store.now())
        (self.id,) = claim(store, campaign, lines=1)
        case = store.attempts.case(self.id)
        assert case
        second = timedelta(seconds=1)
        assert store.attempts.begin(
            case, "t", lease=LEASE, first_look=second, account_interval=second, campaign_interval=second, record={"v": "1"}
        ).dial  # fmt: skip
        self.fact: tuple[str, str, str] | None = None
        self.asked = False  # the person has asked not to be called again

    def wait(self, seconds: float) -> None:
        assert self.store.clock_ms
        self.store.clock_ms += round(seconds * 1000)

    def sweep(self, answer: str) -> None:
        """Do what the sweep task does. When it asks the carrier, `answer` is the answer; when it hangs up, the call ends."""
        for attempt_id in self.store.attempts.take_unsettled():
            match concluding.conclude(self.store, attempt_id):
                case Step.ASK:
                    self.store.attempts.record_asked(attempt_id, answer)
                case Step.HANG_UP:
                    self.store.attempts.witness(attempt_id, witnesses.hung_up("test"))
                case _:
                    pass
        kept = self.kept()
        if self.fact and kept[0] != self.fact[0]:
            assert (kept[0], self.asked) == ("do_not_call", True), "a settled fact got another disposition"
        elif self.fact:
            assert kept == self.fact, "a settled fact got other answers"
        if kept[0] and kept[1] != "1":
            self.fact = kept

    def kept(self) -> tuple[str, str, str]:
        case = self.store.attempts.case(self.id)
        assert case
        return case.attempt.get("disposition", ""), case.attempt.get("guess", ""), case.attempt.get("answers", "")


@examples(250, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(truth=truths, dial=dials, data=st.data())
def test_the_conclusion_does_not_depend_on_the_order_of_the_evidence_and_a_fact_never_changes(
    store: Store, reminder: Campaign, truth: Truth, dial: DialAnswer | None, data: st.DataObject
) -> None:
    attempt = Attempt(store, reminder)
    if dial:
        store.attempts.witness(attempt.id, witnesses.dialed(dial), token="t")
    twice = data.draw(st.permutations(truth.witnesses() * 2), label="heard")
    heard = twice[: data.draw(st.integers(0, 14), label="of these")]
    for testimony in heard:
        store.attempts.witness(attempt.id, testimony)
        attempt.asked |= testimony.kind == "opt_out"
        attempt.wait(data.draw(st.sampled_from([0, 1, 13, 31, 100]), label="seconds"))
        if data.draw(st.booleans(), label="sweep"):
            attempt.sweep(data.draw(st.sampled_from(["not_found", "no_answer", "found"]), label="the carrier"))
    for _ in range(40):
        attempt.wait(11)
        attempt.sweep("not_found")

    disposition, guess, answers = attempt.kept()
    assert {disposition} == {d.value for d in expected(truth, set(heard))}
    reported = any(testimony.kind == "report" for testimony in heard)
    assert answers == ('{"yes": true}' if reported else "{}")
    if not {testimony.kind.split(":")[0] for testimony in heard} & {"report", "call"}:
        assert guess == "1", "without a report or a callback, the conclusion must be a guess"
    (row,) = store.reading.outcomes(reminder.name)
    status = store.reading.status(reminder.name)
    assert (row["disposition"], status.live, status.lines_in_use) == (disposition, 0, 0)
    assert store._redis.zcard("{dialout}:watch") == 0, "the attempt is looked at for ever"
    again = reminder.retry.delay_after(Disposition(disposition), 1) is not None
    assert (status.due, status.done) == ((1, 0) if again else (0, 1))
    assert store.do_not_call.holds(CONTACT.phone) == (disposition == "do_not_call")
