"""Run the whole sandbox in the foreground: `python -m sandbox --help`. It prints the settings that point at it."""

import argparse
import base64
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from nacl.signing import SigningKey

from sandbox.server import PortTaken, bind

API_KEY: Final = "KEYsandbox"
PROVIDER_KEY: Final = "sandbox"
APP_ID: Final = "2000000000000000001"
NUMBER: Final = "+12125550100"
READY_S: Final = 300.0


class DidNotStart(RuntimeError):
    """A part of the sandbox did not start, or ended by itself. The message says which."""


class Children:
    """The processes of the sandbox: started, watched and ended together."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, arguments: Sequence[str], environment: dict[str, str]) -> None:
        """Start a part of the sandbox: `python -m ARGUMENTS`."""
        self._running[name] = subprocess.Popen(  # noqa: S603 - our own arguments
            [sys.executable, "-m", *arguments],
            stdout=subprocess.PIPE,
            env=os.environ | environment,
            text=True,
            start_new_session=True,  # Ctrl-C reaches only this process, which then ends the parts
        )

    def await_ready(self) -> None:
        """Wait until every part listens; raises DidNotStart."""
        for name, process in self._running.items():
            if not _first_line(process).startswith("listening on "):
                raise DidNotStart(f"the sandbox's {name} did not start")

    def check(self) -> None:
        """Raise DidNotStart if a part has ended by itself."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise DidNotStart(f"the sandbox's {name} has ended by itself, so the other parts are ended too")

    def stop(self) -> None:
        """End all parts. Each has 8 seconds to write its last records."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line that a process prints; empty if it ends without one, or prints none within READY_S."""
    lines: list[str] = []

    def read() -> None:
        for text in process.stdout or ():
            if not lines:
                lines.append(text.strip())

    reader = threading.Thread(target=read, daemon=True)  # it reads to the end: a full pipe would block the process
    reader.start()
    deadline = time.monotonic() + READY_S
    while not lines and reader.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    return lines[0] if lines else ""


def start(given: argparse.Namespace, children: Children) -> dict[str, str]:
    """Start every part, side by side; return the settings that point a client at them."""
    key = SigningKey.generate()
    ports = [_port(given.host, port) for port in (given.telnyx_port, given.providers_port, given.agent_port)]
    telnyx, providers, agent = (f"{given.host}:{port}" for port in ports)
    network = ["sandbox.telnyx", "--host", given.host, "--port", str(ports[0]), "--api-key", API_KEY]
    network += ["--number", NUMBER, "--seed", str(given.seed), "--ring-scale", str(given.ring_scale)]
    network += ["--private-key", base64.b64encode(bytes(key)).decode()]
    for option in ("people", "records", "record", "voice_url", "status_url"):
        if value := getattr(given, option):
            network += [f"--{option.replace('_', '-')}", str(value)]
    settings = {
        "TELNYX_API_KEY": API_KEY,
        "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(key.verify_key)).decode(),
        "TELNYX_BASE_URL": f"http://{telnyx}/v2",
        "TELNYX_TEXML_APP_ID": APP_ID,
        "CALLER_IDS": NUMBER,
        "OPENAI_API_KEY": PROVIDER_KEY,
        "OPENAI_BASE_URL": f"http://{providers}/v1",
        "DEEPGRAM_API_KEY": PROVIDER_KEY,
        "DEEPGRAM_BASE_URL": f"ws://{providers}",
        "CARTESIA_API_KEY": PROVIDER_KEY,
        "CARTESIA_BASE_URL": f"ws://{providers}/tts/websocket",
    }
    if given.agent:
        settings["STREAM_URL"] = f"ws://{agent}/ws/telnyx?serviceHost=outbound.sandbox"
        arguments = ["sandbox.agent", given.agent, "--host", given.host, "--port", str(ports[2])]
        children.start("agent", arguments, settings)
    children.start("telephone network", network, {})
    children.start("providers", ["sandbox.providers", "--host", given.host, "--port", str(ports[1])], {})
    return settings


def _port(host: str, wanted: int) -> int:
    """Return `wanted` if it is free, or for 0 a free port that no other caller is given for a minute; raises PortTaken."""
    with bind(host, wanted) as sock:
        address = sock.getsockname()
        if not wanted:
            with socket.create_connection(address):
                sock.accept()[0].close()
        return int(address[1])


def main() -> int:
    """Read the options, start everything, and run until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A phone network on this machine.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--telnyx-port", type=int, default=8931, help="0: any free port; so for the other two")
    parser.add_argument("--providers-port", type=int, default=8932)
    parser.add_argument("--agent", default="", help="the Pipecat bot to run: package.module:function")
    parser.add_argument("--agent-port", type=int, default=8933)
    parser.add_argument(
        "--people", type=Path, help="who lives at which number: a CSV with columns phone and person, or TOML"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--records", type=Path, help="append call detail records to this file, as JSON Lines")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write each call as a stereo WAV")
    parser.add_argument("--voice-url", default="", help="where the network fetches the TeXML of a call to us")
    parser.add_argument("--status-url", default="", help="where the network sends the callbacks of a call to us")
    parser.add_argument("--ring-scale", type=float, default=1.0)
    given = parser.parse_args()
    children = Children()
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        settings = start(given, children)
        sys.stdout.write("".join(f"{name}={value}\n" for name, value in settings.items()) + "# starting\n")
        sys.stdout.flush()
        children.await_ready()
        sys.stdout.write("# ready\n")
        sys.stdout.flush()
        while not ended.wait(0.3):
            children.check()
    except (DidNotStart, PortTaken) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        children.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
