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
    """A part of the sandbox did not come up. The message is what it said."""


class Children:
    """The processes of the sandbox. Ends those that it started, and no others."""

    def __init__(self) -> None:
        self._running: dict[str, subprocess.Popen[str]] = {}

    def start(self, name: str, arguments: Sequence[str], environment: dict[str, str]) -> None:
        """Start a part."""
        self._running[name] = subprocess.Popen(  # noqa: S603 - our own arguments
            [sys.executable, "-m", *arguments],
            stdout=subprocess.PIPE,
            env=os.environ | environment,
            text=True,
            start_new_session=True,  # Ctrl-C reaches us, and we end them in order
        )

    def await_ready(self) -> None:
        """Wait until every part listens; raises DidNotStart."""
        for name, process in self._running.items():
            if not _first_line(process).startswith("listening on "):
                raise DidNotStart(f"the sandbox's {name} did not start")

    def dead(self) -> str | None:
        """Return the name of one that has ended by itself."""
        return next((name for name, process in self._running.items() if process.poll() is not None), None)

    def stop(self) -> None:
        """End all, giving each the time to finish its books."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line that a process prints; empty if it ends, or takes too long."""
    lines: list[str] = []

    def read() -> None:
        for text in process.stdout or ():
            if not lines:
                lines.append(text.strip())

    reader = threading.Thread(target=read, daemon=True)  # goes on reading: a full pipe would block the child
    reader.start()
    deadline = time.monotonic() + READY_S
    while not lines and reader.is_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    return lines[0] if lines else ""


def start(given: argparse.Namespace, children: Children) -> dict[str, str]:
    """Start every part, side by side; returns the settings that point at them."""
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
    """Return the port wanted, or for 0 a free one, which nobody else is given for a minute (TIME_WAIT)."""
    with bind(host, wanted) as sock:
        address = sock.getsockname()
        if not wanted:
            with socket.create_connection(address):
                sock.accept()[0].close()
        return int(address[1])


def main() -> int:
    """Read the options, start everything, and stay until told to end."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A phone network on this machine.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--telnyx-port", type=int, default=8931, help="0: any free one, as for the others")
    parser.add_argument("--providers-port", type=int, default=8932)
    parser.add_argument("--agent", default="", help="package.module:function of a Pipecat bot to run")
    parser.add_argument("--agent-port", type=int, default=8933)
    parser.add_argument("--people", type=Path, help="CSV with columns phone and person, or TOML")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--records", type=Path, help="append call detail records (JSON Lines) to this file")
    parser.add_argument("--record", type=Path, metavar="DIR", help="write each call as a stereo WAV")
    parser.add_argument("--voice-url", default="", help="where inbound calls fetch their document")
    parser.add_argument("--status-url", default="", help="where inbound calls' callbacks go")
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
            if dead := children.dead():
                raise DidNotStart(f"the sandbox's {dead} has ended by itself; the rest is stopped")
    except (DidNotStart, PortTaken) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        children.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
