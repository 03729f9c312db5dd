"""Telnyx's codes, and what each means for us. A code that is not here is treated by its class, and never as an answer.

Sources: Telnyx's OpenAPI file for TeXML calls, its SDK's enums, and its pages on API error codes and SIP response codes.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from campaigns.call import Disposition
from worker.evidence import AnsweredBy, CallState

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
        "failed": _D.FAILED,
    }
)
"""A terminal CallStatus, where no cause says more."""

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
"""HangupCause. On a call that was answered, every cause means that it was answered."""

SIP_CAUSES: Final[Mapping[int, Disposition]] = MappingProxyType(
    {
        200: _D.COMPLETED,
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
"""SipHangupCause: RFC 3261's response codes, and 607/608 (unwanted, rejected by a filter)."""

ANSWERED_BY: Final[Mapping[str, AnsweredBy]] = MappingProxyType(
    {
        "human": AnsweredBy.HUMAN,
        "human_residence": AnsweredBy.HUMAN,
        "human_business": AnsweredBy.HUMAN,
        "not_sure": AnsweredBy.HUMAN,  # Telnyx recommends to treat it so
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
"""AnsweredBy: the union of what Telnyx's three sources say."""


class Refusal(StrEnum):
    """What an error of the API is about, and so what the dialer does next."""

    CALL = "call"  # this call, whenever it is tried again: settle it
    BUSY = "busy"  # this moment: nothing rang, try later
    ACCOUNT = "account"  # every call: pause the campaign
    AMBIGUOUS = "ambiguous"  # a phone may be ringing


API_ERRORS: Final[Mapping[str, tuple[Refusal, Disposition]]] = MappingProxyType(
    {
        "10002": (Refusal.CALL, _D.INVALID_NUMBER),
        "10003": (Refusal.CALL, _D.FAILED),
        "10004": (Refusal.CALL, _D.FAILED),
        "10005": (Refusal.ACCOUNT, _D.FAILED),  # the application, or the account, is not there
        "10007": (Refusal.AMBIGUOUS, _D.FAILED),
        "10008": (Refusal.AMBIGUOUS, _D.FAILED),
        "10009": (Refusal.ACCOUNT, _D.FAILED),
        "10010": (Refusal.ACCOUNT, _D.FAILED),  # unless its detail carries a code of D_CODES
        "10011": (Refusal.BUSY, _D.FAILED),
        "10015": (Refusal.CALL, _D.FAILED),
        "10016": (Refusal.CALL, _D.INVALID_NUMBER),
        "10026": (Refusal.CALL, _D.FAILED),
        "10032": (Refusal.CALL, _D.FAILED),
        "10033": (Refusal.CALL, _D.FAILED),
        "10037": (Refusal.AMBIGUOUS, _D.FAILED),
        "10038": (Refusal.ACCOUNT, _D.FAILED),
        "10039": (Refusal.ACCOUNT, _D.FAILED),
        "20012": (Refusal.ACCOUNT, _D.FAILED),
        "20100": (Refusal.ACCOUNT, _D.FAILED),
        "90014": (Refusal.CALL, _D.FAILED),
        "90015": (Refusal.CALL, _D.FAILED),
        "90018": (Refusal.CALL, _D.FAILED),
        "90034": (Refusal.CALL, _D.FAILED),
        "90041": (Refusal.BUSY, _D.FAILED),
        "90042": (Refusal.BUSY, _D.FAILED),
        "90043": (Refusal.BUSY, _D.FAILED),
        "90045": (Refusal.CALL, _D.FAILED),
        "90046": (Refusal.CALL, _D.FAILED),
        "90048": (Refusal.CALL, _D.FAILED),
        "90103": (Refusal.BUSY, _D.FAILED),  # more than 150 dials in 5 s
    }
)
"""`errors[].code` of the REST API: what it is about, and how the attempt ends if it is about this call."""

_ACCOUNT_D = ("D7", "D10", "D11", "D12", "D15", "D16", "D17", "D18", "D19", "D36", "D38", "D39", "D51", "D52", "D53")
_ACCOUNT_D += ("D54", "D35", "D60", "D61", "D63", "D64", "D65", "TM1")
_BUSY_D = ("D1", "D2", "D3", "D9", "D22", "P05", "P15")
_CALL_D = ("D24", "D40", "D41", "PE1", "PE2", "PE3", "PE4", "PE5", "PE6", "TV1")

D_CODES: Final[Mapping[str, tuple[Refusal, Disposition]]] = MappingProxyType(
    dict.fromkeys(_ACCOUNT_D, (Refusal.ACCOUNT, _D.FAILED))
    | dict.fromkeys(_BUSY_D, (Refusal.BUSY, _D.FAILED))
    | dict.fromkeys(_CALL_D, (Refusal.CALL, _D.FAILED))
    | {
        "D13": (Refusal.CALL, _D.REJECTED),  # the country is not on the profile's list
        "D14": (Refusal.CALL, _D.INVALID_NUMBER),
    }
)
"""The codes inside an error's detail or a callback's ErrorMessage, e.g. "… Outbound Profile assigned D38"."""
