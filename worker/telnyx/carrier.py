"""Telnyx's API: place a call, find it, end it, and ask which numbers are ours.

What Telnyx answers is read in `reading`, its refusals in `refusals`, and its codes stand in `codes`. A dial leaves
through `fence`. Telnyx's SDK is imported where it is used: that takes 1.3 s of CPU and 50 MB, which a process that
never asks Telnyx anything need not spend.

More than 300 lines: every request shares one client, one account and one reading of errors.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from worker.rules.evidence import CallState, FoundCall
from worker.rules.timing import CLOCKS_APART, POST_TAKES
from worker.settings import Settings
from worker.telnyx.arrival import Usual
from worker.telnyx.fence import Fence, FencedClient, Withheld
from worker.telnyx.order import Dialed, DialOrder, body_of, call_sid_of
from worker.telnyx.reading import read_call
from worker.telnyx.refusals import (
    AccountBlocked,
    CarrierBusy,
    CarrierError,
    DialUnconfirmed,
    DialWithheld,
    errors_of,
    refusal,
    unreached,
)

if TYPE_CHECKING:
    import telnyx

_CONNECTIONS: Final = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
"""As many as the SDK's own client keeps."""
_ENDED_ALREADY: Final = "90018"
_PAGES: Final = 10
_PAGE_SIZE: Final = 50
_NUMBER_PAGES: Final = 200
_NUMBER_PAGE_SIZE: Final = 100
_NOT_OURS: Final = frozenset({"purchase-pending", "purchase-failed", "port-failed", "ported-out", "deleted"})
"""States in which a number stands in the account's list although the account may not call from it."""

_NOT_FOUND: Final = frozenset[int | str]({404})
_NO_ACCESS: Final = frozenset({401, 403})


class Carrier:
    """Telnyx, for one account and one TeXML application. Safe to share between threads."""

    def __init__(
        self,
        *,
        api_key: str,
        app_id: str,
        base_url: str,
        timeout_s: float = 5.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Connect to nothing yet. `transport` replaces the one that leads to the network."""
        self._app_id = app_id
        self._api_key, self._base_url, self._timeout_s = api_key.strip(), base_url, timeout_s
        self._transport = transport
        self._usual = Usual()

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Build it from the settings. What is missing is said when something is asked."""
        return cls(
            api_key=settings.telnyx_api_key.get_secret_value(),
            app_id=settings.telnyx_texml_app_id,
            base_url=settings.telnyx_base_url,
            timeout_s=settings.carrier_timeout_s,
        )

    @cached_property
    def _clients(self) -> "tuple[telnyx.Telnyx, FencedClient]":
        """The SDK's client, and the HTTP client through which it sends."""
        import telnyx

        _check(self._api_key, self._base_url)
        # No redirects and no retries: each repeats a POST, and each POST is another call.
        http = FencedClient(transport=self._transport, limits=_CONNECTIONS, follow_redirects=False)
        client = telnyx.Telnyx(
            api_key=self._api_key, base_url=self._base_url, timeout=self._timeout_s, max_retries=0, http_client=http
        )
        return client, http

    def warm_up(self) -> None:
        """Do now, once, what the first dial would wait for. Raises AccountBlocked if no request can be made at all."""
        assert self._clients[0]
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

        `may_leave` is asked when all is ready and the connection stands. It returns when the time has come, and False
        to send nothing. Raises DialWithheld then, else DialRefused, CarrierBusy, AccountBlocked or DialUnconfirmed.
        """
        client, http = self._clients
        with http.fence(may_leave) as fence:
            try:
                return Dialed(
                    self._place(client, order, fence), self._usual.arrived_at(fence.left_at, fence.answered_at)
                )
            except CarrierError as error:
                error.left_at = self._usual.arrived_at(fence.left_at, fence.answered_at)
                raise

    def _place(self, client: "telnyx.Telnyx", order: DialOrder, fence: Fence) -> str:
        import telnyx

        try:
            answer = client.texml.calls.create(
                self._app_id, from_=order.caller_id, to=order.to, texml=order.texml, extra_body=body_of(order)
            )
        except telnyx.APIStatusError as error:
            raise refusal(error, self._api_key) from error
        except telnyx.APIConnectionError as error:
            if isinstance(error.__cause__, Withheld) and not fence.passed:
                raise DialWithheld("nothing was sent: the dial may not leave now") from None
            raise unreached(error) from error
        except (telnyx.TelnyxError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise DialUnconfirmed(f"the carrier's answer could not be read ({type(error).__name__})") from error
        if not isinstance(answer, telnyx.BaseModel):
            # The SDK hands on a 200 whose body is not JSON as it is.
            raise DialUnconfirmed("the carrier answered 200 with something that is no JSON object")
        told = answer.to_dict()
        if errors_of(told):
            raise DialUnconfirmed("the carrier answered 200 and named errors")
        return call_sid_of(told)

    def find(self, to: str, begun_at: datetime) -> list[FoundCall]:
        """Return the calls to a number that a dial begun at an instant may have placed.

        The carrier's list is only eventually complete. Raises CarrierBusy or AccountBlocked, as `fetch` and `hang_up`
        do, if the carrier gave no usable answer.
        """
        account, calls = self._account, dict[str, FoundCall]()
        # No date filter: it works by the day, and a call that only rings may have no start time to be filtered by.
        query: dict[str, Any] = {"account_sid": account, "to": to, "page_size": _PAGE_SIZE}
        for page in range(_PAGES):
            query["page"] = page
            listed = _object(
                self._ask("about its calls", lambda client: client.texml.accounts.calls.retrieve_calls(**query))
            )
            for item in listed.get("calls") or []:
                call = read_call(item)
                if call.to == to and _may_be_of(call, begun_at):
                    calls[call.call_sid] = call
            if not (following := listed.get("next_page_uri")):
                break
            if token := parse_qs(urlsplit(str(following)).query).get("PageToken"):
                query["page_token"] = token[0]
        return list(calls.values())

    def fetch(self, call_sid: str) -> FoundCall | None:
        """Return one call, or None if the carrier does not know it: not yet, or no longer."""
        account = self._account
        answer = self._ask(
            "about a call",
            lambda client: client.texml.accounts.calls.retrieve(call_sid, account_sid=account),
            fine=_NOT_FOUND,
        )
        return None if answer is None else read_call(_object(answer))

    def hang_up(self, call_sid: str) -> None:
        """End a call. One that is over already is fine."""
        fine = _NOT_FOUND | {_ENDED_ALREADY}
        answer = self._ask("to hang up", lambda client: client.calls.actions.hangup(call_sid), fine=fine)
        if answer is not None:
            _object(answer)

    def application(self) -> dict[str, Any] | None:
        """Return the TeXML application as Telnyx shows it (`active`, `voice_url`, …), or None if there is none.

        Raises AccountBlocked if it does not take our key, CarrierBusy if it gave no usable answer.
        """
        path = f"/texml_applications/{quote(self._app_id, safe='')}"
        try:
            answer = self._ask("for its application", lambda client: client.get(path, cast_to=object), fine=_NOT_FOUND)
        except CarrierBusy as error:
            if error.status not in _NO_ACCESS:
                raise
            raise AccountBlocked(
                f"Telnyx does not take TELNYX_API_KEY ({error.status}): copy it from the portal"
            ) from error
        if answer is None:
            return None
        application = _object(answer).get("data")
        if not isinstance(application, dict):
            raise CarrierBusy("the carrier's TeXML application could not be read: check TELNYX_BASE_URL")
        return application

    def clock(self) -> datetime:
        """Return what time it is for the carrier, to the second; raises CarrierBusy."""
        response = self._ask("for the time", lambda client: client.get("/whoami", cast_to=httpx.Response))
        try:
            return parsedate_to_datetime(response.headers["date"])
        except (KeyError, ValueError) as error:
            raise CarrierBusy("the carrier does not say what time it is") from error

    def numbers(self) -> dict[str, str]:
        """Return the numbers that this account may call from -> the application that calls to them reach ("" for none).

        Raises CarrierBusy or AccountBlocked if the carrier gave no usable answer.
        """
        listed = self._listed("/phone_numbers")
        owned = {str(one["phone_number"]): str(one.get("connection_id") or "") for one in listed}
        # Numbers of others that they have let us show: calls to them do not come to Telnyx.
        return {str(one["phone_number"]): "" for one in self._listed("/verified_numbers")} | owned

    def _listed(self, path: str) -> Iterator[dict[str, Any]]:
        for page in range(1, _NUMBER_PAGES + 1):
            options: Any = {"params": {"page[number]": page, "page[size]": _NUMBER_PAGE_SIZE}}
            told = self._ask("for its numbers", lambda client, q=options: client.get(path, cast_to=object, options=q))
            answer = _object(told)
            if not isinstance(answer.get("data"), list):
                raise CarrierBusy("the carrier's list of numbers could not be read: check TELNYX_BASE_URL")
            yield from (one for one in answer["data"] if one.get("phone_number") and one.get("status") not in _NOT_OURS)
            if page >= int((answer.get("meta") or {}).get("total_pages") or 1):
                return

    @cached_property
    def _account(self) -> str:
        # The account of TeXML's REST paths is the organization, not the user (/whoami).
        answer = _object(self._ask("about the account", lambda client: client.get("/whoami", cast_to=object)))
        data = answer.get("data", answer)
        account = data.get("organization_id") if isinstance(data, dict) else None
        if account:
            return str(account)
        raise CarrierBusy("the carrier did not say which organization the API key belongs to")

    def _ask(self, what: str, request: "Callable[[telnyx.Telnyx], Any]", *, fine: Collection[int | str] = ()) -> Any:
        """Return what the SDK makes of the answer, or None for an error whose status or code is `fine`.

        Whatever else keeps the carrier from answering is CarrierBusy: asking again later is always harmless.
        """
        import telnyx

        try:
            return request(self._clients[0])
        except (telnyx.TelnyxError, json.JSONDecodeError, UnicodeDecodeError) as error:
            status = error.status_code if isinstance(error, telnyx.APIStatusError) else None
            codes = {one.code for one in errors_of(error.body)} if isinstance(error, telnyx.APIStatusError) else set()
            if not codes.union({status}).isdisjoint(fine):
                return None
            busy = CarrierBusy(f"the carrier could not be asked {what}: {status or ''} {type(error).__name__}")
            busy.status = status
            raise busy from error

    def close(self) -> None:
        """Close the connections."""
        if "_clients" in self.__dict__:
            self._clients[0].close()


def _check(api_key: str, base_url: str) -> None:
    """Raise AccountBlocked if no request can be made at all: sent or not, it would look like a broken connection."""
    if not re.fullmatch("[!-~]+", api_key):
        raise AccountBlocked("TELNYX_API_KEY is empty, or has characters that no key has: copy it from Telnyx's portal")
    try:
        url = httpx.URL(base_url)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host:
        raise AccountBlocked("TELNYX_BASE_URL is no web address: leave it out, or set https://api.telnyx.com/v2")


def _object(answer: Any) -> dict[str, Any]:
    # The SDK hands on a 200 whose body is not a JSON object as it is.
    if to_dict := getattr(answer, "to_dict", None):
        return to_dict(mode="json")
    if not isinstance(answer, dict):
        raise CarrierBusy("the carrier answered 200 with something that is no JSON object: check TELNYX_BASE_URL")
    return answer


def _may_be_of(call: FoundCall, begun_at: datetime) -> bool:
    # An end without a date may be another attempt's; a call that goes on cannot be.
    if call.created_at is None:
        return call.event.state is not CallState.ENDED
    since = (begun_at - CLOCKS_APART).timestamp()
    return since <= call.created_at <= (begun_at + POST_TAKES + CLOCKS_APART).timestamp()
