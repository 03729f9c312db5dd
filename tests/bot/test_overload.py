"""A process that holds more calls than the machine can carry says so."""

import asyncio
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from loguru import logger
from websockets.sync.client import connect

from bot.conversation import Conversation
from bot.overload import LATE_S, TICK_S, WINDOW_TICKS, OverloadMonitor
from campaigns.call import Brief, Report, Script, to_parameters
from worker.machine.processes import Processes, free_port, wait_for_port

BLOCKED_S = 0.3
SECRET = "a brief secret"


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged as a warning, line by line."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message).strip()), level="WARNING", format="{message}")
    yield lines
    logger.remove(sink)


def overloads(report: Report) -> list[str]:
    return [problem for problem in report.problems if problem.startswith("overloaded:")]


async def test_each_call_of_a_process_whose_loop_is_blocked_says_so_once_and_the_log_too(log: list[str]) -> None:
    monitor, calls = OverloadMonitor(), [Conversation(None, "v3:a"), Conversation(None, "v3:b")]
    with monitor.carries(calls[0]), monitor.carries(calls[1]):
        for _ in range(WINDOW_TICKS):
            time.sleep(BLOCKED_S)  # noqa: ASYNC251 - on purpose
            await asyncio.sleep(TICK_S / 2)
            if log:
                break
        time.sleep(BLOCKED_S)  # noqa: ASYNC251
        await asyncio.sleep(2 * TICK_S)
    for call in calls:
        (told,) = overloads(call.report())
        assert "ms late (calls in this process: 2)" in told
    (line,) = log
    assert line.startswith("overloaded: the event loop runs ")


async def test_a_call_that_comes_while_the_process_is_overloaded_says_so_with_the_lateness(log: list[str]) -> None:
    monitor, early, late = OverloadMonitor(), Conversation(None, "v3:a"), Conversation(None, "v3:b")
    with monitor.carries(early):
        for _ in range(WINDOW_TICKS):
            monitor.note(2 * LATE_S, 1000.0)
        with monitor.carries(late):
            monitor.note(2 * LATE_S, 1001.0)
    (told,) = overloads(late.report())
    assert f"{2 * LATE_S * 1000:.0f} ms late (calls in this process: 2)" in told
    assert len(log) == 1


async def test_the_log_says_it_again_while_it_lasts_but_not_with_every_measurement(log: list[str]) -> None:
    monitor = OverloadMonitor()
    with monitor.carries(Conversation(None, "v3:a")):
        for now in range(1000, 1100):  # seconds
            for _ in range(WINDOW_TICKS):
                monitor.note(2 * LATE_S, float(now))
    assert len(log) == 10


@pytest.mark.parametrize(
    "late_s", [[0.9 * LATE_S] * 200, [0.0] * 30 + [3.0] + [0.0] * 60], ids=["a little", "one pause"]
)
async def test_a_loop_that_is_a_little_late_or_pauses_once_is_not_overloaded(
    late_s: list[float], log: list[str]
) -> None:
    monitor, call = OverloadMonitor(), Conversation(None, "v3:a")
    with monitor.carries(call):
        for tick, late in enumerate(late_s):
            monitor.note(late, tick * TICK_S)
    assert (overloads(call.report()), log) == ([], [])


async def test_nothing_is_measured_once_the_last_call_is_over() -> None:
    tasks = asyncio.all_tasks()
    monitor = OverloadMonitor()
    with monitor.carries(Conversation(None, "v3:a")):
        with monitor.carries(Conversation(None, "v3:b")):
            assert len(asyncio.all_tasks() - tasks) == 1, "one for all calls"
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks() - tasks) == 1
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == tasks


@pytest.fixture
def reports() -> Iterator[tuple[str, list[Report]]]:
    """Where reports go, and those that came."""
    came: list[Report] = []

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/reports":
                came.append(Report.model_validate_json(said))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Inbox) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/reports", came
        server.shutdown()


@pytest.mark.calls
def test_the_report_of_a_call_that_an_overloaded_agent_held_says_so(
    reports: tuple[str, list[Report]], tmp_path: Path
) -> None:
    url, came = reports
    port, providers = free_port(), free_port()
    environment = {
        "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": f"http://127.0.0.1:{providers}/v1", "DEEPGRAM_API_KEY": "k",
        "DEEPGRAM_BASE_URL": f"ws://127.0.0.1:{providers}", "CARTESIA_API_KEY": "k", "TELNYX_API_KEY": "",
        "CARTESIA_BASE_URL": f"ws://127.0.0.1:{providers}/tts/websocket", "BRIEF_SECRET": SECRET,
    }  # fmt: skip
    brief = Brief(
        attempt_id="abc#1", campaign="c", greeting="Hello, this is a test.", contact={"name": "Ada"}, report_url=url,
        issued_at=int(time.time()), script=Script(instructions="Be brief."),
    )  # fmt: skip
    start = {"call_control_id": "v3:abc", "custom_parameters": to_parameters(brief, SECRET)}
    with Processes(tmp_path) as processes:
        processes.start("providers", ["sandbox.providers", "--port", str(providers), "--key", "k"], {})
        processes.start("agent", ["sandbox.agent", "tests.bot.blocked_agent:bot", "--port", str(port)], environment)
        for each in (providers, port):
            wait_for_port(each, processes, timeout_s=90)
        with connect(f"ws://127.0.0.1:{port}/ws", compression=None) as call:
            call.send(json.dumps({"event": "start", "stream_id": "s", "start": start}))
            deadline = time.monotonic() + 60
            while "overloaded: " not in (tmp_path / "agent.log").read_text("utf-8") and time.monotonic() < deadline:
                time.sleep(0.1)
        while not came and time.monotonic() < deadline:
            time.sleep(0.1)
    (report,) = came
    (told,) = overloads(report)
    assert "ms late (calls in this process: 1)" in told
