"""Everything that knows that there is a Telnyx: dial, find, hang up, verify; and how to read what it says."""

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import httpx
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from campaigns.call import Disposition
from worker.evidence import AnsweredBy, CallEvent, CallState, Detection, FoundCall
from worker.telnyx_codes import (
    ANSWERED_BY,
    API_ERRORS,
    CALL_STATES,
    D_CODES,
    END_STATES,
    HANGUP_CAUSES,
    SIP_CAUSES,
    Refusal,
)

if TYPE_CHECKING:
    import telnyx

EVENTS: Final = "initiated ringing answered completed"
TOLERANCE_S: Final = 300
"""How old a signed request may be: Telnyx's own SDK allows as much."""

_ENDED_ALREADY: Final = "90018"
_PAGES: Final = 5


class CarrierError(Exception):
    """The carrier did not do what was asked. Each kind is named for what the caller does next."""


class DialRefused(CarrierError):
    """The carrier will not place this call: settle the attempt with `disposition`."""

    def __init__(self, reason: str, disposition: Disposition) -> None:
        super().__init__(reason)
        self.disposition = disposition


class DialUnconfirmed(CarrierError):
    """We asked, and do not know whether a phone rings: never dial this attempt again, let evidence decide."""


class CarrierBusy(CarrierError):
    """Nothing rang, and later it may: give the attempt back unspent, and slow down."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class AccountBlocked(CarrierError):
    """No call of this account gets through: pause the campaign and tell the operator."""


class Forged(CarrierError):
    """The request was not signed by the carrier, or too long ago: answer 403 and change nothing."""


@dataclass(frozen=True, slots=True)
class DialOrder:
    """One call to place."""

    to: str  # E.164
    caller_id: str  # E.164, ours
    texml: str
    status_url: str  # carries the attempt id
    amd_url: str | None  # None: no answering-machine detection
    ring_timeout_s: int
    time_limit_s: int


class Carrier:
    """Telnyx, for one account and one TeXML application. Safe to share between threads."""

    def __init__(
        self, *, api_key: str, app_id: str, base_url: str, public_key: str = "", timeout_s: float = 5.0
    ) -> None:
        """Build the client. Its retries are off, for each is another call; so are redirects, which repeat a POST."""
        self._app_id = app_id
        self._public_key = public_key
        self._options: dict[str, Any] = {"api_key": api_key, "base_url": base_url, "timeout": timeout_s}

    @cached_property
    def _client(self) -> "telnyx.Telnyx":
        # The SDK takes seconds to import, and who only verifies signatures need not wait for it.
        import telnyx

        http = telnyx.DefaultHttpxClient(follow_redirects=False)
        return telnyx.Telnyx(**self._options, max_retries=0, http_client=http)

    def dial(self, order: DialOrder) -> str:
        """Send the one POST and return the call's sid, or "" if the carrier took the call and named none.

        Raises DialRefused, CarrierBusy, AccountBlocked or DialUnconfirmed.
        """
        import telnyx

        try:
            answer = self._client.texml.calls.create(
                self._app_id, from_=order.caller_id, to=order.to, texml=order.texml, extra_body=_options(order)
            )
        except telnyx.APIStatusError as error:
            raise _refusal(error) from error
        except telnyx.APIConnectionError as error:
            raise _unreached(error) from error
        except (telnyx.TelnyxError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DialUnconfirmed(f"the carrier's answer could not be read ({type(error).__name__})") from error
        if not isinstance(answer, telnyx.BaseModel):
            # The SDK hands on a 200 whose body is not JSON as it is.
            raise DialUnconfirmed("the carrier answered 200 with something that is not JSON")
        return _call_sid(answer.to_dict())

    def find(self, to: str, since: datetime) -> list[FoundCall]:
        """Return the account's calls to a number since an instant. The carrier's list is only eventually complete."""
        calls: list[FoundCall] = []
        query: dict[str, Any] = {"to": to, "start_time_gt": f"{since:%Y-%m-%d}", "page_size": 50}
        for page in range(_PAGES):
            answer = self._ask(
                lambda page=page: self._client.texml.accounts.calls.retrieve_calls(self._account, page=page, **query)
            )
            for item in answer.calls or []:
                call = _found(item.to_dict())
                recent = call.created_at is None or call.created_at >= since.timestamp() - 5
                if call.to == to and recent:
                    calls.append(call)
            if not answer.next_page_uri:
                break
        return calls

    def fetch(self, call_sid: str) -> FoundCall | None:
        """Return one call, or None if the carrier does not (yet, or any more) know it."""
        import telnyx

        try:
            answer = self._client.texml.accounts.calls.retrieve(call_sid, account_sid=self._account)
        except telnyx.NotFoundError:
            return None
        except telnyx.TelnyxError as error:
            raise CarrierBusy(f"the carrier could not be asked about a call: {_brief(error)}") from error
        return _found(answer.to_dict()) if isinstance(answer, telnyx.BaseModel) else None

    def hang_up(self, call_sid: str) -> None:
        """End a call. One that is over already is fine."""
        import telnyx

        try:
            self._client.calls.actions.hangup(call_sid)
        except telnyx.UnprocessableEntityError as error:
            if _ENDED_ALREADY not in {code for code, _ in _errors(error.body)}:
                raise CarrierBusy(f"the carrier did not hang up: {_brief(error)}") from error
        except telnyx.NotFoundError:
            return
        except telnyx.TelnyxError as error:
            raise CarrierBusy(f"the carrier did not hang up: {_brief(error)}") from error

    def close(self) -> None:
        """Close the connections."""
        if "_client" in self.__dict__:
            self._client.close()

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raise Forged unless the carrier signed this body within the last five minutes."""
        if not self._public_key:
            raise Forged("TELNYX_PUBLIC_KEY is not set, so no callback can be believed: set it from Telnyx's portal")
        at = headers.get("telnyx-timestamp", "")
        if not at.isdecimal() or abs(time.time() - int(at)) > TOLERANCE_S:
            raise Forged(f"the request has no timestamp, or one more than {TOLERANCE_S} s away")
        try:
            signature = base64.b64decode(headers.get("telnyx-signature-ed25519", ""), validate=True)
            VerifyKey(base64.b64decode(self._public_key)).verify(at.encode() + b"|" + body, signature)
        except (BadSignatureError, ValueError, TypeError) as error:
            raise Forged("the request is not signed by the carrier") from error

    @cached_property
    def _account(self) -> str:
        # The account of TeXML's REST paths is the organization, not the user (/whoami).
        answer: Any = self._ask(lambda: self._client.get("/whoami", cast_to=object))
        data = answer.get("data", answer) if isinstance(answer, dict) else {}
        if not (account := data.get("organization_id")):
            raise CarrierBusy("the carrier did not say which organization the API key belongs to")
        return str(account)

    def _ask(self, question: Any) -> Any:
        import telnyx

        try:
            return question()
        except telnyx.TelnyxError as error:
            raise CarrierBusy(f"the carrier could not be asked: {_brief(error)}") from error


def _options(order: DialOrder) -> dict[str, Any]:
    # Only From, To, Texml and Url are typed parameters of this endpoint; the rest goes into the body as it is.
    options: dict[str, Any] = {
        "StatusCallback": order.status_url,
        "StatusCallbackMethod": "POST",
        "StatusCallbackEvent": EVENTS,
        "Timeout": order.ring_timeout_s,
        "TimeLimit": order.time_limit_s,
    }
    if order.amd_url:
        # Asynchronous: the synchronous kind leaves the callee in silence until it has decided.
        options |= {
            "MachineDetection": "DetectMessageEnd",
            "DetectionMode": "Regular",
            "AsyncAmd": True,
            "AsyncAmdStatusCallback": order.amd_url,
            "AsyncAmdStatusCallbackMethod": "POST",
        }
    return options


def _refusal(error: "telnyx.APIStatusError") -> CarrierError:
    status = error.status_code
    retry_after = _number(error.response.headers.get("retry-after"))
    for code, detail in _errors(error.body):
        table = [D_CODES[d] for d in re.findall(r"\b(?:D\d{1,2}|PE\d|P\d{2}|TV1|TM1)\b", detail) if d in D_CODES]
        about, disposition = table[0] if table else API_ERRORS.get(code, (None, Disposition.FAILED))
        told = f"the carrier refused ({status}, {code or 'no code'}): {detail or 'no detail'}"
        match about:
            case Refusal.ACCOUNT:
                return AccountBlocked(f"{told}; check the account, then resume the campaign")
            case Refusal.BUSY:
                return CarrierBusy(told, retry_after)
            case Refusal.CALL if status < 500:  # noqa: PLR2004
                return DialRefused(told, disposition)
            case _:
                break
    if status == 429:  # noqa: PLR2004
        return CarrierBusy("the carrier asks us to slow down (429)", retry_after)
    if status in {401, 403, 404}:
        return AccountBlocked(f"the carrier refused ({status}): check TELNYX_API_KEY and TELNYX_TEXML_APP_ID")
    if 300 <= status < 400:  # noqa: PLR2004
        return AccountBlocked(f"the carrier's API redirects ({status}): correct TELNYX_BASE_URL")
    if status >= 500 or status in {408, 409}:  # noqa: PLR2004
        return DialUnconfirmed(f"the carrier failed while it took the call ({status})")
    return DialRefused(f"the carrier refused ({status})", Disposition.FAILED)


def _unreached(error: "telnyx.APIConnectionError") -> CarrierError:
    cause = error.__cause__
    if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol):
        return CarrierBusy(f"the carrier cannot be reached ({type(cause).__name__}): check the network")
    return DialUnconfirmed(f"the connection to the carrier broke after the request ({type(cause).__name__})")


def _errors(body: object) -> list[tuple[str, str]]:
    """Return the (code, detail) of each error of an envelope; both may be empty."""
    errors = body.get("errors") if isinstance(body, dict) else None
    if not isinstance(errors, list):
        return []
    return [
        (str(e.get("code") or ""), str(e.get("detail") or e.get("title") or "")) for e in errors if isinstance(e, dict)
    ]


def _brief(error: Exception) -> str:
    return f"{getattr(error, 'status_code', '')} {type(error).__name__}".strip()


def _call_sid(answer: Mapping[str, Any]) -> str:
    inner = answer.get("data")
    for place in (answer, inner if isinstance(inner, Mapping) else {}):
        for name in ("call_sid", "sid", "CallSid", "call_control_id"):
            if sid := place.get(name):
                return str(sid)
    return ""


# --- reading what the carrier says ----------------------------------------------------------------------------------------


def read_status(form: Mapping[str, str]) -> CallEvent | None:
    """Read a status callback's form; None for one that says nothing about the call's course, such as a digit.

    Raises ValueError if it is no status callback at all.
    """
    if not form.get("CallSid") or not form.get("CallStatus"):
        raise ValueError("a status callback must have CallSid and CallStatus")
    return _event(form["CallSid"], form["CallStatus"], form)


def read_detection(form: Mapping[str, str]) -> Detection:
    """Read the form of an answering-machine callback; raises ValueError if it is none."""
    if not form.get("CallSid") or not form.get("AnsweredBy"):
        raise ValueError("a detection callback must have CallSid and AnsweredBy")
    return Detection(form["CallSid"], ANSWERED_BY.get(form["AnsweredBy"], AnsweredBy.HUMAN))


def _event(call_sid: str, status: str, details: Mapping[str, Any]) -> CallEvent | None:
    state = CALL_STATES.get(status.lower().replace("_", "-"))
    if state is None:
        return None
    at = _timestamp(details.get("Timestamp"))
    if state is not CallState.ENDED:
        return CallEvent(call_sid, state, at)
    duration = _number(details.get("CallDuration") or details.get("duration"))
    cause = str(details.get("HangupCause") or "")
    sip = str(details.get("SipHangupCause") or "")
    message = str(details.get("ErrorMessage") or "")
    words = [status, cause, f"SIP {sip}" if sip else "", message]
    return CallEvent(
        call_sid,
        state,
        at,
        _disposition(status.lower().replace("_", "-"), cause, sip, message),
        ", ".join(word for word in words if word),
        None if duration is None else int(duration),
    )


def _disposition(status: str, cause: str, sip: str, message: str) -> Disposition:
    if status == "completed":
        return Disposition.COMPLETED
    for code in re.findall(r"\b(?:D\d{1,2}|PE\d|P\d{2}|TV1|TM1)\b", message):
        if code in D_CODES:
            return D_CODES[code][1]
    if status != "failed":
        return END_STATES[status]
    # Only a failure leaves open whose it was: the callee's network often tells by the SIP code.
    if cause in HANGUP_CAUSES and HANGUP_CAUSES[cause] not in {Disposition.FAILED, Disposition.COMPLETED}:
        return HANGUP_CAUSES[cause]
    return SIP_CAUSES.get(int(sip), Disposition.FAILED) if sip.isdecimal() else Disposition.FAILED


def _found(item: Mapping[str, Any]) -> FoundCall:
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
    )


def _timestamp(text: object) -> float | None:
    """Read ISO 8601 or RFC 2822, both of which Telnyx sends; None for anything else."""
    if not isinstance(text, str) or not text:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, TypeError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None
