"""The stand-ins for OpenAI, Deepgram and Cartesia, over their wire protocols.

More than 300 lines: all stand-ins of the providers are tried as one process.
"""

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sandbox.audio import ulaw_decode
from sandbox.clips import clip
from sandbox.providers.__main__ import create_app
from sandbox.providers.state import Providers
from tests.lateness import Lateness

FRAME_S = 0.02
QUIET = bytes(320)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        server = uvicorn.Server(uvicorn.Config(create_app(Providers()), log_level="critical", ws_ping_interval=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield f"127.0.0.1:{sock.getsockname()[1]}"
        server.should_exit = True
        thread.join(5)


@pytest.fixture(autouse=True)
def well(address: str) -> Iterator[None]:
    yield
    switch(address, **{name: {"mode": "ok", "latency_ms": 0} for name in ("openai", "deepgram", "cartesia")})


def switch(address: str, **faults: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(f"http://{address}/sandbox/faults", json=faults, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


@asynccontextmanager
async def deepgram(address: str, query: str = "") -> AsyncIterator[ClientConnection]:
    url = f"ws://{address}/v1/listen?encoding=linear16&sample_rate=8000&interim_results=true&model=nova-3&{query}"
    async with connect(url, additional_headers={"Authorization": "Token sandbox"}, ping_interval=None) as ws:
        yield ws


async def say(ws: ClientConnection, sound: bytes, *, quiet_s: float = 0.6) -> float:
    """Send PCMU in real time, then silence; return when the sound ended."""
    samples = ulaw_decode(sound).tobytes()
    begun, ended = time.monotonic(), 0.0
    frames = [samples[at : at + 320] for at in range(0, len(samples), 320)]
    for number, frame in enumerate([*frames, *[QUIET] * round(quiet_s / FRAME_S)]):
        await asyncio.sleep(max(0.0, begun + number * FRAME_S - time.monotonic()))
        await ws.send(frame)
        if number == len(frames) - 1:
            ended = time.monotonic()
    return ended


async def results(ws: ClientConnection, into: list[dict[str, Any]]) -> None:
    try:
        async for message in ws:
            into.append(json.loads(message) | {"at": time.monotonic()})  # noqa: PERF401 - it is read while it grows
    except ConnectionClosed:
        pass


async def until_final(told: list[dict[str, Any]], count: int = 1) -> None:
    """Wait until so many utterances have been told whole."""
    async with asyncio.timeout(60):
        while sum(result["is_final"] for result in told) < count:  # noqa: ASYNC110 - another task appends to the list
            await asyncio.sleep(0.02)


def said(result: dict[str, Any]) -> str:
    return result["channel"]["alternatives"][0]["transcript"]


async def test_words_are_transcribed_while_they_are_spoken_and_when_they_are_over(address: str) -> None:
    told: list[dict[str, Any]] = []
    async with deepgram(address) as ws:
        listening = asyncio.create_task(results(ws, told))
        await say(ws, clip("cannot_talk"))
        await until_final(told)
        listening.cancel()
    assert said(told[-1]) == "I can't talk right now, please call me back later."
    assert told[-1]["is_final"]
    interims = [said(result) for result in told if not result["is_final"]]
    assert len(interims) >= 5
    assert all(said(told[-1]).startswith(words) for words in interims)
    assert interims == sorted(interims, key=len)


async def test_a_transcript_comes_its_latency_after_the_sound_and_holds_up_no_other(address: str) -> None:
    switch(address, deepgram={"latency_ms": 700})
    told: list[dict[str, Any]] = []
    async with deepgram(address) as ws:
        listening = asyncio.create_task(results(ws, told))
        begun = time.monotonic()
        with Lateness() as late:
            ended = await say(ws, clip("comment_wait"), quiet_s=1.2)
            await until_final(told)
        listening.cancel()
    final = next(result for result in told if result["is_final"])
    assert final["at"] - ended == pytest.approx(0.7, abs=0.15 + late.seconds)
    # Interim results have the latency of 0.7 s too, and still come every 0.3 s, not every 0.7 s.
    interims = [result["at"] for result in told if not result["is_final"]]
    assert interims[0] - begun < 0.7 + 0.6 + late.seconds
    assert np.median(np.diff(interims)) == pytest.approx(0.3, abs=0.1 + late.seconds)


async def test_finalize_is_answered_with_what_was_said_so_far_and_the_rest_follows(address: str) -> None:
    told: list[dict[str, Any]] = []
    whole = clip("stop_calling")
    cut = len(whole) // 2 // 160 * 160
    async with deepgram(address) as ws:
        listening = asyncio.create_task(results(ws, told))
        await say(ws, whole[:cut], quiet_s=0)
        await ws.send(json.dumps({"type": "Finalize"}))
        await say(ws, whole[cut:])
        await until_final(told, 2)
        listening.cancel()
    finals = [result for result in told if result["is_final"]]
    assert [result["from_finalize"] for result in finals] == [True, False]
    assert " ".join(map(said, finals)) == "Please stop calling me. Take me off your list."


async def test_deepgram_closes_at_the_first_words_of_the_utterance_that_is_due(address: str) -> None:
    switch(address, deepgram={"mode": "die_mid", "after": 1})
    told: list[dict[str, Any]] = []
    async with deepgram(address) as ws:
        listening = asyncio.create_task(results(ws, told))
        await say(ws, clip("hello"))
        await until_final(told)
        assert [said(result) for result in told if result["is_final"]] == ["Hello?"]
        with pytest.raises(ConnectionClosed):
            await say(ws, clip("no_thanks"))
        await listening
    assert "No" not in " ".join(map(said, told))


async def test_deepgram_says_nothing_to_a_connection_that_was_open_when_it_began_to_hang(address: str) -> None:
    told: list[dict[str, Any]] = []
    async with deepgram(address) as ws:
        listening = asyncio.create_task(results(ws, told))
        await say(ws, clip("hello"))
        await until_final(told)
        heard = len(told)
        switch(address, deepgram={"mode": "hang"})
        await say(ws, clip("hello"))
        await ws.send(json.dumps({"type": "Finalize"}))
        await asyncio.sleep(0.1)
        listening.cancel()
    assert len(told) == heard > 0


async def test_only_one_of_deepgrams_models_is_refused(address: str) -> None:
    switch(address, deepgram={"mode": "500", "only": "nova-3"})
    with pytest.raises(InvalidStatus) as caught:
        async with deepgram(address):
            pass
    assert caught.value.response.status_code == 500
    switch(address, deepgram={"mode": "refuse", "only": "nova-2"})
    async with deepgram(address):
        pass


@asynccontextmanager
async def cartesia(address: str) -> AsyncIterator[ClientConnection]:
    url = f"ws://{address}/tts/websocket"
    async with connect(url, additional_headers={"X-API-Key": "sandbox"}, ping_interval=None) as ws:
        yield ws


async def ask(ws: ClientConnection, text: str, voice: str = "v", context: str = "c") -> None:
    request = {"transcript": text, "context_id": context, "model_id": "sonic", "continue": False,
               "voice": {"mode": "id", "id": voice}, "output_format": {"encoding": "pcm_s16le", "sample_rate": 8000}}  # fmt: skip
    await ws.send(json.dumps(request))


async def spoken(ws: ClientConnection, *, patience_s: float = 60) -> tuple[float, str]:
    """Return the seconds of audio until the context's last message, and that message's type."""
    audio = 0
    while True:
        message = json.loads(await asyncio.wait_for(ws.recv(), patience_s))
        if message["type"] == "chunk":
            audio += len(base64.b64decode(message["data"]))
        if message["done"]:
            return audio / 16_000, message["type"]


async def test_a_voice_dies_after_three_tenths_of_a_second_of_the_utterance_that_is_due(address: str) -> None:
    switch(address, cartesia={"mode": "die_mid", "after": 1})
    async with cartesia(address) as ws:
        await ask(ws, "This one goes well.")
        seconds, _ = await spoken(ws)
        assert seconds > 1
        await ask(ws, "This one breaks off.", context="d")
        chunks: list[dict[str, Any]] = []
        await results(ws, chunks)
        assert sum(len(base64.b64decode(chunk["data"])) for chunk in chunks) == 0.3 * 16_000
        assert ws.close_code == 1011


async def test_only_one_voice_hangs_or_is_refused_and_another_speaks(address: str) -> None:
    async with cartesia(address) as ws:
        switch(address, cartesia={"mode": "hang", "only": "first"})
        await ask(ws, "Nobody hears this.", voice="first")
        with pytest.raises(TimeoutError):
            await spoken(ws, patience_s=1)
        await ask(ws, "They hear this.", voice="second", context="d")
        assert (await spoken(ws))[1] == "done"
        switch(address, cartesia={"mode": "500", "only": "first"})
        await ask(ws, "Nobody hears this.", voice="first", context="e")
        assert (await spoken(ws)) == (0, "error")


async def test_the_first_byte_alone_is_late(address: str) -> None:
    switch(address, cartesia={"latency_ms": 300})
    async with cartesia(address) as ws:
        with Lateness() as late:
            begun = time.monotonic()
            await ask(ws, "One.")
            await ws.recv()
            took_s = time.monotonic() - begun
        assert took_s == pytest.approx(0.3, abs=0.1 + late.seconds)


@pytest.mark.parametrize(("mode", "status"), [("refuse", 403), ("500", 500)])
async def test_a_handshake_is_refused_after_as_many_good_ones_as_were_asked_for(
    address: str, mode: str, status: int
) -> None:
    switch(address, cartesia={"mode": mode, "after": 1})
    async with cartesia(address):
        pass
    with pytest.raises(InvalidStatus) as caught:
        async with cartesia(address):
            pass
    assert caught.value.response.status_code == status


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=60, headers={"Authorization": "Bearer sandbox"}) as client:
        yield client


async def complete(client: httpx.AsyncClient, address: str, model: str = "gpt-4.1", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello?"}], "stream": True}
    return await client.post(f"http://{address}/v1/chat/completions", json=body, **more)


@pytest.mark.parametrize(("mode", "status"), [("refuse", 401), ("500", 500)])
async def test_only_one_model_fails_after_as_many_good_requests_as_were_asked_for(
    client: httpx.AsyncClient, address: str, mode: str, status: int
) -> None:
    switch(address, openai={"mode": mode, "after": 1, "only": "gpt-4.1"})
    assert [(await complete(client, address)).status_code for _ in range(3)] == [200, status, status]
    assert (await complete(client, address, model="gpt-4.1-mini")).status_code == 200


async def test_a_completion_breaks_after_two_tokens(client: httpx.AsyncClient, address: str) -> None:
    switch(address, openai={"mode": "die_mid"})
    tokens: list[str] = []

    async def read(answer: httpx.Response) -> None:
        async for line in answer.aiter_lines():
            tokens.extend([line] if '"content": "' in line else [])

    body = {"model": "m", "messages": [{"role": "user", "content": "Hello?"}], "stream": True}
    async with client.stream("POST", f"http://{address}/v1/chat/completions", json=body) as answer:
        with pytest.raises(httpx.RemoteProtocolError):
            await read(answer)
    assert len(tokens) == 2


async def test_sixteen_slow_completions_wait_side_by_side_and_a_hung_one_holds_up_nobody(
    client: httpx.AsyncClient, address: str
) -> None:
    switch(address, openai={"mode": "hang", "only": "hung", "latency_ms": 400})
    with pytest.raises(httpx.ReadTimeout):
        await complete(client, address, model="hung", timeout=0.2)
    with Lateness() as late:
        begun = time.monotonic()
        answers = await asyncio.gather(*(complete(client, address) for _ in range(16)))
        took_s = time.monotonic() - begun
    assert {answer.status_code for answer in answers} == {200}
    assert 0.4 < took_s < 1.5 + late.seconds, "one after the other would take 6.4 s"


def test_a_switch_that_does_not_exist_is_named(address: str) -> None:
    answer = httpx.post(f"http://{address}/sandbox/faults", json={"openai": {"mood": "bad"}})
    assert answer.status_code == 422
    assert "mood" in answer.json()["error"]
