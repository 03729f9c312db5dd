"""Calls on the stand-in for Telnyx. The bot is a bare WebSocket, and the person says little."""

import asyncio
import base64
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
import uvicorn
from nacl.signing import SigningKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from websockets.asyncio.server import ServerConnection, serve

from sandbox.audio import alaw_decode, law_tables, loudness, ulaw_decode
from sandbox.clips import clip
from sandbox.people import Town
from sandbox.telnyx.app import create_app
from sandbox.telnyx.call import TERMINAL
from sandbox.telnyx.network import Net, new_net
from sandbox.telnyx.records import Records
from tests.lateness import Lateness

NUMBER, COLLEAGUE = "+12125550111", "+12125550199"
KEY = {"Authorization": "Bearer KEYsandbox"}


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws_ping_interval=None))
        task = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


class NetworkUser:
    """A dialer's side of the network: it dials, and keeps the callbacks."""

    def __init__(self, net: Net, base: str, told: list[dict[str, str]], told_at: str, bot: str, late: Lateness) -> None:
        self.net, self.base, self.told, self.late = net, base, told, late
        self._told_at, self._bot = told_at, bot
        self.client = httpx.AsyncClient(base_url=base, headers=KEY, timeout=60)

    async def dial(self, person: str, **options: Any) -> str:
        self.net.town.settle(NUMBER, person)
        codec = options.pop("codec", "PCMU")
        stream = f'<Stream url="{self._bot}" bidirectionalMode="rtp" codec="{codec}" bidirectionalCodec="{codec}"/>'
        body = {"To": NUMBER, "From": self.net.numbers[0], "StatusCallback": self._told_at, **options,
                "Texml": f"<Response><Connect>{stream}</Connect><Hangup/></Response>"}  # fmt: skip
        if "MachineDetection" in options:
            body |= {"AsyncAmd": "true", "AsyncAmdStatusCallback": self._told_at}
        return (await self.client.post(f"/v2/texml/calls/{self.net.app_id}", json=body)).json()["call_sid"]

    async def until(self, sid: str, done: Callable[[dict[str, Any]], Any], within: float = 120) -> dict[str, Any]:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            call = (await self.client.get(f"/sandbox/calls/{sid}")).json()
            if done(call):
                return call
            await asyncio.sleep(0.05)
        pytest.fail(f"it never came to that: {call}")

    async def ended(self, sid: str) -> dict[str, Any]:
        """Wait until the call is over and its last callback has arrived."""

        def is_over(call: dict[str, Any]) -> bool:
            told = [form for form in self.told if form["CallSid"] == sid and form.get("CallStatus") in TERMINAL]
            return bool(call["ended_at"] and told)

        return await self.until(sid, is_over)

    async def update(self, sid: str, **form: Any) -> httpx.Response:
        return await self.client.post(f"/v2/texml/Accounts/{self.net.account}/Calls/{sid}", **form)


Bot = Callable[[ServerConnection], Awaitable[None]]


async def listens(ws: ServerConnection) -> None:
    async for _ in ws:
        pass


@asynccontextmanager
async def phone(bot: Bot = listens) -> AsyncIterator[NetworkUser]:
    told: list[dict[str, str]] = []

    async def callback(request: Request) -> Response:
        told.append(dict(parse_qsl((await request.body()).decode())))
        return Response()

    net = new_net(key=SigningKey.generate(), town=Town(1), records=Records(), ring_scale=0.1)
    late = Lateness()
    async with (
        serve(bot, "127.0.0.1", 0) as agent,
        served(Starlette(routes=[Route("/told", callback, methods=["POST"])])) as told_at,
        served(create_app(net)) as base,
    ):
        port = agent.sockets[0].getsockname()[1]
        phone = NetworkUser(net, base, told, f"{told_at}/told", f"ws://127.0.0.1:{port}/", late)
        try:
            with late:
                yield phone
        finally:
            await phone.client.aclose()


def streams(call: dict[str, Any]) -> Any:
    return call["stream"] and call["stream"]["start_sent_at"]


async def test_an_update_with_dial_puts_them_through_and_the_call_goes_on_without_the_bot() -> None:
    async with phone() as dialer:
        sid = await dialer.dial("silent")
        await dialer.until(sid, streams)
        document = f"<Response><Dial><Number>{COLLEAGUE}</Number></Dial><Hangup/></Response>"
        answer = await dialer.update(sid, data={"Texml": document})
        assert answer.status_code == 200
        call = await dialer.ended(sid)
    assert call["bridged_to"] == COLLEAGUE
    assert 3 <= call["bridged_s"] < 8 + dialer.late.seconds
    assert call["status"] == "completed"
    assert call["stream"]["ended_at"] < call["ended_at"]
    assert call["stream"]["timeline"][-1]["what"] == "stop"
    assert call["verbs"] == ["Connect", "Dial", "Hangup"]


async def test_a_person_is_not_bridged_with_a_busy_number() -> None:
    async with phone() as dialer:
        dialer.net.town.settle(COLLEAGUE, "busy")
        sid = await dialer.dial("silent")
        await dialer.until(sid, streams)
        await dialer.update(sid, json={"Texml": f"<Response><Dial>{COLLEAGUE}</Dial></Response>"})
        call = await dialer.ended(sid)
    assert call["dial_status"] == "busy"
    assert "bridged_to" not in call


@pytest.mark.parametrize("form", ["json", "form"])
async def test_an_update_may_be_refused_in_one_form_and_taken_in_the_other(form: str) -> None:
    async with phone() as dialer:
        await dialer.client.post("/sandbox/faults", json={"update_refuses": form})
        sid = await dialer.dial("silent")
        await dialer.until(sid, streams)
        document = {"Texml": "<Response><Hangup/></Response>"}
        answers = {"json": await dialer.update(sid, json=document), "form": await dialer.update(sid, data=document)}
        await dialer.ended(sid)
    assert {name: answer.status_code for name, answer in answers.items()} == {"json": 200, "form": 200} | {form: 422}


async def test_the_transfer_action_leaves_the_document_in_charge() -> None:
    """The trap of pipecat-ai/docs#986: the bot leaves, so the document goes on and hangs up on the two who talk."""
    leave = asyncio.Event()

    async def bot(ws: ServerConnection) -> None:
        async for _ in ws:
            if leave.is_set():
                return

    async with phone(bot) as dialer:
        sid = await dialer.dial("silent")
        await dialer.until(sid, streams)
        action = await dialer.client.post(f"/v2/calls/{sid}/actions/transfer", json={"to": COLLEAGUE})
        assert action.json() == {"data": {"result": "ok"}}
        await asyncio.sleep(0.5)
        leave.set()
        call = await dialer.ended(sid)
    assert call["bridged_to"] == COLLEAGUE
    assert call["bridged_s"] < 2 + dialer.late.seconds


async def test_keys_that_the_bot_presses_are_noted_and_nonsense_is_refused() -> None:
    async with phone() as dialer:
        sid = await dialer.dial("silent")
        await dialer.until(sid, streams)
        actions = f"/v2/calls/{sid}/actions/send_dtmf"
        assert (await dialer.client.post(actions, json={"digits": "1w2#"})).status_code == 200
        refused = await dialer.client.post(actions, json={"digits": "one"})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "90014")
        await dialer.client.post(f"/v2/calls/{sid}/actions/hangup", json={})
        call = await dialer.ended(sid)
    assert call["dtmf_sent"] == "1w2#"
    assert "dtmf 1w2#" in [entry["what"] for entry in call["stream"]["timeline"]]


async def test_the_callback_of_a_recorded_call_names_its_recording() -> None:
    async with phone() as dialer:
        sid = await dialer.dial("fax", Record=True)
        await dialer.until(sid, streams)
        await dialer.until(sid, lambda call: call["stream"]["frames_sent"] > 50)
        await dialer.client.post(f"/v2/calls/{sid}/actions/hangup", json={})
        await dialer.ended(sid)
        (end,) = [form for form in dialer.told if form["CallStatus"] == "completed"]
        wav = (await dialer.client.get(end["RecordingUrl"])).content
        silent = await dialer.dial("silent")
        await dialer.until(silent, streams)
        await dialer.client.post(f"/v2/calls/{silent}/actions/hangup", json={})
        await dialer.ended(silent)
    assert wav.startswith(b"RIFF")
    assert len(wav) > 10_000
    assert "RecordingUrl" not in dialer.told[-1]


@pytest.mark.calls
@pytest.mark.parametrize(
    ("person", "answers"),
    [
        ("voicemail", ["machine_start", "machine_end_beep"]),
        ("voicemail_no_beep", ["machine_start", "machine_end_silence"]),
        ("fax", ["fax"]),
        ("silent", ["human"]),
    ],
)
async def test_detection_reports_the_tone_once_it_has_sounded(person: str, answers: list[str]) -> None:
    async with phone() as dialer:
        sid = await dialer.dial(person, MachineDetection="DetectMessageEnd")
        await dialer.until(sid, lambda _: len([f for f in dialer.told if "AnsweredBy" in f]) == len(answers))
        call = (await dialer.client.get(f"/sandbox/calls/{sid}")).json()
        await dialer.client.post(f"/v2/calls/{sid}/actions/hangup", json={})
        await dialer.ended(sid)
    told = [form for form in dialer.told if "AnsweredBy" in form]
    assert [form["AnsweredBy"] for form in told] == answers
    first, last = (int(form["MachineDetectionDuration"]) / 1000 for form in (told[0], told[-1]))
    assert first == pytest.approx(
        {"machine_start": 2.0, "fax": 1.5, "human": 1.2}[answers[0]], abs=0.4 + dialer.late.seconds
    )
    if answers[0] == "machine_start":
        stops = max(entry["t"] for entry in call["stream"]["timeline"] if entry["what"] == "person_stops")
        assert stops < last < stops + 2.2 + dialer.late.seconds


async def test_a_stream_may_use_a_law() -> None:
    heard: list[bytes] = []

    async def bot(ws: ServerConnection) -> None:
        assert json.loads(await ws.recv())["event"] == "connected"
        start = json.loads(await ws.recv())
        assert start["start"]["media_format"]["encoding"] == "PCMA"
        sound = clip("hello").translate(law_tables()[0])
        await ws.send(json.dumps({"event": "media", "media": {"payload": base64.b64encode(sound).decode()}}))
        async for message in ws:
            if (frame := json.loads(message))["event"] == "media":
                heard.append(base64.b64decode(frame["media"]["payload"]))  # noqa: PERF401 - it is read while it grows

    async with phone(bot) as dialer:
        sid = await dialer.dial("fax", codec="PCMA")
        await dialer.until(sid, lambda call: streams(call) and len(heard) > 60)
        await dialer.client.post(f"/v2/calls/{sid}/actions/hangup", json={})
        call = await dialer.ended(sid)
        sound = (await dialer.client.get(f"/sandbox/calls/{sid}/heard")).content
    person = alaw_decode(b"".join(heard))
    assert max(loudness(person[at : at + 800]) for at in range(0, len(person), 800)) == pytest.approx(4240, rel=0.1)
    assert call["heard_s"] > 0.2
    assert len(sound) > 2 * len(ulaw_decode(clip("hello")))


async def test_whoami_names_the_organization() -> None:
    async with phone() as dialer:
        assert (await dialer.client.get("/v2/whoami")).json()["data"]["organization_id"] == dialer.net.account


async def test_the_accounts_numbers_and_its_application_are_listed() -> None:
    async with phone() as dialer:
        numbers = (await dialer.client.get("/v2/phone_numbers", params={"page[number]": 1, "page[size]": 1})).json()
        assert [one["phone_number"] for one in numbers["data"]] == list(dialer.net.numbers[:1])
        assert numbers["meta"]["total_pages"] == len(dialer.net.numbers)
        assert (await dialer.client.get("/v2/verified_numbers")).json()["data"] == []
        app = (await dialer.client.get(f"/v2/texml_applications/{dialer.net.app_id}")).json()["data"]
        assert (app["id"], app["active"]) == (dialer.net.app_id, True)
        assert (await dialer.client.get("/v2/texml_applications/1")).status_code == 404
