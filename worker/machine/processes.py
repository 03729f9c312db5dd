"""The child processes of a command: started together, watched, and ended in order."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final, Self

WORKER: Final = ("celery", "-A", "worker", "worker")
BEAT: Final = ("celery", "-A", "worker", "beat")
CALLBACKS: Final = ("uvicorn", "worker.callbacks:app", "--no-access-log")

READY_S: Final = 300.0
"""How long the sandbox may take to start. A small machine that does much else needs minutes for it."""

_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM)

_PORTS: Final = range(20_000, 32_000)
"""Below the ports that the system gives to outgoing connections: none of those takes a port while its server is restarted."""

SHORTEST_LIFE_S: Final = 10.0
"""A child that dies sooner than this after its start is not started again: it would only die again."""


@contextmanager
def undisturbed() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the block ends.

    A signal between the start of a child and our note of it would leave the child running for ever. Both signals
    interrupt the main thread only, so other threads need no delay. A child inherits nothing of this.
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
    """A child process died. The message says which one, and where its log is."""


class Processes:
    """Named child processes.

    Each writes a log file in `folder`, or to this terminal without one, and works in `cwd`, or in this process's folder.
    """

    def __init__(self, folder: Path | None = None, *, cwd: Path | None = None) -> None:
        self._folder, self._cwd = folder, cwd
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._starts: dict[str, tuple[Sequence[str], Mapping[str, str], float]] = {}

    def start(
        self, name: str, module: Sequence[str], environment: Mapping[str, str], *, piped: bool = False
    ) -> subprocess.Popen[str]:
        """Start `python -m module…`. With `piped`, the caller reads its standard output."""
        log: IO[str] | None = None
        if path := self._log_of(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            log = path.open("a", encoding="utf-8")
        with undisturbed():
            process = self._running[name] = subprocess.Popen(  # noqa: S603 - our own arguments
                [sys.executable, "-m", *module],
                env=os.environ | environment,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                cwd=self._cwd,
                text=True,
                start_new_session=True,  # Ctrl-C reaches this process only, which ends the children in order
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
        """Start the sandbox with our bot in it. It calls the callbacks server at `environment["PUBLIC_URL"]`."""
        if not all(find_spec(name) for name in ("sandbox", "bot", "pipecat")):
            raise ProcessDied(
                "this installation holds no sandbox and no bot: install dialout[rehearsal] (see README.md), or run the rehearsal "
                "from a checkout"
            )
        public_url = environment["PUBLIC_URL"]
        agent = ["--agent", "bot:bot"]
        doors = ["--voice-url", f"{public_url}/telnyx/inbound", "--status-url", f"{public_url}/telnyx/status"]
        quiet = {**environment, "LOGURU_LEVEL": "INFO"}
        sandbox = self.start("sandbox", ["sandbox", *agent, *doors, *options], quiet, piped=True)
        return SandboxOutput(sandbox, str(self._log_of("sandbox") or "its output above"))

    def check(self) -> None:
        """Raise ProcessDied if a child has died."""
        for name, process in self._running.items():
            if (code := process.poll()) is not None:
                where = f": see {log}" if (log := self._log_of(name)) else ""
                raise ProcessDied(f"the {name} stopped unexpectedly (exit code {code}){where}")

    def revive(self) -> list[str]:
        """Restart every child that has died, and return their names.

        Raises ProcessDied for one that lived for less than SHORTEST_LIFE_S.
        """
        dead = [name for name, process in self._running.items() if process.poll() is not None]
        for name in dead:
            module, environment, started_at = self._starts[name]
            if time.monotonic() - started_at < SHORTEST_LIFE_S:
                self.check()
            self.start(name, module, environment)
        return dead

    def _log_of(self, name: str) -> Path | None:
        return self._folder / f"{name}.log" if self._folder else None

    def stop(self, patience_s: float = 15.0) -> None:
        """End all children, the last started first. One that has not ended after `patience_s` is killed."""
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
    """Return a port on which no process listens now, and that no other caller of this function is given for a minute.

    One connection is opened and closed on it. Until that is forgotten (TIME_WAIT), only a server that sets SO_REUSEADDR can
    have the port, as all of ours do; so processes that start side by side do not take each other's ports.
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
    """Wait until a process listens on a port; raises ProcessDied if a child dies first, or none does in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        processes.check()
        with socket.socket() as sock:
            sock.settimeout(0.5)
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise ProcessDied(f"no process listens on port {port} after {timeout_s:.0f} s")


class SandboxOutput:
    """What the sandbox prints while it starts: its settings, and milestones such as `# ready`."""

    def __init__(self, sandbox: subprocess.Popen[str], log: str = "its output above") -> None:
        self._lines: list[str] = []
        self._sandbox, self._log = sandbox, log
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._sandbox.stdout or ():
            self._lines.append(line.strip())

    def read(self, milestone: str) -> dict[str, str]:
        """Wait for a milestone and return the settings printed by then; raises ProcessDied if it does not come in time."""
        deadline = time.monotonic() + READY_S
        while milestone not in self._lines:
            if not self._reader.is_alive() or time.monotonic() > deadline:
                raise ProcessDied(f"the sandbox did not start: see {self._log}")
            time.sleep(0.05)
        pairs = (line.partition("=") for line in self._lines if not line.startswith("#"))
        return {name: value for name, _, value in pairs}


def until_interrupted(look: Callable[[], None]) -> None:
    """Call `look` three times a second, until Ctrl-C or SIGTERM comes."""
    ended = threading.Event()
    for number in _ENDINGS:
        signal.signal(number, lambda _number, _frame: ended.set())
    while not ended.wait(0.3):
        look()
