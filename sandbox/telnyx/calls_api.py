"""Telnyx's REST API for TeXML calls: create, list, fetch and update."""

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox.telnyx.call import TERMINAL, PhoneCall
from sandbox.telnyx.faults import REFUSALS, CreationFault, cut, error, not_found, spoiled
from sandbox.telnyx.network import Net
from sandbox.telnyx.requests import body_of, network_of

NUMBER: Final = re.compile(r"\+[1-9]\d{6,14}|sip:.+")

_ENUMS: Final = {
    "UrlMethod": ("GET", "POST"),
    "Method": ("GET", "POST"),
    "StatusCallbackMethod": ("GET", "POST"),
    "MachineDetection": ("Enable", "Disable", "DetectMessageEnd"),
    "DetectionMode": ("Premium", "Regular", "PremiumCallScreening"),
}
_RANGES: Final = {"Timeout": (5, 120), "TimeLimit": (30, 14_400), "MachineDetectionTimeout": (500, 60_000)}

routes = APIRouter()


@routes.post("/v2/texml/calls/{connection_id}")
async def create_by_application(connection_id: str, request: Request) -> Response:
    """Place a call for the application in the path; the answer holds the call's sid."""
    if connection_id != network_of(request).app_id:
        return not_found()
    return await _create(request, await body_of(request), with_sid=True)


@routes.post("/v2/texml/Accounts/{account}/Calls")
async def create_by_account(account: str, request: Request) -> Response:
    """Place a call for the application in the body; the answer holds no sid."""
    net, body = network_of(request), await body_of(request)
    if account != net.account:
        return not_found()
    if str(body.get("ApplicationSid") or "") != net.app_id:
        return error(422, "10004", "Can't be blank: ApplicationSid", "/ApplicationSid")
    return await _create(request, body, with_sid=False)


@routes.get("/v2/texml/Accounts/{account}/Calls")
async def list_calls(account: str, request: Request) -> Response:
    """List the calls that match the query, the newest first."""
    net = network_of(request)
    query = {unquote(name): value for name, value in request.query_params.items()}
    page, size = int(query.get("Page", 0)), int(query.get("PageSize", 50))
    found = [
        call
        for call in reversed(net.calls_to[query["To"]] if "To" in query else list(net.calls.values()))
        if _shows(net, call)
        and query.get("From", call.caller_id) == call.caller_id
        and query.get("Status", call.status) == call.status
        and f"{call.created_at:%Y-%m-%d}" >= query.get("StartTime>", query.get("StartTime_gt", ""))
    ]
    more = len(found) > (page + 1) * size
    path = f"/v2/texml/Accounts/{account}/Calls.json?Page={page + 1}&PageSize={size}"
    calls = [_resource(net, call) for call in found[page * size : (page + 1) * size]]
    return JSONResponse({"calls": calls, "page": page, "page_size": size, "next_page_uri": path if more else None})


@routes.get("/v2/texml/Accounts/{account}/Calls/{sid}")
async def fetch_call(account: str, sid: str, request: Request) -> Response:  # noqa: ARG001 - part of the path
    """Return one call."""
    net = network_of(request)
    call = net.calls.get(unquote(sid))
    return JSONResponse(_resource(net, call)) if call and _shows(net, call) else not_found()


@routes.post("/v2/texml/Accounts/{account}/Calls/{sid}")
async def update_call(account: str, sid: str, request: Request) -> Response:  # noqa: ARG001 - part of the path
    """Hang up a call, or replace its document."""
    net, body = network_of(request), await body_of(request)
    call = net.calls.get(unquote(sid))
    if call is None:
        return not_found()
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


async def _create(request: Request, body: Mapping[str, Any], *, with_sid: bool) -> Response:
    net = network_of(request)
    fault = net.fault()
    answer = _placed(net, body, fault, with_sid=with_sid)
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


def _placed(net: Net, body: Mapping[str, Any], fault: CreationFault | None, *, with_sid: bool) -> Response:
    """Place the call, unless something forbids it; return the answer."""
    kind = fault.kind if fault else ""
    if kind in REFUSALS:
        return error(*REFUSALS[kind])
    if kind == "cut-before":
        return cut()
    if net.over_limit():
        return error(*REFUSALS["429"])
    if problem := _invalid(body):
        return problem
    if body["From"] not in net.numbers:
        return error(*REFUSALS["403-D51"])
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
    if with_sid and kind != "no-sid":
        result["call_sid"] = call.sid
    response = spoiled(kind, result)
    response.headers["x-call-sid"] = call.sid
    return response


def _invalid(body: Mapping[str, Any]) -> Response | None:
    for name in ("To", "From"):
        if not body.get(name):
            return error(422, "10004", f"Can't be blank: {name}", f"/{name}")
        if not NUMBER.fullmatch(str(body[name])):
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


def _shows(net: Net, call: PhoneCall) -> bool:
    return (datetime.now(UTC) - call.created_at).total_seconds() >= net.list_delay_s


def _resource(net: Net, call: PhoneCall) -> dict[str, Any]:
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
