"""Retries: when a contact is rung again after each way in which a call can end, by the carrier's form or the bot's report."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from claiming import claim

from campaigns.call import Disposition, Report
from campaigns.campaign import CallingWindow, Campaign, load_campaign
from campaigns.contacts import Contact
from campaigns.places import Place, place_of
from worker.dialing import concluding
from worker.rules import retries
from worker.rules.settlement import DialAnswer, Settled
from worker.store import Store, witnesses
from worker.telnyx import codes
from worker.telnyx.reading import read_status

NOON = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
CONTACT = Contact("+12125550111", {"name": "Ada", "day": "Tuesday", "time": "nine"}, 2)
NEW_YORK = Place(("America/New_York",), ("US-NY",))
MINUTE, HOUR, SECOND = timedelta(minutes=1), timedelta(hours=1), timedelta(seconds=1)

RULES: dict[str, list[timedelta]] = {
    "no_answer": [1 * HOUR, 4 * HOUR],
    "busy": [10 * MINUTE, 30 * MINUTE],
    "voicemail": [],
    "callback": [2 * HOUR],
    "failed": [5 * MINUTE, 30 * MINUTE],
    "unconfirmed": [1 * HOUR],
    "rejected": [],
    "canceled": [],
    "completed": [],
    "do_not_call": [],
    "wrong_number": [],
    "invalid_number": [],
}
"""The delays of campaigns/appointment_reminder/campaign.toml. A disposition that it does not name is final."""

FORMS = [
    *[({"CallStatus": status}, end) for status, end in codes.END_STATES.items() if end != "completed"],
    *[({"CallStatus": "failed", "SipHangupCause": str(sip)}, end) for sip, end in codes.SIP_CAUSES.items() if sip >= 400],
    *[({"CallStatus": "failed", "ErrorMessage": f"refused {code}"}, meaning.disposition) for code, meaning in codes.D_CODES.items()],
    ({"CallStatus": "completed", "HangupCause": "user_busy"}, "busy"),
    ({"CallStatus": "failed", "HangupCause": "user_busy", "SipHangupCause": "486"}, "busy"),
    ({"CallStatus": "completed", "HangupCause": "no_answer"}, "no_answer"),
    ({"CallStatus": "failed", "HangupCause": "timeout"}, "no_answer"),
    ({"CallStatus": "failed", "HangupCause": "no_answer"}, "no_answer"),
    ({"CallStatus": "failed", "HangupCause": "call_rejected"}, "rejected"),
    ({"CallStatus": "failed", "HangupCause": "not_found"}, "invalid_number"),
    ({"CallStatus": "failed", "HangupCause": "unallocated_number"}, "invalid_number"),
    ({"CallStatus": "canceled", "HangupCause": "originator_cancel"}, "canceled"),
    ({"CallStatus": "failed", "HangupCause": "unspecified"}, "failed"),
]  # fmt: skip


@pytest.fixture
def sample() -> Campaign:
    """The sample campaign as its files say."""
    path = Path(__file__).parents[2] / "campaigns" / "appointment_reminder"
    return load_campaign(path)


def rung(store: Store, campaign: Campaign, at: datetime) -> str:
    """Begin the contact's next attempt at an instant, and return its id."""
    store.clock_ms = int(at.timestamp() * 1000)
    (attempt_id,) = claim(store, campaign, lines=1)
    case = store.attempts.case(attempt_id)
    assert case
    assert store.attempts.begin(
        case, "t", lease=HOUR, first_look=SECOND, account_interval=SECOND, campaign_interval=SECOND, record={"v": "1"}
    ).dial  # fmt: skip
    return attempt_id


def next_due(store: Store, campaign: Campaign) -> datetime | None:
    ((_, first),) = store.reading.status(campaign.name).due_by_place.values()
    return first


def enlisted(store: Store, campaign: Campaign) -> None:
    store.clock_ms = int(NOON.timestamp() * 1000)
    store.campaigns.define(campaign)
    store.contacts.enlist(campaign, [(CONTACT, place_of(CONTACT))], NOON)


@pytest.mark.parametrize(
    ("form", "end"), FORMS, ids=lambda value: " ".join(value.values()) if isinstance(value, dict) else str(value)
)
def test_every_documented_cause_leads_to_the_retries_that_the_campaigns_rules_say(
    store: Store, sample: Campaign, form: dict[str, str], end: str
) -> None:
    enlisted(store, sample)
    at = NOON
    for delay in [*RULES[end], None]:
        attempt_id = rung(store, sample, at)
        event = read_status({"CallSid": f"v3:{attempt_id}", **form})
        assert event
        store.attempts.witness(attempt_id, witnesses.told(event))
        concluding.conclude(store, attempt_id)
        due = next_due(store, sample)
        assert due == (at + delay if delay else None)
        at = due or at
    (row,) = store.reading.outcomes(sample.name)
    assert (row["state"], row["disposition"], row["attempts"]) == ("done", end, len(RULES[end]) + 1)


@pytest.mark.parametrize("end", sorted(RULES.keys() - {"unconfirmed", "callback"}))
def test_every_disposition_that_a_bot_reports_leads_to_the_retries_that_the_campaigns_rules_say(
    store: Store, sample: Campaign, end: str
) -> None:
    enlisted(store, sample)
    at = NOON
    for delay in [*RULES[end], None]:
        attempt_id = rung(store, sample, at)
        event = read_status({"CallSid": f"v3:{attempt_id}", "CallStatus": "completed", "CallDuration": "9"})
        assert event
        store.attempts.witness(attempt_id, witnesses.told(event))
        report = Report(report_id="r", attempt_id=attempt_id, disposition=Disposition(end), started_at=at, ended_at=at)
        store.attempts.witness(attempt_id, witnesses.reported(report))
        concluding.conclude(store, attempt_id)
        due = next_due(store, sample)
        assert due == (at + delay if delay else None)
        at = due or at


def test_a_call_back_comes_on_top_of_the_campaigns_max_attempts_but_only_once(store: Store, sample: Campaign) -> None:
    enlisted(store, sample)
    at, most = NOON, sample.retry.max_attempts + 1
    for made in range(1, most + 1):
        attempt_id = rung(store, sample, at)
        report = Report(
            report_id="r", attempt_id=attempt_id, disposition=Disposition.CALLBACK, reason="not now", started_at=at,
            ended_at=at,
        )  # fmt: skip
        store.attempts.witness(attempt_id, witnesses.reported(report))
        store.clock_ms = int((at + timedelta(minutes=1)).timestamp() * 1000)
        concluding.conclude(store, attempt_id)
        if made < most:
            due = next_due(store, sample)
            assert due
            assert due >= at + timedelta(hours=2)
            at = due
    (row,) = store.reading.outcomes(sample.name)
    assert (row["state"], row["disposition"], row["attempts"]) == ("done", "callback", most)
    assert row["reason"] == "not now; not rung again: 4 attempts were made, or no time fits"


def test_a_message_that_was_left_is_not_left_again_unless_the_campaign_says_so(store: Store, sample: Campaign) -> None:
    again = sample.model_copy(
        update={"retry": sample.retry.model_copy(update={"voicemail": (timedelta(hours=4),)}), "name": "again"}
    )
    enlisted(store, again)
    attempt_id = rung(store, again, NOON)
    case = store.attempts.case(attempt_id)
    assert case
    assert not case.message_left
    report = Report(
        report_id="r", attempt_id=attempt_id, disposition=Disposition.VOICEMAIL, message_left=True, started_at=NOON,
        ended_at=NOON,
    )  # fmt: skip
    store.attempts.witness(attempt_id, witnesses.reported(report))
    store.clock_ms = int((NOON + timedelta(minutes=1)).timestamp() * 1000)
    concluding.conclude(store, attempt_id)
    due = next_due(store, again)
    assert due
    case = store.attempts.case(rung(store, again, due))
    assert case
    assert case.message_left

    def message(campaign: Campaign) -> str:
        brief = campaign.brief(
            case.contact,
            case.zones,
            message_left=case.message_left,
            attempt_id="a",
            report_url="",
            brief_url="",
            now=due,
        )
        assert brief.script
        return brief.script.voicemail

    assert message(again) == ""
    insisting = again.retry.model_copy(update={"voicemail_again": True})
    assert "reminder of your appointment" in message(again.model_copy(update={"retry": insisting}))


def test_a_dial_that_the_carrier_refuses_is_settled_at_once_with_its_own_words(store: Store, sample: Campaign) -> None:
    enlisted(store, sample)
    attempt_id = rung(store, sample, NOON)
    refused = DialAnswer(refused=Disposition.INVALID_NUMBER, reason="the carrier refused (422, 10016): not E.164")
    store.attempts.witness(attempt_id, witnesses.dialed(refused), token="t")
    concluding.conclude(store, attempt_id)
    (row,) = store.reading.outcomes(sample.name)
    assert (row["state"], row["disposition"], row["reason"]) == ("done", "invalid_number", refused.reason)


# --- next_attempt by itself -----------------------------------------------------------------------------------------------


def test_a_retry_comes_after_its_delay_and_inside_the_window(reminder: Campaign) -> None:
    busy = Settled(Disposition.BUSY, "")
    assert retries.next_attempt(reminder, busy, 1, NEW_YORK, NOON) == NOON + timedelta(minutes=10)
    day_only = reminder.model_copy(update={"calling_window": CallingWindow(holidays=False)})
    late = datetime(2026, 11, 24, 0, 55, tzinfo=UTC)  # 19:55 in New York
    assert retries.next_attempt(day_only, busy, 1, NEW_YORK, late) == datetime(2026, 11, 24, 14, tzinfo=UTC)


def test_a_callback_comes_at_the_time_that_the_person_named(reminder: Campaign) -> None:
    at = NOON + timedelta(hours=3)
    asked = Settled(Disposition.CALLBACK, "", callback_at=at)
    assert retries.next_attempt(reminder, asked, 1, NEW_YORK, NOON) == at


@pytest.mark.parametrize("disposition", ["completed", "do_not_call", "wrong_number", "invalid_number", "rejected"])
def test_no_attempt_follows_a_final_disposition(reminder: Campaign, disposition: str) -> None:
    assert retries.next_attempt(reminder, Settled(Disposition(disposition), ""), 1, NEW_YORK, NOON) is None


def test_no_attempt_follows_the_last_that_the_campaign_allows(reminder: Campaign) -> None:
    assert retries.next_attempt(reminder, Settled(Disposition.BUSY, ""), 3, NEW_YORK, NOON) is None
