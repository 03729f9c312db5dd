"""Telnyx's codes, and what each means for us.

A code that is not listed is treated by its class, never as a call answered.

Sources: Telnyx's OpenAPI file for TeXML calls, its SDK's enums, and its pages on API error codes and SIP response
codes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from campaigns.call import Disposition
from worker.rules.evidence import AnsweredBy, CallState

_D = Disposition

CALL_STATES: Final[Mapping[str, CallState]] = MappingProxyType(
    {
        "queued": CallState.INITIATED,
        "initiated": CallState.INITIATED,
        "ringing": CallState.RINGING,
        "in-progress": CallState.ANSWERED,
        "answered": CallState.ANSWERED,
        "completed": CallState.ENDED,
        "busy": CallState.ENDED,
        "no-answer": CallState.ENDED,
        "canceled": CallState.ENDED,
        "cancelled": CallState.ENDED,  # documented nowhere; an end must not be missed because of one letter
        "failed": CallState.ENDED,
    }
)
"""CallStatus, in callbacks, in the create response and in the list of calls."""

END_STATES: Final[Mapping[str, Disposition]] = MappingProxyType(
    {
        "completed": _D.COMPLETED,
        "busy": _D.BUSY,
        "no-answer": _D.NO_ANSWER,
        "canceled": _D.CANCELED,
        "cancelled": _D.CANCELED,
        "failed": _D.FAILED,
    }
)
"""How a call ended by its terminal CallStatus, used when no cause says more."""

HANGUP_CAUSES: Final[Mapping[str, Disposition]] = MappingProxyType(
    {
        "normal_clearing": _D.COMPLETED,
        "time_limit": _D.COMPLETED,
        "user_busy": _D.BUSY,
        "busy": _D.BUSY,
        "no_answer": _D.NO_ANSWER,
        "timeout": _D.NO_ANSWER,
        "call_rejected": _D.REJECTED,
        "originator_cancel": _D.CANCELED,
        "not_found": _D.INVALID_NUMBER,
        "unallocated_number": _D.INVALID_NUMBER,
        "unspecified": _D.FAILED,
    }
)
"""How a call ended by its HangupCause. On a call that was answered, every cause means COMPLETED."""

_BEFORE_AN_ANSWER: Final = frozenset(
    {"user_busy", "busy", "no_answer", "call_rejected", "not_found", "unallocated_number"}
)
"""The causes that a call which was answered cannot have."""

_CALLEES: Final = frozenset({_D.BUSY, _D.NO_ANSWER, _D.REJECTED, _D.INVALID_NUMBER})
"""Dispositions that only the callee's side can cause: they say more than the status beside them."""

SIP_CAUSES: Final[Mapping[int, Disposition]] = MappingProxyType(
    {
        200: _D.COMPLETED,
        300: _D.FAILED,
        301: _D.FAILED,
        302: _D.FAILED,
        305: _D.FAILED,
        380: _D.FAILED,
        400: _D.FAILED,
        401: _D.FAILED,
        402: _D.FAILED,
        403: _D.REJECTED,
        404: _D.INVALID_NUMBER,
        405: _D.FAILED,
        406: _D.FAILED,
        407: _D.FAILED,
        408: _D.NO_ANSWER,
        410: _D.INVALID_NUMBER,
        413: _D.FAILED,
        415: _D.FAILED,
        416: _D.FAILED,
        420: _D.FAILED,
        422: _D.FAILED,
        423: _D.FAILED,
        433: _D.REJECTED,  # the callee takes no anonymous calls
        480: _D.NO_ANSWER,
        481: _D.FAILED,
        482: _D.FAILED,
        483: _D.FAILED,
        484: _D.INVALID_NUMBER,
        485: _D.INVALID_NUMBER,
        486: _D.BUSY,
        487: _D.NO_ANSWER,
        488: _D.FAILED,
        491: _D.FAILED,
        500: _D.FAILED,
        501: _D.FAILED,
        502: _D.FAILED,
        503: _D.FAILED,
        504: _D.FAILED,
        505: _D.FAILED,
        600: _D.BUSY,
        603: _D.REJECTED,
        604: _D.INVALID_NUMBER,
        606: _D.FAILED,
        607: _D.REJECTED,
        608: _D.REJECTED,
    }
)
"""How a call ended by its SipHangupCause: RFC 3261, and 433 (anonymous), 607 (unwanted), 608 (rejected by a filter)."""

_SIP_CLASSES: Final[Mapping[str, Disposition]] = MappingProxyType(
    {"3": _D.FAILED, "4": _D.FAILED, "5": _D.FAILED, "6": _D.REJECTED}
)
"""How a call ended by the class of a SIP code that is not listed (RFC 3261, 8.1.3.2). A 6xx is the callee's refusal."""

ANSWERED_BY: Final[Mapping[str, AnsweredBy]] = MappingProxyType(
    {
        "human": AnsweredBy.HUMAN,
        "human_residence": AnsweredBy.HUMAN,
        "human_business": AnsweredBy.HUMAN,
        "not_sure": AnsweredBy.HUMAN,  # Telnyx recommends to treat it as a person
        "unknown": AnsweredBy.HUMAN,
        "silence": AnsweredBy.HUMAN,
        "machine": AnsweredBy.MACHINE,
        "machine_start": AnsweredBy.MACHINE,
        "machine_end_beep": AnsweredBy.MACHINE_READY,
        "machine_end_silence": AnsweredBy.MACHINE_READY,
        "machine_end_other": AnsweredBy.MACHINE_READY,
        "fax": AnsweredBy.FAX,
        "fax_detected": AnsweredBy.FAX,
    }
)
"""Who or what answered by AnsweredBy: the union of the values in Telnyx's three sources."""


class Refusal(StrEnum):
    """What an error of the API concerns, which decides what the dialer does next."""

    CALL = "call"  # this call, at any time: settle it
    BUSY = "busy"  # this moment: no phone rang, try later
    ACCOUNT = "account"  # every call: pause the campaign
    AMBIGUOUS = "ambiguous"  # a phone may be ringing


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one code means for us."""

    about: Refusal
    advice: str  # for the operator: what to do
    disposition: Disposition = _D.FAILED  # how the attempt ends, if it is about this call


_MALFORMED = Meaning(Refusal.CALL, "this request was malformed: run `dialout doctor`")
_NUMBER = Meaning(Refusal.CALL, "correct the number, or remove the row", _D.INVALID_NUMBER)
_CREDENTIALS = Meaning(Refusal.ACCOUNT, "check TELNYX_API_KEY")
_FUNDS = Meaning(Refusal.ACCOUNT, "add funds to the Telnyx account, then resume the campaign")
_LEVEL = Meaning(Refusal.ACCOUNT, "the account's verification level forbids it: raise it in Telnyx's portal")
_LINES = Meaning(Refusal.BUSY, "more lines are in use than Telnyx allows: lower LINES, or ask Telnyx for more")
_PACE = Meaning(Refusal.BUSY, "Telnyx allows fewer calls per second: lower CALLS_PER_SECOND if this goes on")
_UNSURE = Meaning(Refusal.AMBIGUOUS, "a phone may be ringing: nobody is dialed again before that is known")
_PROFILE = Meaning(Refusal.ACCOUNT, "assign an enabled outbound voice profile to the TeXML application, then resume")
_DISABLED = Meaning(Refusal.ACCOUNT, "Telnyx has disabled the connection or the account: see its portal, then resume")
_CALLER_ID = Meaning(Refusal.ACCOUNT, "the caller ID may not be used: check CALLER_IDS against Telnyx's numbers")
_ROUTE = Meaning(Refusal.CALL, "Telnyx has no route to this number")
_RATE = Meaning(Refusal.CALL, "the destination costs more than the voice profile's max_destination_rate")
_COUNTRY = Meaning(Refusal.CALL, "allow the country in the outbound voice profile's destinations", _D.REJECTED)
_NOT_OF_A_DIAL = Meaning(Refusal.CALL, "Telnyx answered a dial with an error of another command")

CALLER_ID_REFUSED: Final = _CALLER_ID
"""What any error about `/From` means.

Our number is the same for every contact, so the error must not end one of them.
"""

API_ERRORS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "10002": _NUMBER,
        "10003": _MALFORMED,
        "10004": _MALFORMED,
        "10005": Meaning(Refusal.ACCOUNT, "check TELNYX_TEXML_APP_ID"),
        "10007": _UNSURE,
        "10008": _UNSURE,
        "10009": _CREDENTIALS,
        "10010": Meaning(Refusal.ACCOUNT, "see Telnyx's portal, then resume"),  # unless the detail has one of D_CODES
        "10011": _PACE,
        "10015": _MALFORMED,
        "10016": _NUMBER,
        "10026": _MALFORMED,
        "10032": _MALFORMED,
        "10033": _MALFORMED,
        "10037": _UNSURE,
        "10038": _LEVEL,
        "10039": _LEVEL,
        "20012": _FUNDS,
        "20100": _FUNDS,
        "90014": _NOT_OF_A_DIAL,
        "90015": _NOT_OF_A_DIAL,
        "90018": _NOT_OF_A_DIAL,
        "90034": _NOT_OF_A_DIAL,
        "90041": _LINES,
        "90042": _LINES,
        "90043": _LINES,
        "90045": _NOT_OF_A_DIAL,
        "90046": _NOT_OF_A_DIAL,
        "90048": _NOT_OF_A_DIAL,
        "90103": _PACE,  # more than 150 dials in 5 s
    }
)
"""What `errors[].code` of the REST API means."""

D_CODES: Final[Mapping[str, Meaning]] = MappingProxyType(
    dict.fromkeys(("D1", "D2", "D3", "D22"), _LINES)
    | dict.fromkeys(("D9", "P05", "P15"), _PACE)
    | dict.fromkeys(("D7", "D15", "D38"), _PROFILE)
    | dict.fromkeys(("D10", "D11", "D12", "D16", "D17", "D18"), _DISABLED)
    | dict.fromkeys(("D35", "D36", "D51", "D52", "D53", "D54", "D63", "D64", "D65"), _CALLER_ID)
    | dict.fromkeys(("D60", "D61"), _LEVEL)
    | dict.fromkeys(("D40", "D41", "PE1", "PE2", "PE3", "PE4", "PE5", "PE6", "TV1"), _ROUTE)
    | {
        "D13": _COUNTRY,
        "D14": _NUMBER,
        "D19": _FUNDS,
        "D24": _RATE,
        "D39": Meaning(Refusal.ACCOUNT, "the daily spend limit is reached: raise it, or resume tomorrow"),
        "TM1": Meaning(Refusal.ACCOUNT, "Telnyx has no rates for the account: ask its support"),
    }
)
"""What a code inside an error's detail or a callback's ErrorMessage means, as in "… Outbound Profile assigned D38"."""


def meaning_in(text: str) -> Meaning | None:
    """Return what the first code of D_CODES in a text means, or None if the text has none."""
    codes = re.findall(r"\b(?:D\d{1,2}|PE\d|P\d{2}|TV\d|TM\d)\b", text)
    return next((D_CODES[code] for code in codes if code in D_CODES), None)


def ending(status: str, *, cause: str = "", sip: str = "", message: str = "", answered: bool = False) -> Disposition:
    """Return how a call ended, by its terminal CallStatus and whatever else Telnyx said with it.

    `cause` is HangupCause, `sip` SipHangupCause, `message` ErrorMessage. `answered`: it is known that the call was
    answered.
    """
    cause = cause.lower()
    by_cause = HANGUP_CAUSES.get(cause)
    if status == "completed":
        # "completed" is also the name of the event that ends every call, and a cause is documented for that event only.
        return by_cause if by_cause and cause in _BEFORE_AN_ANSWER and not answered else _D.COMPLETED
    if meaning := meaning_in(message):
        return meaning.disposition
    if by_cause and by_cause in _CALLEES:
        return by_cause
    if status != "failed":
        return END_STATES[status]
    return _D.CANCELED if by_cause is _D.CANCELED else _by_sip(sip)


def _by_sip(text: str) -> Disposition:
    found = re.search(r"\b[1-6][0-9]{2}\b", text)
    if found is None:
        return _D.FAILED
    default = _SIP_CLASSES.get(found[0][0], _D.FAILED)
    return SIP_CAUSES.get(int(found[0]), default)
