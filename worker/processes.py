"""Child processes of a command: started together, watched, and ended in order. Only our own are ever ended."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Self

WORKER: Final = ("celery", "-A", "worker", "worker")
BEAT: Final = ("celery", "-A", "worker", "beat")
CALLBACKS: Final = ("uvicorn", "worker.callbacks:app", "--no-access-log")


READY_S: Final = 300.0
"""How long the sandbox may take to start: on a small machine that does much else, minutes."""


_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM)

_PORTS: Final = range(20_000, 32_000)
"""Below the ports that the system gives to outgoing connections: none of those takes a port while its server is restarted."""

SHORTEST_LIFE_S: Final = 10.0
"""What ends sooner after its start is not started again."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM: between its start and our note of it, a child would be left behind for ever.

    Only the main thread is interrupted by either. A child inherits nothing of this.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


class ProcessDied(RuntimeError):
    """A process ended that should not have. The message says which, and where its log is."""


class Processes:
    """Named children, each with a log file in `folder` (or this terminal, without one), working in `cwd` (or here)."""

    def __init__(self, folder: Path | None = None, *, cwd: Path | None = None) -> None:
        self._folder, self._cwd = folder, cwd
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._starts: dict[str, tuple[Sequence[str], Mapping[str, str], float]] = {}

    def start(
        self, name: str, module: Sequence[str], environment: Mapping[str, str], *, piped: bool = False
    ) -> subprocess.Popen[str]:
        """Start `python -m module…`; with `piped`, its standard output is for the caller to read."""
        log: IO[str] | None = None
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            log = (self._folder / f"{name}.log").open("a", encoding="utf-8")
        with undisturbed():
            process = self._running[name] = subprocess.Popen(  # noqa: S603 - our own arguments
                [sys.executable, "-m", *module],
                env=os.environ | environment,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                cwd=self._cwd,
                text=True,
                start_new_session=True,  # Ctrl-C reaches us alone, and we end them in order
            )
        if log:
            log.close()  # the child has its own
        self._starts[name] = (module, environment, time.monotonic())
        return process

    def start_dialer(self, environment: Mapping[str, str], *, port: int) -> None:
        """Start the callbacks server on a port, the worker and beat."""
        self.start("callbacks", [*CALLBACKS, "--port", str(port)], environment)
        self.start("worker", [*WORKER, "--loglevel", "INFO"], environment)
        self.start("beat", BEAT, environment)

    def start_sandbox(self, options: Sequence[str], environment: Mapping[str, str]) -> "SandboxOutput":
        """Start the sandbox with our agent in it, ringing the callbacks server that `environment` names."""
        public_url = environment["PUBLIC_URL"]
        agent = ["--agent", "bot.bot:bot"]
        doors = ["--voice-url", f"{public_url}/telnyx/inbound", "--status-url", f"{public_url}/telnyx/status"]
        quiet = {**environment, "LOGURU_LEVEL": "INFO"}
        return SandboxOutput(self.start("sandbox", ["sandbox", *agent, *doors, *options], quiet, piped=True))

    def check(self) -> None:
        """Raise ProcessDied if one has ended by itself."""
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                where = f"; see {self._folder / f'{name}.log'}" if self._folder else ""
                raise ProcessDied(f"the {name} ended by itself (exit code {code}){where}")

    def revive(self) -> list[str]:
        """Start again what has ended by itself, and return its names.

        Raises ProcessDied for one that did not live for ten seconds: it would only die again.
        """
        dead = [name for name, process in self._running.items() if process.poll() is not None]
        for name in dead:
            module, environment, started_at = self._starts[name]
            if time.monotonic() - started_at < SHORTEST_LIFE_S:
                self.check()
            self.start(name, module, environment)
        return dead

    def stop(self, patience_s: float = 15.0) -> None:
        """End all, the last started first."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + patience_s
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for process in self._running.values():
            if process.stdout:
                process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """Return a port on which nobody listens now, and which no other caller of this function is given for a minute.

    One connection is opened and closed on it. Until that is forgotten (TIME_WAIT), only a server that sets SO_REUSEADDR can
    have the port, as all of ours do; so processes that are started side by side do not take each other's ports.
    """
    while True:
        address = ("127.0.0.1", random.choice(_PORTS))  # noqa: S311 - for variety, not for secrets
        with suppress(OSError), socket.socket() as probe, socket.socket() as listening:
            probe.bind(address)
            probe.close()
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(1)
            with socket.create_connection(address):
                listening.accept()[0].close()
            return address[1]


def wait_for_port(port: int, processes: Processes, timeout_s: float = 120.0) -> None:
    """Wait until somebody listens; raises ProcessDied if they died, or never came."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        processes.check()
        with socket.socket() as sock:
            sock.settimeout(0.5)
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise ProcessDied(f"nothing listens on port {port} after {timeout_s:.0f} s")


class SandboxOutput:
    """What the sandbox prints: its settings, and how far it is."""

    def __init__(self, sandbox: subprocess.Popen[str]) -> None:
        self._lines: list[str] = []
        self._sandbox = sandbox
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._sandbox.stdout or ():
            self._lines.append(line.strip())

    def read(self, milestone: str) -> dict[str, str]:
        """Return the settings once the milestone is printed; raises ProcessDied if it never is."""
        deadline = time.monotonic() + READY_S
        while milestone not in self._lines:
            if not self._reader.is_alive() or time.monotonic() > deadline:
                raise ProcessDied("the sandbox did not start; its own words are above, or in sandbox.log")
            time.sleep(0.05)
        pairs = (line.partition("=") for line in self._lines if not line.startswith("#"))
        return {name: value for name, _, value in pairs}
