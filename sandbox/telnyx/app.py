"""Telnyx's REST API, as far as a dialer of TeXML calls uses it, and the switches and windows of a test network."""

import asyncio
import io
import json
import random
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from fastapi import FastAPI, Request
from nacl.signing import SigningKey
from starlette.responses import JSONResponse, Response, StreamingResponse

from sandbox.audio import ulaw_decode, write_stereo_wav
from sandbox.people import Town, UnknownPerson
from sandbox.telnyx.call import TERMINAL, Call
from sandbox.telnyx.callbacks import Courier
from sandbox.telnyx.records import Records

_ENUMS: Final = {
    "UrlMethod": ("GET", "POST"),
    "Method": ("GET", "POST"),
    "StatusCallbackMethod": ("GET", "POST"),
    "MachineDetection": ("Enable", "Disable", "DetectMessageEnd"),
    "DetectionMode": ("Premium", "Regular", "PremiumCallScreening"),
}
_RANGES: Final = {"Timeout": (5, 120), "TimeLimit": (30, 14_400), "MachineDetectionTimeout": (500, 60_000)}
_NUMBER: Final = re.compile(r"\+[1-9]\d{6,14}|sip:.+")
_DIGITS: Final = re.compile(r"[0-9A-D*#wW]{1,64}")

FAULTS: Final = {
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
"""Refusals that can be switched on: the call is not placed."""

AFTER: Final = frozenset({"hang", "cut", "502-after", "html", "empty", "broken", "no-sid"})
"""Faults of the answer: the call is placed, and the answer says so badly or not at all."""


@dataclass
class Fault:
    """A fault of call creation: with this probability, for so many requests (None: for ever)."""

    kind: str
    probability: float = 1.0
    count: int | None = None
    seconds: float = 30.0  # of a hang


@dataclass
class Net:
    """The telephone network: its subscribers, its calls, its books."""

    town: Town
    records: Records
    courier: Courier
    api_key: str = "KEYsandbox"
    app_id: str = "2000000000000000001"
    numbers: tuple[str, ...] = ("+12125550100",)
    voice_url: str = ""
    voice_fallback_url: str = ""
    app_status_url: str = ""
    static_texml: str = ""
    dials_per_5s: int = 150
    codec: str = "PCMU"  # of what people say, where a document asks for none
    jitter_s: float = 0.2
    mute: bool = False  # streams open and close, and carry no sound: for many calls at once
    ring_scale: float = 1.0
    list_delay_s: float = 1.0
    record_to: Path | None = None
    base_url: str = ""  # where we are asked: known from the first request
    update_refuses: str = ""  # "json" or "form": a call's update is refused in that form
    organization: str = "61bf923e-5e4d-4595-a110-56190ea18a1b"
    calls: dict[str, Call] = field(default_factory=dict)
    calls_to: defaultdict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.account = self.organization
        self._rings: dict[str, int] = {}
        self._dials: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self.random = random.Random(self.town.seed)  # noqa: S311

    def over_limit(self) -> bool:
        """Count a dial; True if the trailing five seconds hold too many."""
        now = asyncio.get_running_loop().time()
        while self._dials and self._dials[0] <= now - 5:
            self._dials.popleft()
        if len(self._dials) >= self.dials_per_5s:
            return True
        self._dials.append(now)
        return False

    def fault(self) -> Fault | None:
        """Draw the fault that the next request meets, if any."""
        for fault in self.faults:
            if fault.count != 0 and self.random.random() < fault.probability:
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None

    def place(self, to: str, caller_id: str, **details: Any) -> Call:
        """Place a call and let it run."""
        far_end = caller_id if details.get("direction") == "inbound" else to
        ring = self._rings[far_end] = self._rings.get(far_end, 0) + 1
        person = details.pop("person", None) or self.town.person(far_end, ring)
        call = Call(
            self, to, caller_id, person, ring, self.town.dice(far_end, ring), connection_id=self.app_id, **details
        )
        self.calls[call.sid] = call
        self.calls_to[call.to].append(call)
        task = asyncio.create_task(call.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return call

    def over(self, call: Call) -> None:
        """Part of Network: keep what was said, if asked to."""
        if self.record_to and call.ear.heard:
            self.record_to.mkdir(parents=True, exist_ok=True)
            tail = re.sub(r"\W", "", call.sid)[-8:]
            name = f"{call.created_at:%Y%m%dT%H%M%S}-{call.person.name}-{tail}.wav"
            write_stereo_wav(
                self.record_to / name, ulaw_decode(bytes(call.mouth.spoken)), ulaw_decode(bytes(call.ear.heard))
            )

    async def close(self) -> None:
        """Hang up whatever is left, so that the books are complete."""
        for call in self.calls.values():
            call.hang_up("caller")
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=3)
        await self.courier.close()


def error(status: int, code: str, detail: str, pointer: str = "") -> JSONResponse:
    """Return an error as Telnyx words it."""
    entry: dict[str, Any] = {"code": code, "title": detail.split(":", maxsplit=1)[0], "detail": detail}
    if pointer:
        entry["source"] = {"pointer": pointer}
    entry["meta"] = {"url": f"https://developers.telnyx.com/docs/overview/errors/{code}"}
    return JSONResponse({"errors": [entry]}, status)


def _not_found() -> JSONResponse:
    return error(*FAULTS["404"])


def create_app(net: Net) -> FastAPI:
    """Return the network's HTTP side."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await net.close()

    app = FastAPI(title="Telnyx stand-in", lifespan=lifespan, docs_url=None)

    @app.middleware("http")
    async def guard(request: Request, call_next: Any) -> Response:
        net.base_url = net.base_url or str(request.base_url).rstrip("/")
        if request.url.path.startswith("/v2"):
            sent = request.headers.get("authorization")
            if sent is None:
                return _not_found()
            if sent != f"Bearer {net.api_key}":
                return error(401, "10009", "Could not understand the provided credentials.")
        return await call_next(request)

    async def create(request: Request, body: Mapping[str, Any], *, with_sid: bool) -> Response:
        fault = net.fault()
        answer = await placed(body, fault, with_sid=with_sid)
        net.records.write(
            "request",
            method="POST",
            path=request.url.path,
            status=answer.status_code,
            fault=fault.kind if fault else None,
            to=body.get("To"),
            retry_count=request.headers.get("x-stainless-retry-count"),
            call_sid=answer.headers.get("x-call-sid"),
            status_callback=body.get("StatusCallback"),
        )
        if fault and fault.kind == "hang":
            await asyncio.sleep(fault.seconds)
        return answer

    async def placed(body: Mapping[str, Any], fault: Fault | None, *, with_sid: bool) -> Response:
        if fault and fault.kind in FAULTS:
            return error(*FAULTS[fault.kind])
        if fault and fault.kind == "cut-before":
            return _cut()
        if net.over_limit():
            return error(429, "90103", "Dials per second limit exceeded")
        if problem := _invalid(body):
            return problem
        if body["From"] not in net.numbers:
            return error(403, "10010", "Unverified origination number D51")
        url, texml = str(body.get("Url") or net.voice_url), str(body.get("Texml") or "")
        call = net.place(
            str(body["To"]),
            str(body["From"]),
            texml=texml,
            url="" if texml else url,
            fallback_url=str(body.get("FallbackUrl") or ""),
            options=dict(body),
        )
        result = {"from": call.caller_id, "to": call.to, "status": "queued"}
        if with_sid and not (fault and fault.kind == "no-sid"):
            result["call_sid"] = call.sid
        response = _after(fault, result)
        response.headers["x-call-sid"] = call.sid
        return response

    @app.post("/v2/texml/calls/{connection_id}")
    async def create_scoped(connection_id: str, request: Request) -> Response:
        if connection_id != net.app_id:
            return _not_found()
        return await create(request, await _body(request), with_sid=True)

    @app.post("/v2/texml/Accounts/{account}/Calls")
    async def create_account(account: str, request: Request) -> Response:
        body = await _body(request)
        if account != net.account:
            return _not_found()
        if str(body.get("ApplicationSid") or "") != net.app_id:
            return error(422, "10004", "Can't be blank: ApplicationSid", "/ApplicationSid")
        return await create(request, body, with_sid=False)

    def visible(call: Call) -> bool:
        return (datetime.now(UTC) - call.created_at).total_seconds() >= net.list_delay_s

    @app.get("/v2/texml/Accounts/{account}/Calls")
    async def listed(account: str, request: Request) -> Response:
        query = {unquote(name): value for name, value in request.query_params.items()}
        page, size = int(query.get("Page", 0)), int(query.get("PageSize", 50))
        found = [
            call
            for call in reversed(net.calls_to[query["To"]] if "To" in query else list(net.calls.values()))
            if visible(call)
            and query.get("From", call.caller_id) == call.caller_id
            and query.get("Status", call.status) == call.status
            and f"{call.created_at:%Y-%m-%d}" >= query.get("StartTime>", query.get("StartTime_gt", ""))
        ]
        more = len(found) > (page + 1) * size
        path = f"/v2/texml/Accounts/{account}/Calls.json?Page={page + 1}&PageSize={size}"
        calls = [_resource(net, call) for call in found[page * size : (page + 1) * size]]
        return JSONResponse({"calls": calls, "page": page, "page_size": size, "next_page_uri": path if more else None})

    @app.get("/v2/texml/Accounts/{account}/Calls/{sid}")
    async def fetched(account: str, sid: str) -> Response:  # noqa: ARG001 - part of the path
        call = net.calls.get(unquote(sid))
        if call is None or not visible(call):
            return _not_found()
        return JSONResponse(_resource(net, call))

    @app.post("/v2/texml/Accounts/{account}/Calls/{sid}")
    async def updated(account: str, sid: str, request: Request) -> Response:  # noqa: ARG001 - part of the path
        body = await _body(request)
        call = net.calls.get(unquote(sid))
        if call is None:
            return _not_found()
        form = "json" if "json" in request.headers.get("content-type", "") else "form"
        net.records.write("update", call_sid=call.sid, form=form, refused=form == net.update_refuses, body=body)
        if form == net.update_refuses:
            return error(422, "10015", f"Request body could not be read as {form}")
        if call.is_over:
            return error(422, "90018", "Call has already ended")
        if body.get("Status"):
            if body["Status"] != "completed":
                return error(422, "10032", "Status must be one of completed", "/Status")
            call.hang_up("caller")
        else:
            call.redirect(texml=str(body.get("Texml") or ""), url=str(body.get("Url") or ""))
        return JSONResponse(_resource(net, call))

    @app.post("/v2/calls/{sid}/actions/{action}")
    async def act(sid: str, action: str, request: Request) -> Response:
        call = net.calls.get(unquote(sid))
        net.records.write("action", action=action, call_sid=unquote(sid))
        if call is None:
            return error(422, "90015", "Invalid Call Control ID")
        if call.is_over:
            return error(422, "90018", "Call has already ended")
        body = await _body(request)
        match action:
            case "hangup":
                call.hang_up("caller")
            case "send_dtmf":
                if not _DIGITS.fullmatch(str(body.get("digits", ""))):
                    return error(422, "90014", "digits must be 0-9, A-D, *, #, w or W", "/digits")
                call.sends_digits(str(body["digits"]))
            case "transfer":
                if not _NUMBER.fullmatch(str(body.get("to", ""))):
                    return error(422, "10016", "Phone number must be in +E.164 format: to", "/to")
                # The document still owns the call: when the bot closes its stream, what follows <Connect> ends it all.
                call.bridge(str(body["to"]))
            case _:
                return _not_found()
        return JSONResponse({"data": {"result": "ok"}})

    @app.get("/v2/calls/{sid}")
    async def live(sid: str) -> Response:
        call = net.calls.get(unquote(sid))
        if call is None:
            return _not_found()
        data = {"record_type": "call", "call_control_id": call.sid, "is_alive": not call.is_over}
        return JSONResponse({"data": data | {"call_duration": call.seconds, "call_session_id": call.session}})

    @app.get("/v2/whoami")
    async def whoami() -> Response:
        return JSONResponse({"data": {"organization_id": net.organization, "user_id": net.organization}})

    @app.get("/v2/phone_numbers")
    async def numbers(request: Request) -> Response:
        size = int(request.query_params.get("page[size]", 20))
        page = int(request.query_params.get("page[number]", 1))
        shown = net.numbers[(page - 1) * size : page * size]
        data = [{"phone_number": number, "status": "active", "connection_id": net.app_id} for number in shown]
        pages = -(-len(net.numbers) // size)
        return JSONResponse({"data": data, "meta": {"page_number": page, "page_size": size, "total_pages": pages}})

    @app.get("/v2/verified_numbers")
    async def verified() -> Response:
        return JSONResponse({"data": [], "meta": {"page_number": 1, "page_size": 20, "total_pages": 0}})

    @app.get("/v2/texml_applications/{app_id}")
    async def application(app_id: str) -> Response:
        if app_id != net.app_id:
            return _not_found()
        data = {"id": net.app_id, "record_type": "texml_application", "active": True, "voice_url": net.voice_url}
        return JSONResponse({"data": data | {"status_callback": net.app_status_url}})

    _add_switches(app, net)
    return app


def _add_switches(app: FastAPI, net: Net) -> None:
    """Add what a real network does not have: its inside."""

    @app.get("/sandbox/health")
    async def health() -> dict[str, int]:
        return {"calls": len(net.calls), "live": sum(not call.is_over for call in net.calls.values())}

    @app.get("/sandbox/calls")
    async def calls() -> list[dict[str, Any]]:
        return [call.detail() for call in net.calls.values()]

    @app.get("/sandbox/requests")
    async def requests() -> list[dict[str, Any]]:
        return net.records.of("request")

    @app.get("/sandbox/calls/{sid}")
    async def one(sid: str) -> Response:
        call = net.calls.get(unquote(sid))
        return JSONResponse(call.detail()) if call else _not_found()

    @app.get("/sandbox/recordings/{sid}.wav")
    async def recording(sid: str) -> Response:
        """Both sides of a call: the person on the left, the bot on the right."""
        call = net.calls.get(unquote(sid))
        if call is None:
            return _not_found()
        file = io.BytesIO()
        write_stereo_wav(file, ulaw_decode(bytes(call.mouth.spoken)), ulaw_decode(bytes(call.ear.heard)))
        return Response(file.getvalue(), media_type="audio/wav")

    @app.get("/sandbox/calls/{sid}/heard")
    async def heard(sid: str) -> Response:
        """What the callee heard, as 16-bit samples at 8 kHz."""
        call = net.calls.get(unquote(sid))
        return Response(ulaw_decode(bytes(call.ear.heard)).tobytes() if call else b"", 200 if call else 404)

    @app.post("/sandbox/people")
    async def people(body: dict[str, str]) -> Response:
        try:
            for number, behaviour in body.items():
                net.town.settle(number, behaviour)
        except UnknownPerson as unknown:
            return JSONResponse({"error": str(unknown)}, 422)
        return JSONResponse({"ok": True})

    @app.post("/sandbox/faults")
    async def faults(body: dict[str, Any]) -> Response:
        """`{"create": [{"kind": "500", "probability": 0.1, "count": 3}], "callbacks": {"drop": 0.1}, "list_delay_s": 1}`.

        Also `"update_refuses": "json"` (or "form", or ""), and of calls to come `"jitter_s"` and `"codec"`, and
        of calls to us `"voice_url"`, or, where that is empty, `"static_texml"`.
        """
        if "create" in body:
            net.faults = [Fault(**fault) for fault in body["create"]]
            if unknown := [f.kind for f in net.faults if f.kind not in {*FAULTS, *AFTER, "cut-before"}]:
                return JSONResponse({"error": f"no such fault: {unknown}"}, 422)
        for name, value in body.get("callbacks", {}).items():
            setattr(net.courier.faults, name, value)
        for name in ("list_delay_s", "voice_url", "jitter_s", "codec", "update_refuses", "static_texml"):
            setattr(net, name, body.get(name, getattr(net, name)))
        return JSONResponse({"ok": True})

    @app.post("/sandbox/ring")
    async def ring(body: dict[str, str]) -> dict[str, str]:
        """Somebody rings one of our numbers."""
        if person := body.get("person"):
            net.town.settle(body["from"], person)
        call = net.place(
            body["to"],
            body["from"],
            direction="inbound",
            url=net.voice_url,
            fallback_url=net.voice_fallback_url,
            texml="" if net.voice_url else net.static_texml,
            options={"StatusCallback": net.app_status_url},
        )
        return {"call_sid": call.sid}


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    if "json" in request.headers.get("content-type", ""):
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}
    return dict(parse_qsl(raw.decode("utf-8", "replace")))


def _invalid(body: Mapping[str, Any]) -> JSONResponse | None:
    for name in ("To", "From"):
        if not body.get(name):
            return error(422, "10004", f"Can't be blank: {name}", f"/{name}")
        if not _NUMBER.fullmatch(str(body[name])):
            return error(422, "10016", f"Phone number must be in +E.164 format: {name}", f"/{name}")
    if body.get("Url") and body.get("Texml"):
        return error(422, "10015", "Url and Texml are mutually exclusive")
    for name, allowed in _ENUMS.items():
        if name in body and body[name] not in allowed:
            return error(422, "10032", f"{name} must be one of {', '.join(allowed)}", f"/{name}")
    for name, (low, high) in _RANGES.items():
        if name in body and not (str(body[name]).isdecimal() and low <= int(body[name]) <= high):
            return error(422, "10026", f"{name} must be an integer from {low} to {high}", f"/{name}")
    return None


def _after(fault: Fault | None, result: dict[str, Any]) -> Response:
    match fault.kind if fault else "":
        case "cut":
            return _cut()
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


def _cut() -> Response:
    """Return an answer that breaks off: the client sees the connection close in its middle."""

    async def nothing() -> AsyncIterator[bytes]:
        yield b"{"
        raise ConnectionAbortedError

    return StreamingResponse(nothing(), headers={"content-length": "100"}, media_type="application/json")


def _resource(net: Net, call: Call) -> dict[str, Any]:
    status = {"queued": "ringing", "initiated": "ringing"}.get(call.status, call.status)
    ended = next((call.times[name] for name in TERMINAL if name in call.times), None)
    return {
        "account_sid": net.account,
        "sid": call.sid,
        "to": call.to,
        "from": call.caller_id,
        "direction": call.direction,
        "status": status,
        "duration": str(call.seconds),
        "answered_by": call.person.answered_by if call.person.answered_by in {"human", "machine"} else "not_sure",
        "date_created": format_datetime(call.created_at),
        "date_updated": format_datetime(ended or call.created_at),
        "start_time": format_datetime(call.created_at),
        "end_time": format_datetime(ended) if ended else None,
        "uri": f"/v2/texml/Accounts/{net.account}/Calls/{call.sid}",
    }


def new_net(*, key: SigningKey, town: Town, records: Records, **details: Any) -> Net:
    """Build a network."""
    return Net(town=town, records=records, courier=Courier(key), **details)
