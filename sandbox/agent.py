"""The stand-in for Pipecat Cloud: it runs any `bot(runner_args)` behind the WebSocket that Pipecat Cloud offers.

    python -m sandbox.agent bot:bot --port 8933

    python -m sandbox.agent bot:bot --warm 10 --replaced-s 30 --cold-s 20

With --warm, only that many calls find a bot at once, and `GET /v1/agents/NAME` says how many bots there are.

It behaves as Pipecat's base image does: it accepts the socket before the bot runs, `?body=` is base64 of JSON, and an
exception of the bot is logged, so that the caller sees a closed socket and nothing else. If the bot's module has a function
`readyz`, it answers /readyz. Unlike the base image, one process takes several calls at once.
"""

import argparse
import asyncio
import base64
import importlib
import inspect
import json
import logging
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, cast

from fastapi import APIRouter, FastAPI, Header, WebSocket
from starlette.responses import JSONResponse, Response

from sandbox.pool import Pool
from sandbox.server import serve

log = logging.getLogger("sandbox.agent")
Bot = Callable[[Any], Awaitable[None]]
Readyz = Callable[[], Any]  # a function or a coroutine function that returns a bool, or a dict with a bool "ready"


def create_app(
    bot: Bot, *, max_sessions: int, readyz: Readyz = lambda: True, pool: Pool | None = None, private_key: str = ""
) -> FastAPI:
    """Return the agent's WebSocket and, with a pool, Pipecat Cloud's REST API, which asks for `private_key`."""
    # Imported here, because the other stand-ins must run where Pipecat is not installed.
    from pipecat.runner.types import WebSocketRunnerArguments

    app = FastAPI(title="Pipecat Cloud stand-in", docs_url=None)
    live: set[str] = set()

    @app.get("/livez")
    async def alive() -> Response:
        return JSONResponse({"status": "ok", "sessions": len(live)})

    @app.get("/readyz")
    async def ready() -> Response:
        answer = readyz()
        if inspect.isawaitable(answer):
            answer = await answer
        is_ready = cast("dict[str, Any]", answer).get("ready", False) if isinstance(answer, dict) else answer
        return JSONResponse({"status": "ok" if is_ready else "not ready"}, 200 if is_ready else 503)

    @app.websocket("/ws/telnyx")
    @app.websocket("/ws")
    async def session(socket: WebSocket) -> None:
        if len(live) >= max_sessions:
            await socket.close(1013)  # closed before it is accepted, which is HTTP 403: the caller hears nothing
            return
        await socket.accept()
        session_id = socket.headers.get("x-daily-session-id") or str(uuid.uuid4())
        arguments = WebSocketRunnerArguments(websocket=socket, body=_body(socket), session_id=session_id)
        live.add(session_id)
        was_warm = await pool.take() if pool else True
        try:
            await bot(arguments)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("the bot failed in session %s", session_id)
        finally:
            live.discard(session_id)
            if pool:
                pool.leave(was_warm=was_warm)

    if pool:
        app.include_router(rest(pool, private_key))
    return app


def rest(pool: Pool, private_key: str) -> APIRouter:
    """Return the part of Pipecat Cloud's REST API that says how many bots an agent has."""
    router = APIRouter()

    @router.get("/v1/agents/{name}")
    async def details(name: str, authorization: Annotated[str, Header()] = "") -> Response:
        if authorization != f"Bearer {private_key}":
            return JSONResponse({"error": "Unauthorized", "code": "401"}, 401)
        return JSONResponse(pool.details(name))

    return router


def _body(socket: WebSocket) -> Any:
    try:
        return json.loads(base64.b64decode(socket.query_params.get("body", "")))
    except ValueError:
        return None


def load(name: str) -> tuple[Bot, Readyz]:
    """Import `package.module:function`; return the bot and the `readyz` of its module, or one that is always ready."""
    path, _, function = name.partition(":")
    module = importlib.import_module(path)
    return getattr(module, function or "bot"), getattr(module, "readyz", lambda: True)


def add_pool_options(parser: argparse.ArgumentParser) -> None:
    """Add the options about warm and cold bots."""
    parser.add_argument("--warm", type=int, help="how many bots are warm; without it, all are")
    parser.add_argument("--cold-s", type=float, default=20.0, help="how long the start of another bot takes")
    parser.add_argument("--replaced-s", type=float, default=30.0, help="how long after its call a used bot is replaced")
    parser.add_argument("--private-key", default="sk_sandbox", help="the key that the REST API asks for")


def pool_of(given: argparse.Namespace) -> Pool | None:
    """Return the pool that the options ask for, or None if they name none."""
    return None if given.warm is None else Pool(given.warm, given.cold_s, given.replaced_s)


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.agent", description="A stand-in for Pipecat Cloud.")
    parser.add_argument("bot", help="package.module:function")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8933, help="0: any free port")
    parser.add_argument("--max-sessions", type=int, default=50)
    add_pool_options(parser)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        bot, readyz = load(given.bot)
    except (ImportError, AttributeError) as error:
        sys.stderr.write(f"cannot import {given.bot}: {error}\n")
        return 1
    app = create_app(
        bot,
        max_sessions=given.max_sessions,
        readyz=readyz,
        pool=pool_of(given),
        private_key=given.private_key,
    )
    return serve(app, given.host, given.port)


if __name__ == "__main__":
    sys.exit(main())
