"""How many bots are warm: what Pipecat Cloud says, and what it says when it cannot."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.responses import Response

from sandbox.agent import rest
from sandbox.pool import Pool
from worker.pipecat.agents import Agents, AgentsAway, read_idle

EXAMPLE: dict[str, Any] = {
    "name": "voice-starter",
    "ready": True,
    "available": True,
    "autoScaling": {"maxReplicas": 10, "minReplicas": 1},
    "activeSessionCount": 2,
    "currentRevision": {"phase": "Active", "readyReplicas": 5},
    "previousRevision": None,
}
"""As the API's reference shows it, cut."""


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@contextmanager
def cloud(url: str, key: str = "sk_right") -> Iterator[Agents]:
    agents = Agents(private_key=key, agent="caller", base_url=url)
    try:
        yield agents
    finally:
        agents.close()


@pytest.mark.parametrize(
    ("changed", "idle"),
    [
        ({}, 3),
        ({"activeSessionCount": 9}, 0),
        ({"available": False}, 0),
        ({"currentRevision": None}, 0),
        ({"autoScaling": {"maxReplicas": 4, "minReplicas": 1}}, 2),
    ],
)
def test_idle_bots_are_those_ready_less_those_in_a_session(changed: dict[str, Any], idle: int) -> None:
    assert read_idle(EXAMPLE | changed) == idle


def test_pipecat_cloud_is_asked_for_our_agent_with_the_private_key() -> None:
    app = FastAPI()
    app.include_router(rest(Pool(warm=7), "sk_right"))
    with serving(app) as url:
        with cloud(url) as agents:
            assert agents.idle() == 7
        with cloud(url, "sk_wrong") as agents, pytest.raises(AgentsAway, match="refuses PIPECAT_PRIVATE_KEY"):
            agents.idle()


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (404, b"{}", "correct PIPECAT_AGENT"),
        (500, b"{}", "answered 500"),
        (200, b"<html>", "not in the form of its documentation"),
        (200, b"[]", "not in the form of its documentation"),
        (200, b'{"available": true}', "not in the form of its documentation"),
    ],
)
def test_a_useless_answer_is_said_in_a_sentence(status: int, body: bytes, sentence: str) -> None:
    app = FastAPI()
    app.get("/v1/agents/caller")(lambda: Response(body, status, media_type="application/json"))
    with serving(app) as url, cloud(url) as agents, pytest.raises(AgentsAway, match=sentence):
        agents.idle()


def test_nobody_who_listens_is_said_in_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    with cloud(url) as agents, pytest.raises(AgentsAway, match="cannot be reached"):
        agents.idle()


async def test_a_call_that_finds_no_warm_bot_waits_for_a_cold_one() -> None:
    pool = Pool(warm=1, cold_s=0.01, replaced_s=0.01)
    assert [await pool.take(), await pool.take()] == [True, False]
    assert pool.details("x")["activeSessionCount"] == 2
    assert read_idle(pool.details("x")) == 0
    pool.leave(was_warm=True)
    pool.leave(was_warm=False)
    for task in list(pool._replacing):
        await task
    assert read_idle(pool.details("x")) == 1
