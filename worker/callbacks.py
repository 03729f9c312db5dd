"""The callbacks server: what Telnyx, people who ring us and the bot tell us. `uvicorn worker.callbacks:app`.

Every route checks who speaks, records the word, and answers; concluding is a task. The routes are in `worker.web`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import redis
from fastapi import FastAPI, Request, Response

from worker.dialing.collaborators import Dialer
from worker.settings import load_settings
from worker.store import redis_server
from worker.web import metrics, reports, status
from worker.web.body import WithDialer

log: Final = logging.getLogger(__name__)


@asynccontextmanager
async def _lifespan(server: FastAPI) -> AsyncIterator[None]:
    settings = load_settings()
    server.state.dialer = Dialer.of(settings)
    # The server starts even if Redis is bad: its callers then get a 503, and tell us again, instead of no answer at
    # all.
    examination = asyncio.create_task(_examine_redis(settings.store_url))
    yield
    examination.cancel()


async def _examine_redis(url: str) -> None:
    while await asyncio.to_thread(redis_server.examine, url) is None:  # noqa: ASYNC110 - a server has no event to await
        await asyncio.sleep(1)


app = FastAPI(title="dialout callbacks", docs_url=None, redoc_url=None, lifespan=_lifespan)
app.include_router(status.router)
app.include_router(reports.router)
app.include_router(metrics.router)


@app.middleware("http")
async def _say_when_redis_is_away(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    # After a 503, Telnyx and the bot tell us again. A 500 would say that their request was at fault.
    try:
        return await call_next(request)
    except redis.RedisError as error:
        log.error("the store cannot be reached: %s", error)  # noqa: TRY400 - the trace says nothing more
        return Response("the store cannot be reached; tell me again\n", 503, {"retry-after": "2"})


@app.get("/healthz")
def health(dialer: WithDialer) -> dict[str, str]:
    """200 while the store answers, 503 while it does not."""
    dialer.store.now()
    return {"status": "ok"}
