"""A bot that says nothing: it joins, holds the line for a while, and reports. `python -m bench.agent --port N --warm 10`."""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from pydantic import BaseModel

from campaigns.call import (
    JOINED_PATH,
    SIGNATURE_HEADER,
    Brief,
    Disposition,
    Joined,
    Report,
    from_parameters,
    sign_message,
)
from sandbox.agent import add_pool_options, pool_of, rest
from sandbox.pool import Pool
from sandbox.server import serve


class Listener:
    """The agent: where calls' streams arrive."""

    def __init__(self, secret: str, talk_s: tuple[float, float], pool: Pool | None, seed: int) -> None:
        self._secret, self._talk_s, self._pool = secret, talk_s, pool
        self._dice = random.Random(seed)
        self._client = httpx.AsyncClient(timeout=10)
        self.sessions: list[dict[str, Any]] = []

    async def session(self, socket: WebSocket) -> None:
        """Hold one call."""
        arrived = time.time()
        await socket.accept()
        brief = from_parameters(await _parameters(socket), self._secret, time.time())
        was_warm = await self._pool.take() if self._pool else True
        kept = {"attempt_id": brief.attempt_id, "arrived": arrived, "silent_s": time.time() - arrived}
        self.sessions.append(kept)
        began = datetime.now(UTC)
        await self._tell(f"{brief.report_url}{JOINED_PATH}", Joined(attempt_id=brief.attempt_id), "joined")
        with suppress(WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(self._dice.uniform(*self._talk_s)):
                while True:
                    await socket.receive_text()
        kept["left"] = time.time()
        if self._pool:
            self._pool.leave(was_warm=was_warm)
        with suppress(RuntimeError):  # the other side was first
            await socket.close()
        await self._tell(brief.report_url, _report(brief, began), "report")

    async def _tell(self, url: str, word: BaseModel, purpose: str) -> None:
        body = word.model_dump_json().encode()
        signature = sign_message(body, self._secret, purpose=purpose, now=time.time())
        for wait_s in (0.2, 1, 3):
            with suppress(httpx.HTTPError):
                answer = await self._client.post(
                    url, content=body, headers={SIGNATURE_HEADER: signature, "content-type": "application/json"}
                )
                if answer.is_success:
                    return
            await asyncio.sleep(wait_s)


async def _parameters(socket: WebSocket) -> dict[str, str]:
    while True:
        message = json.loads(await socket.receive_text())
        if message.get("event") == "start":
            return message["start"]["custom_parameters"]


def _report(brief: Brief, began: datetime) -> Report:
    return Report(
        report_id=brief.attempt_id,
        attempt_id=brief.attempt_id,
        disposition=Disposition.COMPLETED,
        started_at=began,
        ended_at=datetime.now(UTC),
        answered_by="human",
    )


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.agent", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--talk-s", type=float, nargs=2, default=(20.0, 60.0))
    parser.add_argument("--seed", type=int, default=1)
    add_pool_options(parser)
    given = parser.parse_args()
    pool = pool_of(given)
    listener = Listener(os.environ["BRIEF_SECRET"], tuple(given.talk_s), pool, given.seed)
    app = FastAPI(docs_url=None)
    app.websocket("/ws/telnyx")(listener.session)
    app.get("/sessions")(lambda: listener.sessions)
    if pool:
        app.include_router(rest(pool, given.private_key))
    return serve(app, "127.0.0.1", given.port)


if __name__ == "__main__":
    sys.exit(main())
