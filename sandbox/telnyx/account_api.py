"""The rest of Telnyx's REST API that a dialer uses: call control, the account, its numbers and its application."""

import re
from typing import Final
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox.telnyx.calls_api import NUMBER
from sandbox.telnyx.faults import error, not_found
from sandbox.telnyx.requests import body_of, network_of

_DIGITS: Final = re.compile(r"[0-9A-D*#wW]{1,64}")

routes = APIRouter()


@routes.post("/v2/calls/{sid}/actions/{action}")
async def act(sid: str, action: str, request: Request) -> Response:
    """Hang up, press keys, or transfer the call."""
    net = network_of(request)
    call = net.calls.get(unquote(sid))
    net.records.write("action", action=action, call_sid=unquote(sid))
    if call is None:
        return error(422, "90015", "Invalid Call Control ID")
    if call.is_over:
        return error(422, "90018", "Call has already ended")
    body = await body_of(request)
    match action:
        case "hangup":
            call.hang_up("caller")
        case "send_dtmf":
            if not _DIGITS.fullmatch(str(body.get("digits", ""))):
                return error(422, "90014", "digits must be 0-9, A-D, *, #, w or W", "/digits")
            call.sends_digits(str(body["digits"]))
        case "transfer":
            if not NUMBER.fullmatch(str(body.get("to", ""))):
                return error(422, "10016", "Phone number must be in +E.164 format: to", "/to")
            # The document still owns the call. When the bot closes its stream, the verb after <Connect> hangs up.
            call.bridge(str(body["to"]))
        case _:
            return not_found()
    return JSONResponse({"data": {"result": "ok"}})


@routes.get("/v2/calls/{sid}")
async def fetch_live_call(sid: str, request: Request) -> Response:
    """Say whether a call is still alive."""
    call = network_of(request).calls.get(unquote(sid))
    if call is None:
        return not_found()
    data = {"record_type": "call", "call_control_id": call.sid, "is_alive": not call.is_over}
    return JSONResponse({"data": data | {"call_duration": call.seconds, "call_session_id": call.session}})


@routes.get("/v2/whoami")
async def whoami(request: Request) -> Response:
    """Name the organization."""
    organization = network_of(request).organization
    return JSONResponse({"data": {"organization_id": organization, "user_id": organization}})


@routes.get("/v2/phone_numbers")
async def list_numbers(request: Request) -> Response:
    """List the account's numbers, a page at a time."""
    net = network_of(request)
    size = int(request.query_params.get("page[size]", 20))
    page = int(request.query_params.get("page[number]", 1))
    shown = net.numbers[(page - 1) * size : page * size]
    data = [{"phone_number": number, "status": "active", "connection_id": net.app_id} for number in shown]
    pages = -(-len(net.numbers) // size)
    return JSONResponse({"data": data, "meta": {"page_number": page, "page_size": size, "total_pages": pages}})


@routes.get("/v2/verified_numbers")
async def list_verified_numbers() -> Response:
    """List the numbers of others that the account may show: none."""
    return JSONResponse({"data": [], "meta": {"page_number": 1, "page_size": 20, "total_pages": 0}})


@routes.get("/v2/texml_applications/{app_id}")
async def fetch_application(app_id: str, request: Request) -> Response:
    """Return the TeXML application."""
    net = network_of(request)
    if app_id != net.app_id:
        return not_found()
    data = {"id": net.app_id, "record_type": "texml_application", "active": True, "voice_url": net.voice_url}
    return JSONResponse({"data": data | {"status_callback": net.app_status_url}})
