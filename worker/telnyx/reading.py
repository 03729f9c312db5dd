"""Reads what Telnyx says of a call, in its callbacks and in its list of calls, into the terms of `evidence`."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from worker.rules.evidence import AnsweredBy, CallEvent, CallState, Detection, FoundCall
from worker.telnyx.codes import ANSWERED_BY, CALL_STATES, ending

_DETAIL_LIMIT: Final = 300
_LONGEST_CALL_S: Final = 1_000_000


def read_status(form: Mapping[str, str]) -> CallEvent | None:
    """Read the form of a status callback; None if it says nothing of the call's course, such as a pressed digit.

    Raises ValueError if the form is not a status callback.
    """
    if not form.get("CallSid") or not form.get("CallStatus"):
        raise ValueError("a status callback must have CallSid and CallStatus")
    return _event(form["CallSid"], form["CallStatus"], form)


def read_detection(form: Mapping[str, str]) -> Detection:
    """Read the form of an answering-machine callback; raises ValueError if it is not one."""
    if not form.get("CallSid") or not form.get("AnsweredBy"):
        raise ValueError("a detection callback must have CallSid and AnsweredBy")
    return Detection(form["CallSid"], ANSWERED_BY.get(form["AnsweredBy"], AnsweredBy.HUMAN))


def _event(call_sid: str, status: str, details: Mapping[str, Any]) -> CallEvent | None:
    status = status.lower().replace("_", "-")
    state = CALL_STATES.get(status)
    if state is None:
        return None
    at = _timestamp(details.get("Timestamp") or details.get("end_time"))
    if state is not CallState.ENDED:
        return CallEvent(call_sid, state, at)
    duration = number(details.get("CallDuration") or details.get("duration"))
    if duration is not None and not 0 <= duration <= _LONGEST_CALL_S:
        duration = None
    cause = str(details.get("HangupCause") or "")
    sip = str(details.get("SipHangupCause") or "")
    message = str(details.get("ErrorMessage") or "")
    answered = bool(details.get("AnsweredTime") or duration)
    words = [status, cause, f"SIP {sip}" if sip else "", message]
    return CallEvent(
        call_sid,
        state,
        at,
        ending(status, cause=cause, sip=sip, message=message, answered=answered),
        clean(", ".join(word for word in words if word)),
        None if duration is None else int(duration),
        _web_address(details.get("RecordingUrl")),
    )


def read_call(item: Mapping[str, Any]) -> FoundCall:
    """Read one item of the carrier's list of calls."""
    sid, status = str(item.get("sid") or ""), str(item.get("status") or "")
    event = _event(sid, status, item) or CallEvent(sid, CallState.INITIATED)
    by = str(item.get("answered_by") or "")
    return FoundCall(
        call_sid=sid,
        to=str(item.get("to") or ""),
        caller_id=str(item.get("from_") or item.get("from") or ""),
        created_at=_timestamp(item.get("date_created") or item.get("start_time")),
        event=event,
        answered_by=ANSWERED_BY.get(by),
        inbound=item.get("direction") == "inbound",
    )


def _web_address(text: object) -> str:
    """Return a web address unchanged, because a change would break a signed one; "" for anything else."""
    return text if isinstance(text, str) and re.fullmatch(r"https?://[!-~]{1,2000}", text) else ""


def _timestamp(text: object) -> float | None:
    """Read a time in ISO 8601 or RFC 2822 (Telnyx sends both) as Unix seconds; None for anything else."""
    if not isinstance(text, str) or not text:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, TypeError, OverflowError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def clean(text: str, api_key: str = "") -> str:
    """Return the carrier's words as they may be recorded and logged: short, on one line, without our key or a number."""
    if api_key:
        text = text.replace(api_key, "[key]")
    text = re.sub(r"\+?\(?\d(?:[\s().-]{0,2}\d){6,}", "[number]", text)
    return " ".join(text.split())[:_DETAIL_LIMIT]


def number(text: object) -> float | None:
    """Return text as a finite number, or None if it is not one."""
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
