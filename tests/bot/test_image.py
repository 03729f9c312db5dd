"""The agent's image without Docker: the files that bot/Dockerfile copies, the environment that it installs, and a call.

What the base image brings is stood in for by two packages of its fastapi[standard], uvicorn and python-multipart: all
that Pipecat's runner needs, and the bot's group does not have.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from xml.sax.saxutils import quoteattr

import httpx
import numpy as np
import pytest

from campaigns.call import (
    JOINED_PATH,
    SIGNATURE_HEADER,
    Brief,
    Disposition,
    Report,
    Script,
    to_parameters,
    verify_message,
)
from sandbox.__main__ import API_KEY, APP_ID, NUMBER
from sandbox.speech import synthesize
from worker.machine.processes import Processes, SandboxOutput, free_port, wait_for_port

pytestmark = pytest.mark.calls

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "bot/Dockerfile").read_text("utf-8")
EVALS_DOCKERFILE = (ROOT / "bot/evals/Dockerfile").read_text("utf-8")
KEYS = dict.fromkeys(("OPENAI_API_KEY", "DEEPGRAM_API_KEY", "CARTESIA_API_KEY", "BRIEF_SECRET"), "x")
SECRET = "a brief secret"
GREETING = "Hello Ada, this is the automated assistant of Harbour Dental."
CONTACT = "+12125550111"
BASE = ("uvicorn", "python-multipart")
PATIENCE_S = 300


@dataclass(frozen=True)
class Image:
    """What the image would hold in /app."""

    folder: Path

    @property
    def python(self) -> str:
        return str(self.folder / ".venv/bin/python")

    def run(self, script: str, **environment: str) -> str:
        done = subprocess.run(
            [self.python, "-c", script],
            cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


def uv() -> str:
    """Find uv where the Makefile does; `uv run` tells where it is itself."""
    found = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")
    if not Path(found).exists():
        assert "CI" not in os.environ, "uv is missing: make install"
        pytest.skip("uv is missing: make install")
    return found


def assemble(folder: Path, dockerfile: str = DOCKERFILE) -> None:
    """Copy what a Dockerfile's COPY lines name."""
    for words in re.findall(r"^COPY (.+)$", dockerfile, re.MULTILINE):
        *sources, target = words.split()
        if target.endswith("/"):
            (folder / target).mkdir(parents=True, exist_ok=True)
        for file in (file for pattern in sources for file in ROOT.glob(pattern)):
            shutil.copy(file, folder / target)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    image = Image(tmp_path_factory.mktemp("image"))
    binary = uv()
    outer = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    path = f"{image.folder}/.venv/bin:{Path(binary).parent}:{outer['PATH']}"
    settings = dict(
        pair.split("=") for line in re.findall(r"^ENV (.+)$", DOCKERFILE, re.MULTILINE) for pair in line.split()
    )
    # On one disk, a link is as good as the copy that layers need; and compiling 60 packages takes longer than the call.
    settings |= {"UV_LINK_MODE": "hardlink", "UV_COMPILE_BYTECODE": "0", "PATH": path}

    def run(*words: str) -> None:
        done = subprocess.run(
            words, cwd=image.folder, env=outer | settings, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    run(binary, "venv", "--quiet", "--python", sys.executable)
    run(binary, "pip", "install", "--quiet", *BASE)
    assemble(image.folder)
    for command in re.findall(r"^RUN (.+)$", DOCKERFILE, re.MULTILINE):
        words = shlex.split(command)
        run(shutil.which(words[0], path=path) or words[0], *words[1:])
    return image


class ReportsServer(ThreadingHTTPServer):
    """As much of a dialer as takes a report."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ReportsHandler)
        self.joined: list[str] = []
        self.reports: list[Report] = []

    @property
    def report_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/reports"


class ReportsHandler(BaseHTTPRequestHandler):
    server: ReportsServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/reports":
            verify_message(body, self.headers[SIGNATURE_HEADER], SECRET, purpose="report", now=time.time())
            self.server.reports.append(Report.model_validate_json(body))
        elif self.path.endswith(JOINED_PATH):
            self.server.joined.append(json.loads(body)["attempt_id"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        pass


@pytest.fixture
def dialer() -> Iterator[ReportsServer]:
    with ReportsServer() as dialer:
        Thread(target=dialer.serve_forever, daemon=True).start()
        yield dialer
        dialer.shutdown()


@pytest.fixture
def network(tmp_path: Path) -> Iterator[tuple[Processes, dict[str, str]]]:
    """The telephone network and the providers, without an agent: where they are, in settings."""
    people = tmp_path / "people.csv"
    people.write_text(f"phone,person\n{CONTACT},talks\n")
    options = ["--people", str(people), "--telnyx-port", "0", "--providers-port", "0", "--ring-scale", "0.1"]
    with Processes(tmp_path) as processes:
        sandbox = SandboxOutput(processes.start("sandbox", ["sandbox", *options], {}, piped=True))
        yield processes, sandbox.read("# ready")


def texml(stream_url: str, parameters: dict[str, str]) -> str:
    pairs = "".join(f"<Parameter name={quoteattr(n)} value={quoteattr(v)}/>" for n, v in parameters.items())
    stream = f'<Stream url={quoteattr(stream_url)} track="inbound_track" codec="PCMU" bidirectionalMode="rtp">'
    return f"<Response><Connect>{stream}{pairs}</Stream></Connect><Hangup/></Response>"


def hears(heard: bytes, words: str, voice: str) -> bool:
    """Say whether the beginning of the words is in what a telephone played."""
    sound = np.frombuffer(heard, np.int16).astype(float)
    wanted = synthesize(words, voice)[:12_000].astype(float)
    if len(sound) < len(wanted):
        return False
    power = np.sqrt(np.convolve(sound**2, np.ones(len(wanted)), "valid")) * np.linalg.norm(wanted)
    match = np.correlate(sound, wanted, "valid") / np.maximum(power, 1)
    return bool(match.max() > 0.8)


def test_the_image_holds_the_bot_and_nothing_of_the_dialer(image: Image) -> None:
    names = sorted(str(path.relative_to(image.folder)) for path in image.folder.glob("campaigns/*.py"))
    assert names == ["campaigns/__init__.py", "campaigns/call.py"]
    assert not (image.folder / "worker").exists()
    wanted = "celery redis telnyx phonenumbers jinja2 sentry_sdk pipecat_ai_prebuilt questionary uvicorn tzdata pipecat"
    script = f"from importlib.util import find_spec; print(*[name for name in {wanted.split()} if find_spec(name)])"
    assert image.run(script).split() == ["uvicorn", "tzdata", "pipecat"]


def test_the_image_holds_no_eval_harness(image: Image) -> None:
    held = [str(path.relative_to(image.folder)) for path in (image.folder / "bot").rglob("*.py")]
    assert "bot/agent.py" in held
    assert [name for name in held if "eval" in name] == []
    sources = [path.read_text("utf-8") for path in (image.folder / "bot").rglob("*.py")]
    assert [source for source in sources if "pipecat.evals" in source or "bot.evals" in source] == []
    script = "import sys; from bot import bot; print([name for name in sys.modules if 'evals' in name])"
    assert image.run(script, **KEYS).split()[-1] == "[]"


def test_the_image_for_evals_is_the_image_with_the_harness_as_its_entry(image: Image, tmp_path: Path) -> None:
    for package in ("bot", "campaigns"):
        shutil.copytree(image.folder / package, tmp_path / package)
    assemble(tmp_path, EVALS_DOCKERFILE)
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from bot import bot; print('pipecat.evals' in sys.modules)"
    )
    assert image.run(script, **KEYS).split()[-1] == "True"


def test_what_the_base_image_brought_is_still_there(image: Image) -> None:
    """An exact `uv sync` would take away what the base image's own app.py imports."""
    assert "--inexact" in DOCKERFILE
    image.run("import uvicorn, python_multipart")


def test_every_zone_is_known_without_the_systems_own_list(image: Image) -> None:
    script = "import zoneinfo; zoneinfo.reset_tzpath(()); print(zoneinfo.ZoneInfo('America/New_York'))"
    assert image.run(script).strip() == "America/New_York"


def test_no_call_comes_before_the_agent_is_built(image: Image) -> None:
    """In the order of the base image's app.py: the package, its readiness, and then the function."""
    script = """
import asyncio, sys
import bot as bot_module
readyz = getattr(bot_module, "readyz")
assert asyncio.run(readyz()) is False and "pipecat" not in sys.modules
from bot import bot
assert callable(bot) and asyncio.iscoroutinefunction(bot)
print(asyncio.run(readyz()), readyz is getattr(bot_module, "readyz"))
"""
    assert image.run(script, **KEYS).split()[-2:] == ["True", "True"]


def test_the_image_takes_a_call_under_pipecats_own_runner(
    image: Image, dialer: ReportsServer, network: tuple[Processes, dict[str, str]], tmp_path: Path
) -> None:
    processes, providers = network
    port = free_port()
    log = (tmp_path / "bot.log").open("w+")
    bot = subprocess.Popen(
        [image.python, "-m", "bot", "--host", "127.0.0.1", "--port", str(port)],
        cwd=image.folder, env=providers | {"BRIEF_SECRET": SECRET, "PATH": "/usr/bin:/bin"}, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        wait_for_port(port, processes, PATIENCE_S)
        brief = Brief(
            attempt_id="c1#1", campaign="appointment_reminder", greeting=GREETING, contact={"name": "Ada"},
            report_url=dialer.report_url, issued_at=int(time.time()), script=Script(instructions="Remind them."),
        )  # fmt: skip
        body = {"To": CONTACT, "From": NUMBER}
        body["Texml"] = texml(f"ws://127.0.0.1:{port}/ws", to_parameters(brief, SECRET))
        headers = {"Authorization": f"Bearer {API_KEY}"}
        network_url = providers["TELNYX_BASE_URL"].removesuffix("/v2")
        answer = httpx.post(f"{network_url}/v2/texml/calls/{APP_ID}", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        deadline = time.monotonic() + PATIENCE_S
        while not dialer.reports and time.monotonic() < deadline:
            time.sleep(0.2)
        report = dialer.reports[0] if dialer.reports else pytest.fail((tmp_path / "bot.log").read_text()[-4000:])
        assert (report.attempt_id, report.disposition) == ("c1#1", Disposition.COMPLETED)
        assert dialer.joined == ["c1#1"]
        spoken = httpx.get(providers["OPENAI_BASE_URL"].removesuffix("v1") + "sandbox/spoken").json()[0]
        heard = httpx.get(f"{network_url}/sandbox/calls/{answer.json()['call_sid']}/heard").content
        assert spoken["text"] == GREETING
        assert hears(heard, GREETING, spoken["voice"])
    finally:
        bot.terminate()
        with suppress(subprocess.TimeoutExpired):
            bot.wait(10)
        bot.kill()
        log.close()
