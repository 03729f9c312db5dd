"""Whatever strangers send to the bot or to the callbacks server is either understood or refused with the right error."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.call import (
    Brief,
    BriefRefused,
    Disposition,
    MessageRefused,
    Report,
    _canonical,
    _sign,
    from_parameters,
    to_parameters,
    verify_message,
)

SECRET = "a secret"
NOW = 1_800_000_000
WIRE = to_parameters(
    Brief(attempt_id="abc#1", campaign="c", greeting="Hello", report_url="https://x", issued_at=NOW), SECRET
)

anything = st.text() | st.text(st.characters(categories=["Cs"]))
names = st.sampled_from([*WIRE, "instructions", "voicemail", "answers", "model", "greeting.1", "contact_", "x.99"])
values = anything | st.sampled_from(
    ["", "{}", "[]", "5", "null", "-1", "9" * 400, "9" * 5000, "1e999", "NaN", "\\", '"', "\\ud800", "[" * 5000]
)
wires = st.dictionaries(names | anything, values, max_size=8)


@given(wire=wires, changes=wires)
@example(wire={"signature": "\ud800"}, changes={})
def test_parameters_that_we_did_not_sign_are_refused(wire: dict[str, str], changes: dict[str, str]) -> None:
    for given_ in (wire, {**WIRE, "signature": "0" * 64} | changes):
        with pytest.raises(BriefRefused):
            from_parameters(given_, SECRET, NOW)


@given(changes=wires)
@example(changes={"issued_at": "9" * 400})
@example(changes={"instructions": "", "voicemail": "", "answers": "5", "model": "{}"})
@example(changes={"instructions": "", "voicemail": "", "answers": "[" * 5000, "model": "{}"})
def test_parameters_that_we_signed_are_a_brief_or_are_refused(changes: dict[str, str]) -> None:
    wire = {name: value for name, value in {**WIRE, **changes}.items() if name != "signature"}
    wire["signature"] = _sign(SECRET, "brief", _canonical(wire))
    with suppress(BriefRefused):
        assert isinstance(from_parameters(wire, SECRET, NOW), Brief)


@given(body=st.binary(), header=anything)
@example(body=b"", header="t=٣,v1=" + "0" * 64)
def test_a_message_with_any_header_is_refused(body: bytes, header: str) -> None:
    with pytest.raises(MessageRefused):
        verify_message(body, header, SECRET, purpose="report", now=NOW)


SAID = {"role": "bot", "text": "x", "at_s": 1.0}
REPORT = {
    "report_id": "r", "attempt_id": "a#1", "disposition": "callback",
    "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:10Z",
}  # fmt: skip

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | anything | st.sampled_from([10**4000, 1e308, "9" * 5000]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(anything, inner, max_size=3),
    max_leaves=8,
)
moments = st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-01-01T00:00:00", "2026-01-02T00:00:00Z", 1e11, -1]
)
reports = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("callback_at", "started_at", "ended_at"), moments | json_values),
        **dict.fromkeys(("report_id", "attempt_id", "reason", "call_sid", "first_audio_ms", "x"), json_values),
        "answers": json_values | st.dictionaries(st.text(), st.text() | st.booleans() | st.integers(), max_size=3),
        "transcript": json_values | st.lists(st.builds(lambda at: SAID | {"at_s": at}, st.floats()), max_size=2),
        "disposition": st.sampled_from([kind.value for kind in Disposition]) | json_values,
    },
)


@given(changes=reports)
@example(changes={"transcript": [SAID | {"at_s": float("nan")}]})
@example(changes={"transcript": [SAID | {"at_s": float("inf")}]})
@example(changes={"started_at": "2026-01-01T00:00:00"})
@example(changes={"callback_at": "9999-12-31T23:59:59-12:00"})
@example(changes={"callback_at": "9999-12-31T23:59:59-12:00", "ended_at": "9999-12-31T23:59:59-12:00"})
@example(changes={"callback_at": "2026-01-02T00:00:00"})
def test_an_accepted_report_can_be_stored_read_back_and_its_times_compared(changes: dict[str, object]) -> None:
    try:
        report = Report.model_validate_json(json.dumps(REPORT | changes))
    except ValidationError:
        return
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert isinstance(report.ended_at - report.started_at, timedelta)
    if report.callback_at:
        assert report.callback_at.astimezone(timezone(timedelta(hours=14))).tzinfo
        assert abs(report.callback_at - report.ended_at) < timedelta(days=400)


def test_an_implausible_time_to_call_back_is_dropped() -> None:
    def kept(at: str) -> datetime | None:
        return Report.model_validate_json(json.dumps(REPORT | {"callback_at": at})).callback_at

    assert kept("2026-01-02T09:00:00Z") == datetime(2026, 1, 2, 9, tzinfo=UTC)
    assert kept("2026-01-02T09:00:00") is None
    assert kept("2126-01-02T09:00:00Z") is None
