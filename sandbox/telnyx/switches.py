"""What a real network does not have: routes that show its inside, and switches that make it misbehave."""

import io
from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from sandbox.audio import ulaw_decode, write_stereo_wav
from sandbox.people import UnknownPerson
from sandbox.telnyx.faults import KINDS, CreationFault, not_found
from sandbox.telnyx.requests import network_of

routes = APIRouter(prefix="/sandbox")


@routes.get("/health")
async def health(request: Request) -> dict[str, int]:
    """Count all calls, and those under way."""
    calls = network_of(request).calls
    return {"calls": len(calls), "live": sum(not call.is_over for call in calls.values())}


@routes.get("/calls")
async def list_details(request: Request) -> list[dict[str, Any]]:
    """List the detail records of all calls."""
    return [call.detail() for call in network_of(request).calls.values()]


@routes.get("/requests")
async def list_requests(request: Request) -> list[dict[str, Any]]:
    """List all requests to create a call, with their answers."""
    return network_of(request).records.of("request")


@routes.get("/calls/{sid}")
async def fetch_detail(sid: str, request: Request) -> Response:
    """Return the detail record of one call."""
    call = network_of(request).calls.get(unquote(sid))
    return JSONResponse(call.detail()) if call else not_found()


@routes.get("/recordings/{sid}.wav")
async def recording(sid: str, request: Request) -> Response:
    """Return both sides of a call as WAV: the person on the left, the bot on the right."""
    call = network_of(request).calls.get(unquote(sid))
    if call is None:
        return not_found()
    file, handset = io.BytesIO(), call.handset
    write_stereo_wav(file, ulaw_decode(bytes(handset.mouth.spoken)), ulaw_decode(bytes(handset.ear.heard)))
    return Response(file.getvalue(), media_type="audio/wav")


@routes.get("/calls/{sid}/heard")
async def heard(sid: str, request: Request) -> Response:
    """Return what the person heard, as 16-bit samples at 8 kHz."""
    call = network_of(request).calls.get(unquote(sid))
    sound = ulaw_decode(bytes(call.handset.ear.heard)).tobytes() if call else b""
    return Response(sound, 200 if call else 404)


@routes.post("/people")
async def settle(body: dict[str, str], request: Request) -> Response:
    """Let people live at numbers: `{"+12125550111": "busy>talks"}`."""
    try:
        for number, behaviour in body.items():
            network_of(request).town.settle(number, behaviour)
    except UnknownPerson as unknown:
        return JSONResponse({"error": str(unknown)}, 422)
    return JSONResponse({"ok": True})


@routes.post("/faults")
async def switch_faults(body: dict[str, Any], request: Request) -> Response:
    """`{"create": [{"kind": "500", "probability": 0.1, "count": 3}], "callbacks": {"drop": 0.1}, "list_delay_s": 1}`.

    Also `"update_refuses": "json"` (or "form", or ""). For calls from now on: `"jitter_s"` and `"codec"`. For calls to us:
    `"voice_url"`, and `"static_texml"` for when that is empty.
    """
    net = network_of(request)
    if "create" in body:
        net.faults = [CreationFault(**fault) for fault in body["create"]]
        if unknown := [fault.kind for fault in net.faults if fault.kind not in KINDS]:
            return JSONResponse({"error": f"no such fault: {unknown}"}, 422)
    for name, value in body.get("callbacks", {}).items():
        setattr(net.courier.faults, name, value)
    for name in ("list_delay_s", "voice_url", "jitter_s", "codec", "update_refuses", "static_texml"):
        setattr(net, name, body.get(name, getattr(net, name)))
    return JSONResponse({"ok": True})


@routes.post("/ring")
async def ring(body: dict[str, str], request: Request) -> dict[str, str]:
    """Ring one of our numbers: `{"to": …, "from": …, "person": "talks"}`."""
    net = network_of(request)
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
