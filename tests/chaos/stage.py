"""The real processes, each behind a proxy of its own, with a supervisor that restarts what was killed."""

import base64
import contextlib
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx
from nacl.signing import SigningKey

from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import BEAT, CALLBACKS, WORKER, Processes, free_port, wait_for_port
from worker.store import Store

from .proxy import Network

ROOT: Final = Path(__file__).parents[2]
DIALER: Final = ("worker", "beat", "beat-2", "callbacks")


@dataclass(frozen=True)
class Ending:
    """A process that ended: when, which, and why."""

    at: float  # Unix seconds
    name: str
    how: str


class ChaosStage:
    """Everything that a run needs, in a folder of its own. `code` is a folder with another `worker` package."""

    def __init__(
        self, folder: Path, people: Path, *, rate: float, lines: int, seed: int = 1, code: Path = ROOT, clocks: bool = False,
        bot: bool = True, agent: str = "",
    ) -> None:  # fmt: skip
        self.folder, self.records = folder, folder / "records.jsonl"
        self.redis = EmbeddedRedis(folder)
        self.network = Network()
        self.endings: list[Ending] = []
        self.surprises: Counter[str] = Counter()
        self.hold_redis = False  # not restarted for now
        self.dice = random.Random(seed)
        self._clocks, self._code = clocks, code
        self._processes = Processes(folder, cwd=code)
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._killed: dict[str, str] = {}
        self._lock = threading.Lock()
        self._calm = threading.Event()
        self._watch = threading.Thread(target=self._supervise, daemon=True)
        ports = {name: free_port() for name in ("telnyx", "providers", "agent", "callbacks")}
        self.ports = ports
        key = SigningKey.generate()
        self.proxies = {name: self.network.to_socket(str(self.redis.socket)) for name in DIALER}
        self.proxies["carrier"] = self.network.to_port(ports["telnyx"])
        provider = f"127.0.0.1:{ports['providers']}"
        self._environment = {
            "DIALOUT_DATA": str(folder),
            "BRIEF_SECRET": secrets.token_urlsafe(32),
            "PUBLIC_URL": f"http://127.0.0.1:{ports['callbacks']}",
            "CALLS_PER_SECOND": str(rate),
            "LINES": str(lines),
            "TELNYX_API_KEY": "KEYsandbox",
            "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(key.verify_key)).decode(),
            "TELNYX_BASE_URL": f"http://127.0.0.1:{self.proxies['carrier'].port}/v2",
            "TELNYX_TEXML_APP_ID": "2000000000000000001",
            "CALLER_IDS": "+12125550100",
            "STREAM_URL": f"ws://127.0.0.1:{ports['agent']}/ws/telnyx?serviceHost=outbound.sandbox",
            "OPENAI_API_KEY": "sandbox", "OPENAI_BASE_URL": f"http://{provider}/v1",
            "DEEPGRAM_API_KEY": "sandbox", "DEEPGRAM_BASE_URL": f"ws://{provider}",
            "CARTESIA_API_KEY": "sandbox", "CARTESIA_BASE_URL": f"ws://{provider}/tts/websocket",
            "LOGURU_LEVEL": "WARNING",
        }  # fmt: skip
        doors = self._environment["PUBLIC_URL"]
        self._commands: dict[str, Sequence[str]] = {
            "telnyx": ["sandbox.telnyx", "--port", str(ports["telnyx"]), "--people", str(people), "--records",
                       str(self.records), "--private-key", base64.b64encode(bytes(key)).decode(), "--ring-scale", "0.1",
                       "--voice-url", f"{doors}/telnyx/inbound", "--status-url", f"{doors}/telnyx/status",
                       "--dials-per-5s", "1000", "--number", "+12125550100", "--seed", str(seed)],
            "providers": ["sandbox.providers", "--port", str(ports["providers"])],
            "bot": [*([agent] if agent else ["sandbox.agent", "bot:bot"]), "--port", str(ports["agent"])],
            "callbacks": [*CALLBACKS, "--port", str(ports["callbacks"]), "--log-level", "warning"],
            "worker": [*WORKER, "--loglevel", "WARNING"],
            "beat": [*BEAT, "-s", str(folder / "beat-1")],
            "beat-2": [*BEAT, "-s", str(folder / "beat-2")],
        }  # fmt: skip
        if not bot:  # nobody answers: nobody need talk
            del self._commands["bot"], self._commands["providers"], self.ports["agent"], self.ports["providers"]

    def __enter__(self) -> Self:
        try:
            self.redis.start()
            for name in self._commands:
                self._start(name)
            for port in self.ports.values():
                wait_for_port(port, self._processes, 300)
            self._watch.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._calm.set()
        if self._watch.is_alive():
            self._watch.join()
        self._processes.stop()
        self.redis.stop()

    @property
    def store(self) -> Store:
        """The record, past all proxies, for looking only."""
        return Store.at(self.redis.url)

    def faults(self, **switches: Any) -> None:
        """Switch the network's faults."""
        answer = httpx.post(f"http://127.0.0.1:{self.ports['telnyx']}/sandbox/faults", json=switches, timeout=300)
        assert answer.json() == {"ok": True}, answer.text

    def posts(self) -> list[dict[str, Any]]:
        """Return the dials that have reached the network so far."""
        return httpx.get(f"http://127.0.0.1:{self.ports['telnyx']}/sandbox/requests", timeout=300).json()

    def kill(self, name: str, how: str = "at random") -> None:
        """End a process as a power cut would. It is restarted."""
        with self._lock:
            process = self._process(name)
            if process is None or process.poll() is not None:
                return
            self._killed[name] = how
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            self.endings.append(Ending(time.time(), name, how))

    def stand_still(self, name: str, seconds: float) -> None:
        """Stop a process for a while, as a machine that is out of memory does."""
        process = self._process(name)
        if process and process.poll() is None:
            os.kill(process.pid, signal.SIGSTOP)
            threading.Timer(seconds, _go_on, [process]).start()

    def dialout(self, *arguments: str, patience: int = 100) -> str:
        """Run the command, again if the record is away, and return what it printed."""
        environment = os.environ | self._environment | {"REDIS_URL": self.redis.url, "PYTHONPATH": str(self._code)}
        for _ in range(patience):
            done = subprocess.run([sys.executable, "-m", "worker.cli", *arguments], env=environment, cwd=self._code,
                                  capture_output=True, text=True, check=False)  # fmt: skip
            if done.returncode == 0:
                return done.stdout
            time.sleep(1)
        raise RuntimeError(f"dialout {' '.join(arguments)} failed: {done.stderr}")

    def _process(self, name: str) -> Any:
        return self.redis._process if name == "redis" else self._running.get(name)

    def _start(self, name: str) -> None:
        environment = dict(self._environment)
        path = [str(self._code)]
        if name in self.proxies:
            environment["REDIS_URL"] = f"redis://127.0.0.1:{self.proxies[name].port}/0"
        else:
            environment["REDIS_URL"] = self.redis.url
        if self._clocks and name in {*DIALER, "bot"} and self.dice.random() < 0.5:
            most = 40 if name == "bot" else 100  # a brief may be a minute from the future, a signature five
            clock = [self.dice.uniform(-most, most), self.dice.uniform(2, 20), self.dice.uniform(-most, most) / 3]
            environment["CHAOS_CLOCK"] = ",".join(f"{number:.1f}" for number in clock)
            path.append(str(Path(__file__).parent / "clock"))
        environment["PYTHONPATH"] = os.pathsep.join(path)
        self._running[name] = self._processes.start(name, self._commands[name], environment)

    def _supervise(self) -> None:
        while not self._calm.wait(0.1):
            with self._lock:
                for name, process in self._running.items():
                    if process.poll() is not None:
                        if name not in self._killed:
                            self.surprises[f"{name} ended by itself with {process.returncode}"] += 1
                        self._killed.pop(name, None)
                        self._start(name)
                if self.redis._process and self.redis._process.poll() is not None and not self.hold_redis:
                    self.redis.start(600)


def _go_on(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        os.kill(process.pid, signal.SIGCONT)
