"""Bad input for the agent: a stream that is no call of ours is refused before a provider is asked, and garbage in a call is skipped.

More than 300 lines: all kinds of garbage meet one running agent.
"""

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from bot.settings import BotSettings
from bot.stream import HANDSHAKE_S, Start
from bot.telnyx import CallControl, TelnyxStream
from campaigns.call import Brief, Disposition, Report, Script, to_parameters
from tests.search import examples
from worker.machine.processes import Processes, free_port, wait_for_port

pytestmark = pytest.mark.calls

SECRET = "a brief secret"
PATIENCE_S = 300.0
"""No verdict hangs on this: it ends what would never end."""

CONNECTED = {"event": "connected", "version": "1.0.0"}
FORMAT = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
SILENCE = base64.b64encode(b"\xff" * 160).decode()
MEDIA = {"event": "media", "media": {"track": "inbound", "chunk": "1", "timestamp": "20", "payload": SILENCE}}
NINE = {"event": "dtmf", "dtmf": {"digit": "9"}}


@dataclass(frozen=True)
class AgentProcess:
    """The agent as its own process, and where its providers would be."""

    url: str
    log: Path
    providers: str

    @property
    def sessions(self) -> int:
        return httpx.get(self.url.replace("ws://", "http://").replace("/ws", "/livez")).json()["sessions"]


def start_agent(processes: Processes, folder: Path, name: str, providers: str) -> AgentProcess:
    port = free_port()
    environment = {
        "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"http://{providers}/v1", "DEEPGRAM_API_KEY": "k",
        "DEEPGRAM_BASE_URL": f"ws://{providers}", "CARTESIA_API_KEY": "k", "TELNYX_API_KEY": "",
        "CARTESIA_BASE_URL": f"ws://{providers}/tts/websocket", "BRIEF_SECRET": SECRET, "LOGURU_LEVEL": "INFO",
    }  # fmt: skip
    processes.start(name, ["sandbox.agent", "bot:bot", "--port", str(port)], environment)
    wait_for_port(port, processes, timeout_s=PATIENCE_S)
    return AgentProcess(f"ws://127.0.0.1:{port}/ws", folder / f"{name}.log", providers)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Processes, Path]]:
    folder = tmp_path_factory.mktemp("agents")
    with Processes(folder) as processes:
        yield processes, folder


@pytest.fixture(scope="module")
def nobody() -> Iterator[socket.socket]:
    """A socket where the agent would find its providers. A connection to it waits to be accepted, and so is noticed."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        sock.settimeout(0.2)
        yield sock


@pytest.fixture(scope="module")
def door(processes: tuple[Processes, Path], nobody: socket.socket) -> AgentProcess:
    """An agent whose providers must not be called."""
    return start_agent(*processes, "door", f"127.0.0.1:{nobody.getsockname()[1]}")


@pytest.fixture(scope="module")
def agent(processes: tuple[Processes, Path]) -> AgentProcess:
    """An agent that can hold a call."""
    port = free_port()
    processes[0].start("providers", ["sandbox.providers", "--port", str(port), "--key", "k"], {})
    wait_for_port(port, processes[0], timeout_s=PATIENCE_S)
    return start_agent(*processes, "agent", f"127.0.0.1:{port}")


@pytest.fixture(autouse=True)
def unharmed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test, no call is left, and nothing was raised."""
    if not (used := {"door", "agent"} & set(request.fixturenames)):
        yield
        return
    agent: AgentProcess = request.getfixturevalue(used.pop())
    said_before = len(agent.log.read_text("utf-8"))
    yield
    deadline = time.monotonic() + PATIENCE_S
    while agent.sessions and time.monotonic() < deadline:
        time.sleep(0.1)
    assert agent.sessions == 0
    said = agent.log.read_text("utf-8")[said_before:]
    assert "Traceback" not in said, said
    assert "never retrieved" not in said, said


@pytest.fixture(scope="module")
def reports() -> Iterator[tuple[str, list[Report]]]:
    """The URL for reports, and the reports that have arrived."""
    came: list[Report] = []

    class ReportDoor(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/reports":
                came.append(Report.model_validate_json(said))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), ReportDoor) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/reports", came
        server.shutdown()


def start(**changes: Any) -> dict[str, Any]:
    return {
        "event": "start", "stream_id": "s", "sequence_number": "1",
        "start": {"call_control_id": "v3:abc", "custom_parameters": {}, "media_format": FORMAT} | changes,
    }  # fmt: skip


def send(call: ClientConnection, message: Any) -> None:
    call.send(message if isinstance(message, str | bytes) else json.dumps(message))


def verdict(agent: AgentProcess, *messages: Any, within_s: float = PATIENCE_S) -> int | None:
    """Send messages; return the code with which the agent closes the stream, or None if it speaks instead."""
    with connect(agent.url, compression=None) as call:
        with suppress(ConnectionClosed):
            for message in messages:
                send(call, message)
        try:
            call.recv(timeout=within_s)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None
    return None


# --- before the call ----------------------------------------------------------------------------------------------------

NO_STARTS: dict[str, list[Any]] = {
    "no JSON": ["hello"],
    "nothing": [""],
    "half an object": ['{"event": "start"'],
    "binary": [b"\x00\xff"],
    "a start in a binary frame": [json.dumps(start()).encode()],
    "too deep": ["[" * 100_000],
    "a number too long": ["9" * 100_000],
    "too long": [json.dumps(start() | {"x": "y" * 300_000})],
    "no objects": ["[]", "5", "null", '"start"', "true"],
    "only media": [MEDIA] * 5,
    "only connected": [CONNECTED] * 5,
    "events of other kinds": [{"event": event} for event in ({}, [], None, 5, "Start")],
    "a start without a call": [start(call_control_id=None)],
    "a call without a name": [start(call_control_id="")],
    "a call that is no text": [start(call_control_id={"a": 1})],
    "a call that is a path": [start(call_control_id="../messages?x=")],
    "a call of another line": [start(call_control_id="v3:a\r\nx: y")],
    "a call with a long name": [start(call_control_id="v" * 1000)],
    "a start that is empty": [{"event": "start"}],
    "a start that is a list": [{"event": "start", "start": [1]}],
    "a start that is text": [{"event": "start", "start": "call_control_id"}],
    "another codec": [start(media_format=FORMAT | {"encoding": "OPUS"})],
    "no codec": [start(media_format=FORMAT | {"encoding": None})],
    "a codec that is none": [start(media_format=FORMAT | {"encoding": ["PCMU"]})],
    "another rate": [start(media_format=FORMAT | {"sample_rate": 16000})],
    "a rate that is none": [start(media_format=FORMAT | {"sample_rate": {}})],
    "parameters that are a number": [start(custom_parameters=5)],
    "parameters that are a list of numbers": [start(custom_parameters=[1, 2])],
    "parameters that are a text": [start(custom_parameters="attempt_id")],
    "parameters that are a deep text": [start(custom_parameters="[" * 100_000)],
    "parameters without a signature": [start(custom_parameters={"attempt_id": "a#1"})],
    "a signature that is no text": [start(custom_parameters={"signature": {"a": [1]}})],
    "a signature that is no Unicode": [start(custom_parameters={"signature": "\ud800"})],
    "a name that is no Unicode": [start(custom_parameters={"\ud800": "\udfff"})],
    "values that are no texts": [start(custom_parameters={"issued_at": 1, "contact": {"a": None}, "x": 1e999})],
}


@pytest.mark.parametrize("messages", NO_STARTS.values(), ids=NO_STARTS)
def test_what_is_no_call_of_ours_is_refused_before_anybody_is_asked_anything(
    door: AgentProcess, nobody: socket.socket, messages: list[Any]
) -> None:
    assert verdict(door, *messages) == 1008
    with pytest.raises(TimeoutError):
        nobody.accept()
    assert "refused a stream" in door.log.read_text("utf-8")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters(categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
starts = st.dictionaries(
    st.sampled_from(["call_control_id", "media_format", "custom_parameters"]) | st.text(), anything
)
unsigned = st.dictionaries(st.text(), anything, min_size=1).filter(lambda given: None not in given.values())


@examples(60)
@given(
    message=anything.map(json.dumps)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | starts.map(lambda changes: json.dumps(start(**(changes | {"call_control_id": ".."}))))
    | unsigned.map(lambda given: json.dumps(start(custom_parameters=given)))
)
def test_whatever_comes_first_is_refused(door: AgentProcess, nobody: socket.socket, message: str | bytes) -> None:
    assert verdict(door, message, *[CONNECTED] * 4) == 1008


def test_whoever_says_nothing_is_not_waited_for(door: AgentProcess, nobody: socket.socket) -> None:
    began = time.monotonic()
    assert verdict(door, CONNECTED) == 1008
    assert time.monotonic() - began > HANDSHAKE_S - 1
    with pytest.raises(TimeoutError):
        nobody.accept()


def leave(call: ClientConnection, how: str) -> None:
    if how == "closed":
        call.close()
    else:
        call.socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("how", ["closed", "cut"])
@pytest.mark.parametrize("said", [[], [CONNECTED]], ids=["nothing", "connected"])
def test_whoever_leaves_before_the_call_has_begun_harms_nobody(
    door: AgentProcess, nobody: socket.socket, how: str, said: list[Any]
) -> None:
    with connect(door.url, compression=None) as call:
        for message in said:
            send(call, message)
        leave(call, how)


# --- within the call ----------------------------------------------------------------------------------------------------


def briefed(reports: str) -> dict[str, str]:
    brief = Brief(
        attempt_id="abc#1", campaign="c", greeting="Hello, this is a test.", contact={"name": "Ada"}, report_url=reports,
        issued_at=int(time.time()), script=Script(instructions="Be brief."),
    )  # fmt: skip
    return to_parameters(brief, SECRET)


def media(**changes: Any) -> dict[str, Any]:
    return {"event": "media", "media": MEDIA["media"] | changes}


GARBAGE: list[Any] = [
    "", "hello", "{", "[]", "5", "null", '"x"', "true", "[" * 100_000, "9" * 100_000, b"", b"\xff\x00", b"{}",
    {}, {"event": None}, {"event": []}, {"event": {}}, {"event": "nothing"}, {"event": "connected"}, {"event": "clear"},
    {"event": "media"}, {"event": "media", "media": None}, {"event": "media", "media": []}, {"event": "media", "media": 5},
    media(payload=None), media(payload=5), media(payload=[]), media(payload={}), media(payload=""), media(payload="!"),
    media(payload="A"), media(payload="AAAAA"), media(payload="é"), media(payload="\ud800"), media(payload="=" * 99),
    media(payload="/" * 900_000), media(payload="A" * 900_000), media(track=None), media(track=[]), media(track="both"),
    media(track="outbound"), media(timestamp=-1, chunk="x"), media(payload="/w=="),
    {"event": "mark"}, {"event": "mark", "mark": None}, {"event": "mark", "mark": []}, {"event": "mark", "mark": [1]},
    {"event": "mark", "mark": "heard-0"}, {"event": "mark", "mark": 5}, {"event": "mark", "mark": {}},
    {"event": "mark", "mark": {"name": None}}, {"event": "mark", "mark": {"name": []}},
    {"event": "mark", "mark": {"name": "\ud800"}}, {"event": "mark", "mark": {"name": "heard-0"}},
    {"event": "error"}, {"event": "error", "payload": None}, {"event": "error", "mark": [1]},
    *({"event": "dtmf", "dtmf": dtmf} for dtmf in (None, [], "9", 9, {})),
    *({"event": "dtmf", "dtmf": {"digit": digit}} for digit in (None, [], {}, 9, "", "99", "٩", "\ud800", "A", "w")),
    start(), start(custom_parameters=5), {"event": "stop"}, {"event": "stop", "stop": None}, MEDIA,
]  # fmt: skip


def until(
    call: ClientConnection, wanted: Callable[[dict[str, Any]], bool], within_s: float = PATIENCE_S
) -> dict[str, Any]:
    deadline = time.monotonic() + within_s
    while True:
        message = json.loads(call.recv(timeout=max(0.1, deadline - time.monotonic())))
        if wanted(message):
            return message


def opt_out(call: ClientConnection) -> None:
    """Press 9, hear the goodbye, say that it was heard, and wait until the agent closes the call."""
    send(call, NINE)
    with suppress(ConnectionClosed):
        send(call, until(call, lambda message: message["event"] == "mark"))
        until(call, lambda _: False)


def hold(agent: AgentProcess, reports: tuple[str, list[Report]], garbage: list[Any]) -> Report:
    """Hold a call with garbage in it, and return its report."""
    url, came = reports
    came.clear()
    with connect(agent.url, compression=None) as call:
        send(call, CONNECTED)
        send(call, start(custom_parameters=briefed(url)))
        until(call, lambda message: message["event"] == "media")
        for number, message in enumerate(garbage):
            send(call, message)
            if number % 4 == 0:
                send(call, MEDIA)
        opt_out(call)
    return reported(came)


def problems_of(report: Report) -> list[str]:
    """Return the report's problems, but for those of a machine that is too slow for the call."""
    return [problem for problem in report.problems if not problem.startswith("overloaded:")]


def reported(came: list[Report]) -> Report:
    deadline = time.monotonic() + PATIENCE_S
    while not came and time.monotonic() < deadline:
        time.sleep(0.1)
    (report,) = came
    return report


def test_garbage_in_mid_call_is_skipped_and_the_call_goes_on(
    agent: AgentProcess, reports: tuple[str, list[Report]]
) -> None:
    report = hold(agent, reports, GARBAGE)
    assert (report.disposition, report.reason) == (Disposition.DO_NOT_CALL, "pressed 9 to opt out")
    assert problems_of(report) == []
    assert report.ended_by == "bot"


@pytest.mark.parametrize("order", [[start()], [MEDIA, start()], [NINE, start(), CONNECTED], ["[]", CONNECTED, start()]])
def test_a_start_in_another_place_is_found_and_greeted(agent: AgentProcess, order: list[Any]) -> None:
    with connect(agent.url, compression=None) as call:
        for message in order:
            send(call, message)
        assert until(call, lambda message: message["event"] == "media")


@pytest.mark.parametrize("how", ["closed", "cut"])
@pytest.mark.parametrize("when", ["at once", "in the greeting"])
def test_a_line_that_breaks_ends_its_call_and_is_reported(
    agent: AgentProcess, reports: tuple[str, list[Report]], how: str, when: str
) -> None:
    url, came = reports
    came.clear()
    with connect(agent.url, compression=None) as call:
        send(call, start(custom_parameters=briefed(url)))
        if when == "in the greeting":
            until(call, lambda message: message["event"] == "media")
        leave(call, how)
    report = reported(came)
    assert report.ended_by == "contact"
    assert report.disposition in {Disposition.FAILED, Disposition.REJECTED}


async def test_a_call_with_the_name_of_a_path_is_hung_up_under_its_own_name() -> None:
    asked: list[str] = []

    class HangUps(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), HangUps) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        there = BotSettings(
            openai_api_key=SecretStr("k"), deepgram_api_key=SecretStr("k"), cartesia_api_key=SecretStr("k"),
            brief_secret=SecretStr("s"), telnyx_api_key=SecretStr("k"), telnyx_base_url=f"http://127.0.0.1:{server.server_port}/v2",
        )  # fmt: skip
        assert await CallControl("v3:a/../../messages", there).hang_up()
        assert await CallControl("v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg", there).hang_up()
        server.shutdown()
    assert asked == [
        "/v2/calls/v3:a%2F..%2F..%2Fmessages/actions/hangup",
        "/v2/calls/v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg/actions/hangup",
    ]


frames = (
    st.binary()
    | anything.map(json.dumps)
    | st.sampled_from(["media", "mark", "dtmf", "error", "stop", "start"]).flatmap(
        lambda event: anything.map(lambda inner: json.dumps({"event": event, event: inner}))
    )
    | anything.map(lambda payload: json.dumps(media(payload=payload)))
    | anything.map(lambda digit: json.dumps({"event": "dtmf", "dtmf": {"digit": digit}}))
    | st.binary().map(lambda audio: json.dumps(media(payload=base64.b64encode(audio).decode())))
)


@examples(400)
@given(data=frames)
@example(data="[" * 5000)
async def test_no_frame_makes_the_serializer_raise(data: str | bytes) -> None:
    stream = TelnyxStream(Start(stream_id="s", call_sid="c", encoding="PCMU", parameters={}))
    await stream.setup(SimpleNamespace(audio_in_sample_rate=8000))
    frame = await stream.deserialize(data)
    audio = getattr(frame, "audio", b"")
    assert len(audio) <= 2 * len(data)


@examples(3)
@given(garbage=st.lists(frames, min_size=50, max_size=100))
def test_no_frames_end_a_call_or_are_a_problem_to_it(
    agent: AgentProcess, reports: tuple[str, list[Report]], garbage: list[str | bytes]
) -> None:
    report = hold(agent, reports, garbage)
    assert (report.disposition, problems_of(report)) == (Disposition.DO_NOT_CALL, [])
