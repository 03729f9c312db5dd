"""The dialer as the bot knows it: the doors for its reports, and the carrier's callbacks of each call."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel
from starlette.responses import Response

from campaigns.call import (
    DETECTION_PATH,
    JOINED_PATH,
    OPT_OUT_PATH,
    SIGNATURE_HEADER,
    DetectionAnswer,
    DetectionQuery,
    Joined,
    MessageRefused,
    OptOut,
    Report,
    Script,
    sign_message,
    verify_message,
)
from sandbox.server import bind

DETECTION_HOLD_S: Final = 8.0
"""How long a question after the detection waits for news."""

_HEARD: Final[Mapping[str, str]] = {
    "human": "human",
    "machine": "machine",
    "machine_start": "machine",
    "machine_end_beep": "machine_ready",
    "fax": "fax",
}

Word = TypeVar("Word", bound=BaseModel)


class CallbacksDoor:
    """Takes what is said of each attempt, and keeps it. Lives in the event loop of whoever starts it."""

    def __init__(self, secret: str) -> None:
        self.reports: dict[str, Report] = {}
        self.ended_at: dict[str, float] = {}  # when the carrier said so, Unix seconds, as the other times
        self.reported_at: dict[str, float] = {}  # the first time
        self.joined: dict[str, float] = {}  # when
        self.opted_out: dict[str, float] = {}  # by the call's sid if there was no brief
        self.away = False  # for those who opt out
        self.scripts: dict[str, Script] = {}  # what /briefs answers
        self.refused: list[str] = []  # messages whose signature or form was wrong
        self._secret = secret
        self._detected: dict[str, str] = {}
        self._news: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._ended: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._reported: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._opted_out: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        socket = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{socket.getsockname()[1]}"
        self._socket = socket
        config = uvicorn.Config(self._app(), log_level="critical", access_log=False, timeout_graceful_shutdown=2)
        self._server = uvicorn.Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the doors."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """Close them."""
        self._server.should_exit = True
        if self._serving:
            await self._serving

    async def until_ended(self, attempt_id: str, within_s: float) -> bool:
        """Wait for the carrier's last callback; False if it does not come in time."""
        return await _happens(self._ended[attempt_id], within_s)

    async def until_reported(self, attempt_id: str, within_s: float) -> bool:
        """Wait for the bot's report."""
        return await _happens(self._reported[attempt_id], within_s)

    async def until_opted_out(self, call: str, within_s: float) -> bool:
        """Wait until somebody opts out, on a call named by its attempt, or without a brief by its sid."""
        return await _happens(self._opted_out[call], within_s)

    def _app(self) -> FastAPI:
        app = FastAPI(docs_url=None)

        @app.post("/reports")
        async def report(request: Request) -> Response:
            said = await self._read(request, Report, "report")
            self.reports[said.attempt_id] = said
            self.reported_at.setdefault(said.attempt_id, time.time())
            self._reported[said.attempt_id].set()
            return Response(status_code=200)

        @app.post(f"/reports{JOINED_PATH}")
        async def joined(request: Request) -> Response:
            said = await self._read(request, Joined, "joined")
            self.joined.setdefault(said.attempt_id, time.time())
            return Response(status_code=200)

        @app.post(f"/reports{OPT_OUT_PATH}")
        async def opt_out(request: Request) -> Response:
            said = await self._read(request, OptOut, "opt-out")
            if self.away:
                raise HTTPException(503)
            self.opted_out.setdefault(said.attempt_id or said.call_sid, time.time())
            self._opted_out[said.attempt_id or said.call_sid].set()
            return Response(status_code=200)

        @app.post(f"/reports{DETECTION_PATH}")
        async def detection(request: Request) -> Response:
            asked = await self._read(request, DetectionQuery, "detection")
            answer = DetectionAnswer.model_validate({"answered_by": await self._detection(asked)})
            return self._signed(answer, "detection")

        @app.get("/briefs/{attempt_id}")
        async def script(attempt_id: str) -> Response:
            if attempt_id not in self.scripts:
                raise HTTPException(404)
            return self._signed(self.scripts[attempt_id], "script")

        @app.post("/telnyx/{kind}/{attempt_id}")
        async def carrier(kind: str, attempt_id: str, request: Request) -> Response:
            form = dict(parse_qsl((await request.body()).decode()))
            if kind == "amd":
                self._detected[attempt_id] = _HEARD.get(form.get("AnsweredBy", ""), "")
                self._news[attempt_id].set()
            else:
                self.ended_at[attempt_id] = time.time()
                self._ended[attempt_id].set()
            return Response(status_code=200)

        return app

    async def _read(self, request: Request, kind: type[Word], purpose: str) -> Word:
        body = await request.body()
        given = request.headers.get(SIGNATURE_HEADER, "")
        try:
            verify_message(body, given, self._secret, purpose=purpose, now=time.time())
            return kind.model_validate_json(body)
        except MessageRefused as refused:
            self.refused.append(f"{purpose}: {refused}")
            raise HTTPException(403, str(refused)) from refused
        except ValueError as error:
            self.refused.append(f"{purpose}: {error}")
            raise HTTPException(422, str(error)) from error

    async def _detection(self, asked: DetectionQuery) -> str:
        """Return what is heard beyond what the bot knows already, or nothing new when the time is up."""
        if self._detected.get(asked.attempt_id, "") == asked.known:
            self._news[asked.attempt_id].clear()
            await _happens(self._news[asked.attempt_id], DETECTION_HOLD_S)
        return self._detected.get(asked.attempt_id, "")

    def _signed(self, word: BaseModel, purpose: str) -> Response:
        body = word.model_dump_json().encode()
        signature = sign_message(body, self._secret, purpose=purpose, now=time.time())
        return Response(body, media_type="application/json", headers={SIGNATURE_HEADER: signature})


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    try:
        async with asyncio.timeout(within_s):
            await event.wait()
    except TimeoutError:
        return False
    return True
