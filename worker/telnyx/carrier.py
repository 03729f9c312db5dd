"""Everything that knows that there is a Telnyx: dial, find, hang up, verify.

What it says is read in `telnyx_reading`, its refusals in `telnyx_refusals`, its codes stand in `telnyx_codes`.
"""

import base64
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, quote, urlsplit

import httpx
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from worker.rules.evidence import CallState, FoundCall
from worker.telnyx.fence import Fence, FencedClient, Withheld
from worker.telnyx.reading import read_call, read_detection, read_status
from worker.telnyx.refusals import (
    AccountBlocked,
    CarrierBusy,
    CarrierError,
    DialRefused,
    DialUnconfirmed,
    DialWithheld,
    Forged,
    errors_of,
    refusal,
    unreached,
)

if TYPE_CHECKING:
    import telnyx

__all__ = [
    "AccountBlocked",
    "Carrier",
    "CarrierBusy",
    "CarrierError",
    "DialOrder",
    "DialRefused",
    "DialUnconfirmed",
    "DialWithheld",
    "Dialed",
    "Forged",
    "Usual",
    "read_detection",
    "read_status",
]

EVENTS: Final = "initiated ringing answered completed"
TOLERANCE_S: Final = 300
"""How old a signed request may be: Telnyx's own SDK allows as much."""

_LONGEST_WAY_S: Final = 0.25
"""The most by which a slow answer counts as a request that was held up: the rest was the carrier's own doing."""

_CONNECTIONS: Final = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
"""As many as the SDK's own client keeps."""

_ENDED_ALREADY: Final = "90018"
_PAGES: Final = 10
_PAGE_SIZE: Final = 50
_NUMBER_PAGES: Final = 200
_NUMBER_PAGE_SIZE: Final = 100
_NOT_OURS: Final = frozenset({"purchase-pending", "purchase-failed", "port-failed", "ported-out", "deleted"})
"""States of a number that is in the account's list and not, or not any more, the account's."""

_CLOCKS_APART_S: Final = 5
_POST_TAKES_S: Final = 30
"""How long after an attempt was begun its call may have been created: a POST that leaves later is not sent."""


class Usual:
    """What nearly all answers take, learned from each: the time within which nineteen of twenty come."""

    _SHARE: Final = 0.95

    def __init__(self) -> None:
        self.seconds = 0.0

    def excess_of(self, took_s: float) -> float:
        """Return by how much longer an answer took, and learn from it."""
        if not self.seconds:
            self.seconds = took_s
        excess = max(0.0, took_s - self.seconds)
        # Up by much for each that takes longer, down by little for the others: in balance at the share.
        step = max(0.001, self.seconds / 20)
        self.seconds += step * (self._SHARE if excess else self._SHARE - 1)
        return excess


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
    record: bool = False


@dataclass(frozen=True, slots=True)
class Dialed:
    """What is known of a dial that the carrier has taken."""

    call_sid: str  # "" if the carrier named none
    left_at: float | None
    """When the dial must have been with the carrier, by the monotonic clock (s): when its last byte was written, and, if
    the answer took longer than nearly all do, so much later, for the request may have been held up on its way."""


class Carrier:
    """Telnyx, for one account and one TeXML application. Safe to share between threads."""

    def __init__(
        self,
        *,
        api_key: str,
        app_id: str,
        base_url: str,
        public_key: str = "",
        timeout_s: float = 5.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Build the client. `transport` replaces the one that leads to the network."""
        self._app_id = app_id
        self._public_key = public_key
        self._usual = Usual()
        self._options: dict[str, Any] = {"api_key": api_key.strip(), "base_url": base_url, "timeout": timeout_s}
        self._transport = transport

    @cached_property
    def _clients(self) -> "tuple[telnyx.Telnyx, FencedClient]":
        """The SDK's client, and the HTTP client through which it sends."""
        # The SDK takes seconds to import, and a process that only verifies signatures need not wait for it.
        import telnyx

        _check(self._options["api_key"], self._options["base_url"])
        # No redirects and no retries: each repeats a POST, and each POST is another call.
        http = FencedClient(transport=self._transport, limits=_CONNECTIONS, follow_redirects=False)
        return telnyx.Telnyx(**self._options, max_retries=0, http_client=http), http

    @property
    def _client(self) -> "telnyx.Telnyx":
        return self._clients[0]

    def warm_up(self) -> None:
        """Do now, once, what the first dial would wait for. Raises AccountBlocked if no request can be made at all."""
        assert self._client
        assert self._is_warm

    @cached_property
    def _is_warm(self) -> bool:
        # The SDK imports its parts, and builds its models, when they are used for the first time.
        import telnyx

        nowhere = httpx.MockTransport(lambda _: httpx.Response(200, json={"call_sid": "none"}))
        with telnyx.Telnyx(api_key="none", http_client=telnyx.DefaultHttpxClient(transport=nowhere)) as client:
            client.texml.calls.create("none", from_="none", to="none").to_dict()
        return True

    def dial(self, order: DialOrder, may_leave: Callable[[], bool]) -> Dialed:
        """Send the one POST, if `may_leave` says yes.

        `may_leave` is asked when all is ready and the connection stands. It returns when the time has come, and False to
        send nothing. Raises DialWithheld then, else DialRefused, CarrierBusy, AccountBlocked or DialUnconfirmed.
        """
        client, http = self._clients
        with http.fence(may_leave) as fence:
            try:
                return Dialed(self._place(client, order, fence), self._arrived_at(fence))
            except CarrierError as error:
                error.left_at = self._arrived_at(fence)
                raise

    def _place(self, client: "telnyx.Telnyx", order: DialOrder, fence: Fence) -> str:
        import telnyx

        try:
            answer = client.texml.calls.create(
                self._app_id, from_=order.caller_id, to=order.to, texml=order.texml, extra_body=_options(order)
            )
        except telnyx.APIStatusError as error:
            raise refusal(error, self._options["api_key"]) from error
        except telnyx.APIConnectionError as error:
            if isinstance(error.__cause__, Withheld) and not fence.passed:
                raise DialWithheld("its moment had passed before it was sent") from None
            raise unreached(error) from error
        except (telnyx.TelnyxError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DialUnconfirmed(f"the carrier's answer could not be read ({type(error).__name__})") from error
        if not isinstance(answer, telnyx.BaseModel):
            # The SDK hands on a 200 whose body is not JSON as it is.
            raise DialUnconfirmed("the carrier answered 200 with something that is no JSON object")
        told = answer.to_dict()
        if errors_of(told):
            raise DialUnconfirmed("the carrier answered 200 and named errors")
        return _call_sid(told)

    def _arrived_at(self, fence: Fence) -> float | None:
        if not fence.left_at or not fence.answered_at:
            return fence.left_at
        return fence.left_at + min(_LONGEST_WAY_S, self._usual.excess_of(fence.answered_at - fence.left_at))

    def find(self, to: str, begun_at: datetime) -> list[FoundCall]:
        """Return the calls to a number that a dial begun at an instant may have placed.

        The carrier's list is only eventually complete.

        Raises CarrierBusy or AccountBlocked, as `fetch` and `hang_up` do, if the carrier gave no usable answer.
        """
        calls: dict[str, FoundCall] = {}
        # No date filter: it works by the day, and a call that only rings may have no start time to be filtered by.
        query: dict[str, Any] = {"to": to, "page_size": _PAGE_SIZE}
        for page in range(_PAGES):
            with _asking("about its calls"):
                answer: Any = self._client.texml.accounts.calls.retrieve_calls(self._account, page=page, **query)
            listed = _object(answer)
            for item in listed.get("calls") or []:
                call = read_call(item)
                if call.to == to and _may_be_of(call, begun_at.timestamp()):
                    calls[call.call_sid] = call
            if not (following := listed.get("next_page_uri")):
                break
            if token := parse_qs(urlsplit(str(following)).query).get("PageToken"):
                query["page_token"] = token[0]
        return list(calls.values())

    def fetch(self, call_sid: str) -> FoundCall | None:
        """Return one call, or None if the carrier does not (yet, or any more) know it."""
        import telnyx

        with _asking("about a call"):
            try:
                answer: Any = self._client.texml.accounts.calls.retrieve(call_sid, account_sid=self._account)
            except telnyx.NotFoundError:
                return None
        return read_call(_object(answer))

    def hang_up(self, call_sid: str) -> None:
        """End a call. One that is over already is fine."""
        import telnyx

        with _asking("to hang up"):
            try:
                answer: Any = self._client.calls.actions.hangup(call_sid)
            except telnyx.NotFoundError:
                return
            except telnyx.UnprocessableEntityError as error:
                if _ENDED_ALREADY not in {told.code for told in errors_of(error.body)}:
                    raise
                return
        _object(answer)

    def application(self) -> dict[str, Any] | None:
        """Return the TeXML application as Telnyx shows it (`active`, `voice_url`, `outbound`, …), or None if it has none.

        Raises AccountBlocked if it does not take our key, CarrierBusy if it gave no usable answer.
        """
        import telnyx

        with _asking("for the TeXML application"):
            try:
                answer: Any = self._client.get(f"/texml_applications/{quote(self._app_id, safe='')}", cast_to=object)
            except telnyx.NotFoundError:
                return None
            except (telnyx.AuthenticationError, telnyx.PermissionDeniedError) as error:
                status = f"{error.status_code} {type(error).__name__}"
                raise AccountBlocked(
                    f"Telnyx does not take TELNYX_API_KEY ({status}): copy it from the portal"
                ) from error
        if not isinstance(answer, dict) or not isinstance(answer.get("data"), dict):
            raise CarrierBusy("the carrier's TeXML application could not be read: check TELNYX_BASE_URL")
        return answer["data"]

    def clock(self) -> datetime:
        """Return what time it is for the carrier, to the second; raises CarrierBusy."""
        with _asking("for the time"):
            response = self._client.get("/whoami", cast_to=httpx.Response)
        try:
            return parsedate_to_datetime(response.headers["date"])
        except (KeyError, ValueError) as error:
            raise CarrierBusy("the carrier does not say what time it is") from error

    def numbers(self) -> dict[str, str]:
        """Return the numbers that this account may call from -> the application that calls to them reach ("" for none).

        Raises CarrierBusy or AccountBlocked if the carrier gave no usable answer.
        """
        owned = {
            str(one["phone_number"]): str(one.get("connection_id") or "") for one in self._listed("/phone_numbers")
        }
        # Numbers of others that they have let us show: calls to them do not come to Telnyx.
        return {str(one["phone_number"]): "" for one in self._listed("/verified_numbers")} | owned

    def _listed(self, path: str) -> Iterator[dict[str, Any]]:
        for page in range(1, _NUMBER_PAGES + 1):
            with _asking("for the account's numbers"):
                query = {"page[number]": page, "page[size]": _NUMBER_PAGE_SIZE}
                answer: Any = self._client.get(path, cast_to=object, options={"params": query})
            if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
                raise CarrierBusy("the carrier's list of numbers could not be read: check TELNYX_BASE_URL")
            yield from (one for one in answer["data"] if one.get("phone_number") and one.get("status") not in _NOT_OURS)
            if page >= int((answer.get("meta") or {}).get("total_pages") or 1):
                return

    def close(self) -> None:
        """Close the connections."""
        if "_clients" in self.__dict__:
            self._client.close()

    def verify(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Raise Forged unless the carrier signed this body within the last five minutes."""
        if not self._public_key:
            raise Forged("TELNYX_PUBLIC_KEY is not set, so no callback can be believed: set it from Telnyx's portal")
        given = {name.lower(): value for name, value in headers.items()}
        at = given.get("telnyx-timestamp", "")
        if not re.fullmatch("[0-9]{1,12}", at) or abs(time.time() - int(at)) > TOLERANCE_S:
            raise Forged(f"the request has no timestamp, or one more than {TOLERANCE_S} s away: is this clock right?")
        try:
            key = VerifyKey(base64.b64decode(self._public_key))
        except (ValueError, TypeError) as error:
            raise Forged("TELNYX_PUBLIC_KEY is not the base64 of 32 bytes: copy it from Telnyx's portal") from error
        try:
            signature = base64.b64decode(given.get("telnyx-signature-ed25519", ""), validate=True)
            key.verify(at.encode() + b"|" + body, signature)
        except (BadSignatureError, ValueError, TypeError) as error:
            raise Forged("the request is not signed by the carrier") from error

    @cached_property
    def _account(self) -> str:
        # The account of TeXML's REST paths is the organization, not the user (/whoami).
        with _asking("about the account"):
            answer: Any = self._client.get("/whoami", cast_to=object)
        data = answer.get("data", answer) if isinstance(answer, dict) else None
        account = data.get("organization_id") if isinstance(data, dict) else None
        if not account:
            raise CarrierBusy("the carrier did not say which organization the API key belongs to")
        return str(account)


def _check(api_key: str, base_url: str) -> None:
    """Raise AccountBlocked for what no request can be made of: sent or not, it would look like a broken connection."""
    if not re.fullmatch("[!-~]+", api_key):
        raise AccountBlocked("TELNYX_API_KEY is empty, or has characters that no key has: copy it from Telnyx's portal")
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise AccountBlocked("TELNYX_BASE_URL is no web address: leave it out, or set https://api.telnyx.com/v2")


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """Turn whatever keeps the carrier from answering into CarrierBusy: asking again later is always harmless."""
    import telnyx

    try:
        yield
    except (telnyx.TelnyxError, json.JSONDecodeError, UnicodeDecodeError) as error:
        status = getattr(error, "status_code", "")
        raise CarrierBusy(f"the carrier could not be asked {what}: {status} {type(error).__name__}") from error


def _object(answer: Any) -> dict[str, Any]:
    # The SDK hands on a 200 whose body is not a JSON object as it is.
    import telnyx

    if not isinstance(answer, telnyx.BaseModel):
        raise CarrierBusy("the carrier answered 200 with something that is no JSON object: check TELNYX_BASE_URL")
    return answer.to_dict(mode="json")


def _may_be_of(call: FoundCall, begun_at: float) -> bool:
    # An end without a date may be another attempt's; a call that goes on cannot be.
    if call.created_at is None:
        return call.event.state is not CallState.ENDED
    return begun_at - _CLOCKS_APART_S <= call.created_at <= begun_at + _POST_TAKES_S + _CLOCKS_APART_S


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
    if order.record:
        options |= {"Record": True, "RecordingChannels": "dual"}
    return options


def _call_sid(answer: Mapping[str, Any]) -> str:
    inner = answer.get("data")
    for place in (answer, inner if isinstance(inner, Mapping) else {}):
        for name in ("call_sid", "sid", "CallSid", "call_control_id"):
            if sid := place.get(name):
                return str(sid)
    return ""
