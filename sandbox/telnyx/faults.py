"""How Telnyx words its errors, and the faults that a test can switch on for the creation of calls."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import JSONResponse, Response, StreamingResponse

REFUSALS: Final = {
    "429": (429, "90103", "Dials per second limit exceeded"),
    "429-api": (429, "10011", "You have exceeded the maximum number of allowed requests."),
    "500": (500, "10007", "An unexpected error occurred."),
    "503": (503, "10037", "Service unavailable"),
    "401": (401, "10009", "Could not understand the provided credentials."),
    "403": (403, "10010", "Connection has no Outbound Profile assigned D38."),
    "403-D13": (403, "10010", "Dialed number is not included in whitelisted countries D13"),
    "403-D51": (403, "10010", "Unverified origination number D51"),
    "403-D1": (403, "10010", "User channel limit exceeded D1"),
    "404": (404, "10005", "The requested resource or URL could not be found."),
    "funds": (403, "20100", "Insufficient Funds"),
    "channels": (403, "90041", "User termination channels exceeded"),
    "422": (422, "10016", "Phone number must be in +E.164 format"),
}
"""The kinds of fault for which no call is placed: status, code and detail of the answer."""

AFTER: Final = frozenset({"hang", "cut", "502-after", "html", "empty", "broken", "no-sid"})
"""The kinds of fault for which the call is placed, and the answer does not say so."""

KINDS: Final = frozenset({*REFUSALS, *AFTER, "cut-before"})


@dataclass
class CreationFault:
    """A fault in creating calls. It strikes with this probability, `count` times (None: without end)."""

    kind: str
    probability: float = 1.0
    count: int | None = None
    seconds: float = 30.0  # how long "hang" waits before the answer


def error(status: int, code: str, detail: str, pointer: str = "") -> JSONResponse:
    """Return an error as Telnyx words it."""
    entry: dict[str, Any] = {"code": code, "title": detail.split(":", maxsplit=1)[0], "detail": detail}
    if pointer:
        entry["source"] = {"pointer": pointer}
    entry["meta"] = {"url": f"https://developers.telnyx.com/docs/overview/errors/{code}"}
    return JSONResponse({"errors": [entry]}, status)


def not_found() -> JSONResponse:
    """Return Telnyx's answer about a thing that does not exist."""
    return error(*REFUSALS["404"])


def spoiled(kind: str, result: dict[str, Any]) -> Response:
    """Return the answer about a placed call, spoiled by a fault of this kind; "" spoils nothing."""
    match kind:
        case "cut":
            return cut()
        case "502-after":
            return Response("<html>Bad Gateway</html>", 502, media_type="text/html")
        case "html":
            return Response("<html>Welcome</html>", 200, media_type="text/html")
        case "empty":
            return Response(b"", 200)
        case "broken":
            return Response('{"call_sid": "v3:', 200, media_type="application/json")
        case _:
            return JSONResponse(result)


def cut() -> Response:
    """Return an answer that breaks off: the client sees the connection close in the middle of it."""

    async def begin_and_abort() -> AsyncIterator[bytes]:
        yield b"{"
        raise ConnectionAbortedError

    return StreamingResponse(begin_and_abort(), headers={"content-length": "100"}, media_type="application/json")
