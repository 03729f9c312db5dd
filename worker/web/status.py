"""Routes for Telnyx: the steps of a call, what answering-machine detection heard, people who ring us.

Every request is signed.
"""

from typing import Annotated, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response

from worker.rules.evidence import CallState
from worker.store import witnesses
from worker.telnyx import reading, signature
from worker.telnyx.refusals import Forged
from worker.web import inbound
from worker.web.body import Body, WithDialer

_XML: Final = "application/xml"

router: Final = APIRouter(prefix="/telnyx")


def telnyx_form(request: Request, body: Body, dialer: WithDialer) -> dict[str, str]:
    """Return the form that Telnyx sent; 403 if it was not Telnyx, or not now."""
    try:
        signature.verify(body, request.headers, dialer.settings.telnyx_public_key)
    except Forged as forged:
        raise HTTPException(403, str(forged)) from forged
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError as error:
        raise HTTPException(422, f"the body is not a form: {error}") from error


Form = Annotated[dict[str, str], Depends(telnyx_form)]
AttemptId = Annotated[str, Query(max_length=64)]


@router.post("/status")
def status(dialer: WithDialer, form: Form, attempt: AttemptId = "") -> Response:
    """A step of a call. The callbacks of a call to us carry no attempt id; it is found by the call's sid."""
    store = dialer.store
    try:
        event = reading.read_status(form)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    if event and event.state is CallState.ENDED and not attempt:
        store.callers.call_ended(event.call_sid)
    if event and (attempt_id := attempt or store.callers.attempt_of(event.call_sid)):
        store.attempts.witness(attempt_id, witnesses.told(event))
    return Response(status_code=200)


@router.post("/amd")
def detection(dialer: WithDialer, form: Form, attempt: AttemptId = "") -> Response:
    """What answering-machine detection heard."""
    try:
        detected = reading.read_detection(form)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    dialer.store.attempts.witness(attempt, witnesses.detected(detected))
    return Response(status_code=200)


@router.post("/inbound")
def ring(dialer: WithDialer, form: Form) -> Response:
    """Somebody rings us: connect them with the bot, and tell the bot what we know of them."""
    return Response(inbound.document(dialer.store, dialer.settings, form), media_type=_XML)
