"""What the world tells us: Telnyx's callbacks, people who ring us, and the bot's reports.

Every route checks who speaks, writes the word down, and answers; concluding is a task. `uvicorn worker.callbacks:app`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Final, TypeVar
from urllib.parse import parse_qsl

import redis
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from campaigns.call import JOINED_PATH, SIGNATURE_HEADER, Joined, MessageRefused, Report, sign_message, verify_message
from campaigns.templates import RenderError
from worker import briefing, ledger, policy, redis_server, tasks, texml
from worker import carrier as telnyx
from worker.app import carrier, store
from worker.settings import load_settings
from worker.store import Case, Heard

log: Final = logging.getLogger(__name__)

BODY_LIMIT: Final = 1_000_000
"""Bytes. A report with the transcript of an hour is a tenth of it; a callback, a thousandth."""

BODY_S: Final = 10.0
"""Seconds that a body may take. Telnyx and the bot send theirs in one piece, and again if we refuse it."""

_CLOSE: Final = {"connection": "close"}
"""With an answer to half a request: the rest of it is not read."""

XML: Final = "application/xml"


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    # Even on a bad server, what the world says is heard and refused with a 503 rather than not heard at all.
    examination = asyncio.create_task(_examine_redis(load_settings().store_url))
    yield
    examination.cancel()


async def _examine_redis(url: str) -> None:
    while await asyncio.to_thread(redis_server.examine, url) is None:  # noqa: ASYNC110 - a server has no event to await
        await asyncio.sleep(1)


app = FastAPI(title="dialout callbacks", docs_url=None, redoc_url=None, lifespan=_lifespan)


@app.middleware("http")
async def _say_when_redis_is_away(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    # 503: Telnyx and the bot then tell us again. A 500 would say that their word was at fault.
    try:
        return await call_next(request)
    except redis.RedisError as error:
        log.error("the store cannot be reached: %s", error)  # noqa: TRY400 - the trace says nothing more
        return Response("the store cannot be reached; tell me again\n", 503, {"retry-after": "2"})


async def body(request: Request) -> bytes:
    """Return the request's body; 413 as soon as it passes the limit, 408 when its time is up."""
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                received += chunk
                if len(received) > BODY_LIMIT:
                    raise HTTPException(413, f"a body may have {BODY_LIMIT:,} bytes", _CLOSE)
    except TimeoutError as error:
        raise HTTPException(408, f"the body took more than {BODY_S:.0f} s: send it again", _CLOSE) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the body broke off: send it again", _CLOSE) from error
    return bytes(received)


Body = Annotated[bytes, Depends(body)]
Word = TypeVar("Word", Joined, Report)


def telnyx_form(request: Request, body: Body) -> dict[str, str]:
    """Return the form that Telnyx sent; 403 if it was not Telnyx, or not now."""
    try:
        carrier().verify(body, request.headers)
    except telnyx.Forged as forged:
        raise HTTPException(403, str(forged)) from forged
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=200))
    except ValueError as error:
        raise HTTPException(422, f"the body is not a form: {error}") from error


Form = Annotated[dict[str, str], Depends(telnyx_form)]
AttemptId = Annotated[str, Query(max_length=64)]


@app.post("/telnyx/status")
def status(form: Form, attempt: AttemptId = "") -> Response:
    """A step of a call. Inbound calls' callbacks carry no attempt id: their call's sid tells it."""
    try:
        event = telnyx.read_status(form)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    if event and (attempt_id := attempt or store().attempt_of_call(event.call_sid)):
        _hear(attempt_id, ledger.told(event))
    return Response(status_code=200)


@app.post("/telnyx/amd")
def detection(form: Form, attempt: AttemptId = "") -> Response:
    """What answering-machine detection heard."""
    try:
        detected = telnyx.read_detection(form)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    _hear(attempt, ledger.detected(detected))
    return Response(status_code=200)


@app.post("/telnyx/inbound")
def inbound(form: Form) -> Response:
    """Someone rings us: connect them with the bot, and tell it what we know of them."""
    document = None
    last = store().last_attempt_to(form.get("From", ""))
    if last and (case := store().case(last)) and form.get("CallSid"):
        document = _inbound_document(case, form["CallSid"])
    return Response(document or texml.static_document(briefing.stream_url(load_settings())), media_type=XML)


def _inbound_document(case: Case, call_sid: str) -> str | None:
    """Return the document for a contact who rings back, or None if what we know cannot be put into words."""
    settings = load_settings()
    now = store().now()
    called_at = case.evidence.begun_at if case.begun else now
    local = policy.in_zone_of(case.zones, called_at)
    attempt_id = store().answer(case, call_sid, policy.lease(case.campaign))
    try:
        brief = case.campaign.inbound_brief(
            case.contact,
            case.zones,
            attempt_id=attempt_id,
            now=now,
            called_at=f"{local:%-I:%M %p}",
            **briefing.addresses(settings, attempt_id),
        )
        return briefing.document(brief, case.campaign, settings)
    except (RenderError, texml.DocumentTooLong) as error:
        log.warning("%s rang us, and hears the house's greeting: %s", attempt_id, error)
        return None


@app.post("/reports")
def report(request: Request, body: Body) -> Response:
    """The bot says what came of a call. Sent again, it changes nothing."""
    _check(body, request, "report")
    heard = _read(Report, body)
    return _known(_hear(heard.attempt_id, ledger.reported(heard)))


@app.post(f"/reports{JOINED_PATH}")
def joined(request: Request, body: Body) -> Response:
    """The bot says that it is on the call."""
    _check(body, request, "joined")
    heard = _read(Joined, body)
    return _known(_hear(heard.attempt_id, ledger.joined(heard)))


@app.get("/briefs/{attempt_id}")
def script(attempt_id: str, request: Request) -> Response:
    """Return the long part of a brief that did not fit into the call's document, signed."""
    _check(attempt_id.encode(), request, "script")
    case = store().case(attempt_id)
    if case is None:
        raise HTTPException(404, "there is no such attempt")
    render = case.campaign.inbound_brief if case.inbound else case.campaign.brief
    extra = {"called_at": ""} if case.inbound else {}
    brief = render(case.contact, case.zones, attempt_id=attempt_id, report_url="", brief_url="", now=store().now(), **extra)
    text = (brief.script.model_dump_json() if brief.script else "{}").encode()
    secret = load_settings().brief_secret.get_secret_value()
    signature = sign_message(text, secret, purpose="script", now=time.time())
    return Response(text, media_type="application/json", headers={SIGNATURE_HEADER: signature})


@app.get("/healthz")
def health() -> dict[str, str]:
    """200 while the store answers, 503 while it does not."""
    store().now()
    return {"status": "ok"}


def _check(message: bytes, request: Request, purpose: str) -> None:
    secret = load_settings().brief_secret.get_secret_value()
    try:
        verify_message(message, request.headers.get(SIGNATURE_HEADER, ""), secret, purpose=purpose, now=time.time())
    except MessageRefused as refused:
        raise HTTPException(403, str(refused)) from refused


def _read(kind: type[Word], body: bytes) -> Word:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, f"this is no {kind.__name__}: {error.errors()[0]['msg']}") from error


def _known(heard: Heard) -> Response:
    if heard is Heard.UNKNOWN:
        raise HTTPException(404, "there is no such attempt")
    return Response(status_code=200)


def _hear(attempt_id: str, testimony: ledger.Testimony) -> Heard:
    heard = store().witness(attempt_id, testimony)
    if heard is Heard.NEWS:
        try:
            tasks.conclude.delay(attempt_id)
        except OperationalError:
            log.warning("the broker is away; the sweep will conclude %s", attempt_id)
    return heard
