"""Answers of the carrier that are not a success: one exception for each thing that the caller can do next."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx

from campaigns.call import Disposition
from worker.rules.timing import LONGEST_BUSY_S
from worker.telnyx.codes import API_ERRORS, CALLER_ID_REFUSED, Meaning, Refusal, meaning_in
from worker.telnyx.reading import clean, number

if TYPE_CHECKING:
    import telnyx

_CAUTION: Final = (Refusal.AMBIGUOUS, Refusal.ACCOUNT, Refusal.BUSY, Refusal.CALL)
"""The order in which several errors in one answer count: the most cautious reading comes first."""


class CarrierError(Exception):
    """The carrier did not do what was asked. Each kind is named for what the caller does next."""

    left_at: float | None = None
    """With a dial: when it left (see `Dialed.left_at`)."""

    status: int | None = None
    """With any other request: the HTTP status of the answer, if there was one."""


class DialRefused(CarrierError):
    """The carrier will not place this call: settle the attempt with `disposition`."""

    def __init__(self, reason: str, disposition: Disposition) -> None:
        super().__init__(reason)
        self.disposition = disposition


class DialUnconfirmed(CarrierError):
    """We sent the request, and do not know whether a phone rings: never dial this attempt again; evidence decides."""


class DialWithheld(CarrierError):
    """We sent nothing, because the fence said no at the last moment: give the attempt back unspent."""


class CarrierBusy(CarrierError):
    """No phone rang, and one may ring later: give the attempt back unspent, and slow down."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class AccountBlocked(CarrierError):
    """No call of this account gets through: pause the campaign and tell the operator."""


class Forged(CarrierError):
    """The carrier did not sign the request, or signed it too long ago: answer 403 and change nothing."""


@dataclass(frozen=True, slots=True)
class ApiError:
    """One error of the API's envelope. Each part may be empty."""

    code: str
    detail: str
    pointer: str

    @property
    def meaning(self) -> Meaning | None:
        """What the tables in `codes` say of the error; None if they do not have its code."""
        meaning = meaning_in(self.detail) or API_ERRORS.get(self.code)
        if meaning and meaning.about is Refusal.CALL and self.pointer.lower() == "/from":
            return CALLER_ID_REFUSED
        return meaning


def refusal(error: "telnyx.APIStatusError", api_key: str) -> CarrierError:
    """Return what an answer other than a 2xx means for the dial that it answers."""
    status, headers = error.status_code, error.response.headers
    known = [(told, meaning) for told in errors_of(error.body) if (meaning := told.meaning)]
    if not known:
        return _by_status(status, headers)
    told, meaning = min(known, key=lambda pair: _CAUTION.index(pair[1].about))
    detail = clean(told.detail, api_key) or "no detail"
    reason = f"the carrier refused ({status}, {told.code or 'no code'}): {detail}; {meaning.advice}"
    match meaning.about:
        case Refusal.ACCOUNT:
            return AccountBlocked(reason)
        case Refusal.BUSY:
            return CarrierBusy(reason, _wait_s(headers))
        case Refusal.CALL if status < 500:  # noqa: PLR2004
            return DialRefused(reason, meaning.disposition)
        case _:
            return DialUnconfirmed(reason)


def _by_status(status: int, headers: Mapping[str, str]) -> CarrierError:
    match status:
        case 429:
            return CarrierBusy("the carrier asks us to slow down (429)", _wait_s(headers))
        case 401 | 403 | 404:
            return AccountBlocked(f"the carrier refused ({status}): check TELNYX_API_KEY and TELNYX_TEXML_APP_ID")
        case 402:
            return AccountBlocked("the carrier wants to be paid (402): add funds, then resume the campaign")
        case _ if 300 <= status < 400:  # noqa: PLR2004
            return AccountBlocked(f"the carrier's API redirects ({status}): correct TELNYX_BASE_URL")
        case _ if status >= 500 or status in {408, 409}:  # noqa: PLR2004
            return DialUnconfirmed(f"the carrier failed while it took the call ({status})")
        case _:
            return DialRefused(f"the carrier refused ({status}) and did not say why", Disposition.FAILED)


def unreached(error: "telnyx.APIConnectionError") -> CarrierError:
    """Return what a missing answer means: no phone rang if the request never left; otherwise nobody knows."""
    cause = error.__cause__
    if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError):
        return CarrierBusy(f"the carrier cannot be reached ({type(cause).__name__}): check the network")
    return DialUnconfirmed(f"the connection to the carrier broke after the request ({type(cause).__name__})")


def errors_of(body: object) -> list[ApiError]:
    """Return the errors in an answer's body; an empty list if the body is not an error envelope."""
    errors = body.get("errors") if isinstance(body, dict) else None
    found: list[ApiError] = []
    for error in errors if isinstance(errors, list) else []:
        if isinstance(error, dict):
            source = error.get("source")
            pointer = source.get("pointer") if isinstance(source, dict) else ""
            detail = error.get("detail") or error.get("title")
            found.append(ApiError(str(error.get("code") or ""), str(detail or ""), str(pointer or "")))
    return found


def _wait_s(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds the carrier asks us to wait, if it says so in seconds."""
    for name in ("retry-after", "x-ratelimit-reset"):
        wait = number(headers.get(name))
        if wait is not None and 0 < wait <= LONGEST_BUSY_S:
            return wait
    return None
