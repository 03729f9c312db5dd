import json
import os
import subprocess
import sys
from datetime import timedelta

from claiming import claim

from campaigns.call import Disposition, OptOut
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.cli.why import stories
from worker.dialing import concluding
from worker.machine.embedded import EmbeddedRedis
from worker.rules.evidence import CallEvent, CallState
from worker.rules.settlement import DialAnswer
from worker.rules.states import CampaignState
from worker.store import Store, witnesses

PHONE = "+12125550111"
SECOND = timedelta(seconds=1)


def dialed(store: Store, campaign: Campaign) -> str:
    store.campaigns.define(campaign)
    contact = Contact(PHONE, {"name": "Ada", "day": "Tuesday", "time": "nine"}, 7)
    store.contacts.enlist(campaign, [(contact, place_of(contact))], store.now())
    (attempt_id,) = claim(store, campaign, lines=1)
    case = store.attempts.case(attempt_id)
    assert case
    assert store.attempts.begin(
        case, "t", lease=60 * SECOND, first_look=SECOND, account_interval=SECOND, campaign_interval=SECOND, record={"v": "1"}
    ).dial  # fmt: skip
    return attempt_id


def test_a_number_in_no_campaign_has_no_story(store: Store, reminder: Campaign) -> None:
    store.campaigns.define(reminder)
    assert stories(store, PHONE) == []


def test_each_decision_is_told_with_its_rule_its_time_and_its_witness(store: Store, reminder: Campaign) -> None:
    attempt_id = dialed(store, reminder)
    (story,) = stories(store, PHONE)
    assert (story.state, story.rule, story.line) == ("live", "on_a_call", 7)
    store.attempts.witness(attempt_id, witnesses.dialed(DialAnswer(call_sid="v3:1")), token="t")
    store.attempts.witness(
        attempt_id, witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.BUSY, "user_busy"))
    )
    concluding.conclude(store, attempt_id)

    (story,) = stories(store, PHONE)
    assert (story.campaign, story.state, story.disposition, story.rule) == (reminder.name, "due", "busy", "due")
    assert [(d.attempt, d.event) for d in story.decisions] == [
        ("1", "dialed"), ("1", "heard"), ("1", "heard"), ("1", "concluded"),
    ]  # fmt: skip
    _, dial, told, concluded = story.decisions
    assert "POST" in dial.witness
    assert (told.witness, told.reason) == ("the carrier's callback", "ended, busy")
    assert (concluded.rule, concluded.reason) == ("busy", "user_busy")
    assert concluded.due
    assert abs(concluded.due - store.now() - timedelta(minutes=10)) < 5 * SECOND
    assert [d.at for d in story.decisions] == sorted(d.at for d in story.decisions)


def test_a_person_who_asked_for_no_more_calls_is_the_witness_of_that(store: Store, reminder: Campaign) -> None:
    attempt_id = dialed(store, reminder)
    store.attempts.witness(attempt_id, witnesses.opted_out(OptOut(attempt_id=attempt_id, reason="enough of this")))
    store.attempts.witness(
        attempt_id, witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.BUSY, "user_busy"))
    )
    concluding.conclude(store, attempt_id)
    (story,) = stories(store, PHONE)
    _, asked, _, concluded = story.decisions
    assert (asked.witness, asked.reason) == ("the person, by way of the bot", "asked not to be called again")
    assert (concluded.rule, concluded.reason, concluded.witness) == ("do_not_call", "enough of this", "")
    assert (story.state, story.disposition) == ("done", "do_not_call")


def test_the_rule_that_forbids_a_call_now_is_named(store: Store, reminder: Campaign) -> None:
    attempt_id = dialed(store, reminder)
    case = store.attempts.case(attempt_id)
    assert case
    store.attempts.postpone(case, "t", store.now(), "carrier_busy", "429")
    assert stories(store, PHONE)[0].rule == ""
    store.campaigns.set_state(reminder.name, CampaignState.PAUSED, "no funds")
    (story,) = stories(store, PHONE)
    assert (story.rule, story.now) == ("paused", "not called now: the campaign is paused (no funds)")
    store.do_not_call.add(PHONE, "operator")
    (story,) = stories(store, PHONE)
    assert (story.state, story.rule, story.decisions[-1].event) == ("refused", "do_not_call", "withdrawn")


def test_why_prints_a_table_for_people_and_json_for_programs(
    server: EmbeddedRedis, store: Store, reminder: Campaign
) -> None:
    attempt_id = dialed(store, reminder)
    store.attempts.witness(
        attempt_id, witnesses.told(CallEvent("v3:1", CallState.ENDED, None, Disposition.REJECTED, "SIP 603"))
    )
    concluding.conclude(store, attempt_id)
    store.do_not_call.add(PHONE, "operator")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "worker.cli", "why", "(212) 555-0111", *arguments]
        environment = os.environ | {"REDIS_URL": server.url, "COLUMNS": "160"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    told = run()
    for words in (
        f"{PHONE} is on the do-not-call list",
        "row 7",
        "will not be called again: SIP 603",
        "the carrier's callback",
    ):
        assert words in " ".join(told.split())
    facts = json.loads(run("--json"))
    assert facts["phone"] == PHONE
    assert facts["do_not_call"][0]["source"] == "operator"
    assert [d["event"] for d in facts["campaigns"][0]["decisions"]] == ["dialed", "heard", "concluded"]
