"""Routes for the bot: what it says of a call, during the call and afterwards, and what it asks.

Every request is signed.
"""

import asyncio
import time
from typing import Final, TypeVar

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from campaigns.call import (
    DETECTION_PATH,
    JOINED_PATH,
    OPT_OUT_PATH,
    SIGNATURE_HEADER,
    DetectionAnswer,
    DetectionQuery,
    Disposition,
    Joined,
    MessageRefused,
    OptOut,
    Report,
    sign_message,
    verify_message,
)
from worker.dialing.collaborators import Dialer
from worker.rules.evidence import AnsweredBy
from worker.settings import Settings
from worker.store import Store, witnesses
from worker.store.values import Reception
from worker.telnyx.refusals import CarrierError
from worker.web import inbound
from worker.web.body import Body, WithDialer

DETECTION_S: Final = 8.0
"""Seconds for which the carrier's detection is awaited before the bot is told that there is nothing yet."""

_LOOK_EVERY_S: Final = 0.25
_waiting: Final = asyncio.Semaphore(500)
"""How many questions may wait for a detection at once: any more are answered at once with what is known."""

Word = TypeVar("Word", Joined, OptOut, DetectionQuery, Report)

router: Final = APIRouter()


@router.post("/reports")
def report(dialer: WithDialer, request: Request, body: Body) -> Response:
    """The bot says what came of a call. Sent again, it changes nothing."""
    store = dialer.store
    heard = _read(Report, body, request, dialer.settings, "report")
    if caller := store.callers.get(heard.attempt_id):
        if heard.disposition is Disposition.DO_NOT_CALL:
            _list(store, caller.phone, heard.attempt_id)
        return Response(status_code=200)
    return _known(store.attempts.witness(heard.attempt_id, witnesses.reported(heard)))


@router.post(f"/reports{JOINED_PATH}")
def joined(dialer: WithDialer, request: Request, body: Body) -> Response:
    """The bot says that it is on the call."""
    store = dialer.store
    heard = _read(Joined, body, request, dialer.settings, "joined")
    if store.callers.get(heard.attempt_id):
        return Response(status_code=200)
    return _known(store.attempts.witness(heard.attempt_id, witnesses.joined(heard)))


@router.post(f"/reports{OPT_OUT_PATH}")
def opt_out(dialer: WithDialer, request: Request, body: Body) -> Response:
    """The person wants no more calls. By the time of the answer the number is listed, and no attempt waits for it."""
    store = dialer.store
    asked = _read(OptOut, body, request, dialer.settings, "opt-out")
    if not asked.attempt_id:
        return _opt_out_caller(dialer, asked.call_sid)
    known = store.callers.get(asked.attempt_id) or store.attempts.case(asked.attempt_id)
    if known is None or not known.phone:
        raise HTTPException(404, "there is no such attempt, or no number that could be listed")
    _list(store, known.phone, asked.attempt_id)
    store.attempts.witness(asked.attempt_id, witnesses.opted_out(asked))
    return Response(status_code=200)


def _opt_out_caller(dialer: Dialer, call_sid: str) -> Response:
    """List the number of somebody who rang us while this server was away, so that the bot had no brief.

    503 asks the bot to say it again later.
    """
    try:
        phone = inbound.caller_on(dialer, call_sid)
    except CarrierError as unknown:
        raise HTTPException(503, str(unknown), {"retry-after": "5"}) from unknown
    if not phone:
        raise HTTPException(404, "there is no such call to us, or it shows no number that could be listed")
    dialer.store.do_not_call.add(phone, f"asked on the call {call_sid}")
    return Response(status_code=200)


@router.post(f"/reports{DETECTION_PATH}")
async def detection(dialer: WithDialer, request: Request, body: Body) -> Response:
    """The bot asks who or what the carrier believes has answered.

    The answer waits a few seconds for news, without a thread.
    """
    store = dialer.store
    query = _read(DetectionQuery, body, request, dialer.settings, "detection")
    if not await run_in_threadpool(_detects, store, query.attempt_id) or _waiting.locked():
        answered_by = await run_in_threadpool(store.attempts.answered_by, query.attempt_id)
    else:
        async with _waiting:
            answered_by = await _news(store, query)
    answer = DetectionAnswer(answered_by=answered_by.value if answered_by else "")
    return _signed(answer.model_dump_json(), dialer.settings, "detection")


async def _news(store: Store, query: DetectionQuery) -> AnsweredBy | None:
    until = time.monotonic() + DETECTION_S
    while True:
        answered_by = await run_in_threadpool(store.attempts.answered_by, query.attempt_id)
        if (answered_by and answered_by != query.known) or time.monotonic() >= until:
            return answered_by
        await asyncio.sleep(_LOOK_EVERY_S)


@router.get("/briefs/{attempt_id}")
def script(dialer: WithDialer, attempt_id: str, request: Request) -> Response:
    """Return the long part of a brief that did not fit into the call's document, signed."""
    store = dialer.store
    _check(attempt_id.encode(), request, dialer.settings, "script")
    found = inbound.script(store, attempt_id)
    if found is None and (case := store.attempts.case(attempt_id)):
        brief = case.campaign.brief(
            case.contact,
            case.zones,
            message_left=case.message_left,
            attempt_id=attempt_id,
            report_url="",
            brief_url="",
            now=store.now(),
        )
        found = brief.script
    if found is None:
        raise HTTPException(404, "there is no such attempt")
    return _signed(found.model_dump_json(), dialer.settings, "script")


def _detects(store: Store, attempt_id: str) -> bool:
    """Tell whether the carrier listens for answering machines on this call; it never does on a call to us."""
    if store.callers.get(attempt_id):
        return False
    case = store.attempts.case(attempt_id)
    if case is None:
        raise HTTPException(404, "there is no such attempt")
    return case.campaign.call.machine_detection and not case.inbound


def _list(store: Store, phone: str, attempt_id: str) -> None:
    if phone:
        store.do_not_call.add(phone, f"asked during {attempt_id}")


def _check(message: bytes, request: Request, settings: Settings, purpose: str) -> None:
    secret = settings.brief_secret.get_secret_value()
    try:
        verify_message(message, request.headers.get(SIGNATURE_HEADER, ""), secret, purpose=purpose, now=time.time())
    except MessageRefused as refused:
        raise HTTPException(403, str(refused)) from refused


def _read(kind: type[Word], body: bytes, request: Request, settings: Settings, purpose: str) -> Word:
    _check(body, request, settings, purpose)
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, f"this is no {kind.__name__}: {error.errors()[0]['msg']}") from error


def _signed(text: str, settings: Settings, purpose: str) -> Response:
    content = text.encode()
    secret = settings.brief_secret.get_secret_value()
    signature = sign_message(content, secret, purpose=purpose, now=time.time())
    return Response(content, media_type="application/json", headers={SIGNATURE_HEADER: signature})


def _known(heard: Reception) -> Response:
    if heard is Reception.UNKNOWN:
        raise HTTPException(404, "there is no such attempt")
    return Response(status_code=200)
