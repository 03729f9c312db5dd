"""The tables against Telnyx's own lists, and how a call's end is read. A code without an entry fails here."""

import re
from collections.abc import Mapping
from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telnyx.types import call_hangup
from telnyx.types.texml.accounts import call_resource, call_retrieve_calls_params

from campaigns.call import Disposition
from worker.rules.evidence import CallEvent, CallState
from worker.telnyx import codes
from worker.telnyx.codes import Refusal
from worker.telnyx.reading import read_call, read_detection, read_status

# Copied from Telnyx's OpenAPI file for TeXML calls: the enums of its callbacks.
CALL_STATUSES = "initiated ringing in-progress completed busy no-answer canceled failed"
NO_STEPS = "dtmf"
ANSWERED_BY = "human machine_start machine_end_beep machine_end_silence machine_end_other fax unknown"
# From its page of SIP response codes and RFC 3261, 21.3 to 21.6.
SIP = """300 301 302 305 380 400 401 402 403 404 405 406 407 408 410 413 415 416 420 480 481 482 483 484 485 486 487
488 491 500 501 502 503 504 505 600 603 604 606 607 608"""


def values(annotation: object) -> set[str]:
    """Every string inside the Literals of a type."""
    inside = list(get_args(annotation))
    return {part for part in inside if isinstance(part, str)}.union(*[values(p) for p in inside if get_args(p)])


def test_every_value_that_the_sdk_lists_has_an_entry() -> None:
    causes = values(call_hangup.Payload.model_fields["hangup_cause"].annotation)
    statuses = values(call_resource.CallResource.model_fields["status"].annotation)
    answered = values(call_resource.CallResource.model_fields["answered_by"].annotation)
    ends = values(get_type_hints(call_retrieve_calls_params.CallRetrieveCallsParams)["status"])
    sources = values(call_hangup.Payload.model_fields["hangup_source"].annotation)
    assert causes >= {"user_busy", "call_rejected"}
    assert causes <= set(codes.HANGUP_CAUSES)
    assert statuses >= {"no-answer"}
    assert statuses <= set(codes.CALL_STATES)
    assert answered >= {"not_sure"}
    assert answered <= set(codes.ANSWERED_BY)
    assert ends >= {"no-answer"}
    assert ends <= set(codes.END_STATES)
    assert sources == {"caller", "callee", "unknown"}, "who hung up has a new word: see whether it decides anything"


def test_every_value_that_telnyx_documents_has_an_entry() -> None:
    assert set(CALL_STATUSES.split()) <= set(codes.CALL_STATES)
    assert NO_STEPS not in codes.CALL_STATES
    assert set(ANSWERED_BY.split()) <= set(codes.ANSWERED_BY)
    assert {int(code) for code in SIP.split()} <= set(codes.SIP_CAUSES)


def test_no_refusal_of_the_account_or_the_moment_ends_a_contact_otherwise_than_as_our_fault() -> None:
    for code, meaning in {**codes.API_ERRORS, **codes.D_CODES}.items():
        if meaning.about is not Refusal.CALL:
            assert meaning.disposition is Disposition.FAILED, code


def test_every_code_tells_the_operator_something() -> None:
    for code, meaning in {**codes.API_ERRORS, **codes.D_CODES}.items():
        assert len(meaning.advice) > 10, code


@pytest.mark.parametrize("code", sorted(codes.D_CODES))
def test_a_code_is_found_in_the_middle_of_a_sentence_and_not_in_the_middle_of_a_word(code: str) -> None:
    assert codes.meaning_in(f"403 refused ({code}). See https://x/y") is codes.D_CODES[code]
    assert codes.meaning_in(f"x{code}x") is None


def ended(status: str, **fields: str) -> CallEvent:
    event = read_status({"CallSid": "v3:1", "CallStatus": status, **fields})
    assert event
    assert event.state is CallState.ENDED
    return event


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        # An end by which nobody was ever on the line is no conversation, whatever the event is called.
        ("completed", {"HangupCause": "user_busy"}, "busy"),
        ("completed", {"HangupCause": "no_answer", "CallDuration": "0"}, "no_answer"),
        ("completed", {"HangupCause": "call_rejected"}, "rejected"),
        ("completed", {"HangupCause": "not_found"}, "invalid_number"),
        # ... but who was on the line was on the line.
        ("completed", {"HangupCause": "user_busy", "AnsweredTime": "2026-11-23T18:00:00Z"}, "completed"),
        ("completed", {"HangupCause": "call_rejected", "CallDuration": "12"}, "completed"),
        ("completed", {"HangupCause": "timeout"}, "completed"),
        ("completed", {"HangupCause": "originator_cancel"}, "completed"),
        ("completed", {"ErrorMessage": "D13"}, "completed"),
        ("completed", {"SipHangupCause": "200"}, "completed"),
        # What the callee's side says is more than the status beside it.
        ("no-answer", {"HangupCause": "user_busy"}, "busy"),
        ("busy", {"HangupCause": "call_rejected"}, "rejected"),
        ("canceled", {"HangupCause": "timeout"}, "no_answer"),
        ("no-answer", {"HangupCause": "originator_cancel"}, "no_answer"),
        ("busy", {"HangupCause": "normal_clearing"}, "busy"),
        # A failure is read by its causes, and is ours if there are none.
        ("failed", {"HangupCause": "originator_cancel", "SipHangupCause": "487"}, "canceled"),
        ("failed", {"HangupCause": "unspecified", "SipHangupCause": "486"}, "busy"),
        ("failed", {"HangupCause": "USER_BUSY"}, "busy"),
        ("failed", {"SipHangupCause": "486 Busy Here"}, "busy"),
        ("failed", {"SipHangupCause": "sip:480"}, "no_answer"),
        ("failed", {"SipHangupCause": "301"}, "failed"),
        ("failed", {"SipHangupCause": "499"}, "failed"),
        ("failed", {"SipHangupCause": "599"}, "failed"),
        ("failed", {"SipHangupCause": "699"}, "rejected"),
        ("failed", {"SipHangupCause": "unspecified"}, "failed"),
        ("failed", {"SipHangupCause": "403", "ErrorMessage": "User channel limit exceeded D1"}, "failed"),
        ("failed", {"SipHangupCause": "404", "ErrorMessage": "Invalid number D14"}, "invalid_number"),
        ("failed", {"SipHangupCause": "503", "ErrorMessage": "PE1 no routes"}, "failed"),
        ("failed", {"SipHangupCause": "503", "ErrorMessage": "TV1"}, "failed"),
        ("no_answer", {}, "no_answer"),
        ("cancelled", {}, "canceled"),
        ("FAILED", {}, "failed"),
    ],
)
def test_how_a_call_ended_is_read_from_all_that_was_said(status: str, fields: Mapping[str, str], expected: str) -> None:
    assert ended(status, **fields).disposition == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("12", 12), ("12.0", 12), ("", None), ("nan", None), ("inf", None), ("long", None)]
)
def test_a_duration_that_is_none_is_left_out(text: str, expected: int | None) -> None:
    assert ended("completed", CallDuration=text).duration_s == expected


def test_the_reason_for_the_operator_names_nobodys_number() -> None:
    cause = ended("failed", SipHangupCause="404", ErrorMessage="+1 (212) 555-0142 is not assigned").cause
    assert cause == "failed, SIP 404, [number] is not assigned"


FIELDS = [
    "CallSid",
    "CallStatus",
    "Timestamp",
    "CallDuration",
    "SipHangupCause",
    "HangupCause",
    "ErrorMessage",
    "AnsweredBy",
]
WORDS = ["", " ", "v3:1", "486", "1e999", "nan", "-1", "D14", "9999-12-31T23:59:59-23:59", "0001-01-01", "é\x00"]


@given(st.dictionaries(st.sampled_from(FIELDS), st.sampled_from([*WORDS, *codes.CALL_STATES, *codes.HANGUP_CAUSES])))
def test_no_form_breaks_the_reader_and_every_end_has_a_disposition(form: dict[str, str]) -> None:
    try:
        event = read_status(form)
    except ValueError as error:
        assert re.match("a status callback must have", str(error))  # noqa: PT017 - any other sentence is a bug
        return
    if event and event.state is CallState.ENDED:
        assert isinstance(event.disposition, Disposition)
    elif event:
        assert event.disposition is None
    if form.get("AnsweredBy"):
        assert read_detection(form).call_sid == form["CallSid"]


def test_an_item_of_the_list_is_read_with_its_end() -> None:
    found = read_call({
        "sid": "v3:1", "to": "+12125550142", "from": "+12125550100", "status": "busy", "duration": "0",
        "date_created": "Mon, 23 Nov 2026 18:00:00 +0000", "end_time": "Mon, 23 Nov 2026 18:00:09 +0000",
    })  # fmt: skip
    assert (found.created_at, found.event.at) == (1_795_456_800.0, 1_795_456_809.0)
    assert (found.caller_id, found.event.disposition, found.answered_by) == ("+12125550100", Disposition.BUSY, None)
