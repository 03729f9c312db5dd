"""What the world tells us: Telnyx's callbacks, people who ring us, and the bot's reports.

Every route checks who speaks, writes the word down, and answers; concluding is a task. `uvicorn worker.callbacks:app`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Final
from urllib.parse import parse_qsl

import redis
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response

from worker.app import carrier, store
from worker.rules.evidence import CallState
from worker.settings import load_settings
from worker.store import redis_server, witnesses
from worker.telnyx import carrier as telnyx
from worker.web import inbound, reports
from worker.web.body import Body, hear
from worker.web.metrics import MEDIA_TYPE, exposition

log: Final = logging.getLogger(__name__)

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
app.include_router(reports.router)


@app.middleware("http")
async def _say_when_redis_is_away(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    # 503: Telnyx and the bot then tell us again. A 500 would say that their word was at fault.
    try:
        return await call_next(request)
    except redis.RedisError as error:
        log.error("the store cannot be reached: %s", error)  # noqa: TRY400 - the trace says nothing more
        return Response("the store cannot be reached; tell me again\n", 503, {"retry-after": "2"})


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
    if event and event.state is CallState.ENDED and not attempt:
        store().callers.call_ended(event.call_sid)
    if event and (attempt_id := attempt or store().callers.attempt_of(event.call_sid)):
        hear(attempt_id, witnesses.told(event))
    return Response(status_code=200)


@app.post("/telnyx/amd")
def detection(form: Form, attempt: AttemptId = "") -> Response:
    """What answering-machine detection heard."""
    try:
        detected = telnyx.read_detection(form)
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
    hear(attempt, witnesses.detected(detected))
    return Response(status_code=200)


@app.post("/telnyx/inbound")
def ring(form: Form) -> Response:
    """Someone rings us: connect them with the bot, and tell it what we know of them."""
    return Response(inbound.document(form), media_type=XML)


@app.get("/metrics")
def metrics() -> Response:
    """What the dialer is doing, for Prometheus. Not signed: keep it from the outside, as docs/going-live.md says."""
    return Response(exposition(store(), load_settings()), media_type=MEDIA_TYPE)


@app.get("/healthz")
def health() -> dict[str, str]:
    """200 while the store answers, 503 while it does not."""
    store().now()
    return {"status": "ok"}
