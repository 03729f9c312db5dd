"""The processes of a measurement: the telephone network, the providers, and each agent in one of its own."""

import asyncio
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

import httpx
import numpy as np
from numpy.typing import NDArray

from bench.capacity import Pulse
from bench.door import CallbacksDoor
from bench.turnstile import Turnstile
from worker.machine.processes import Processes, free_port, wait_for_port

OURS: Final = "dialout"
RIVAL: Final = "rival"
AGENTS: Final[Mapping[str, str]] = {OURS: "bot:bot", RIVAL: "bench.rival:bot"}
APP_ID: Final = "2000000000000000001"
CALLER_ID: Final = "+12125550100"
NETWORK_KEY: Final = "KEYsandbox"
READY_S: Final = 300.0

TTS_MS: Final = 200.0
LLM_MS: Final = 400.0
STT_MS: Final = 300.0
LATENCIES: Final = {
    "cartesia": {"latency_ms": TTS_MS},
    "openai": {"latency_ms": LLM_MS},
    "deepgram": {"latency_ms": STT_MS},
}
"""What the providers take, on a good day: to the first byte, the first token, the transcript."""

Sound = NDArray[np.float64]


class Stage:
    """Everything that calls need, on ports of its own, with its logs in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        agents: tuple[str, ...] = (OURS,),
        jitter_s: float = 0.2,
        seed: int = 1,
        counted: bool = False,
    ) -> None:
        self.folder, self.secret = folder, secrets.token_urlsafe(32)
        self.jitter_s = jitter_s
        self.dialer = CallbacksDoor(self.secret)
        self.placed = 0
        self._ports = {name: free_port() for name in ("network", "providers", *agents)}
        self._processes = Processes(folder)
        self._turnstile = Turnstile(self._ports["providers"]) if counted else None
        self._pids: dict[str, int] = {}
        self.pulse = Pulse([], [])  # until the processes run
        self._commands = {
            "network": ["bench.network", "--jitter-s", str(jitter_s), "--seed", str(seed)],
            "providers": ["sandbox.providers"],
            **{name: ["sandbox.agent", AGENTS[name]] for name in agents},
        }
        self.client = httpx.AsyncClient(timeout=60, headers={"authorization": f"Bearer {NETWORK_KEY}"})

    async def __aenter__(self) -> Self:
        try:
            await self.dialer.start()
            if self._turnstile:
                await self._turnstile.start()
            for name, command in self._commands.items():
                process = self._processes.start(name, [*command, "--port", str(self._ports[name])], self._environment())
                self._pids[name] = process.pid
            for port in self._ports.values():
                await asyncio.to_thread(wait_for_port, port, self._processes, READY_S)
            await self.providers(LATENCIES)
            self.pulse = self._pulse()
            self.pulse.__enter__()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.pulse.__exit__, None, None, None)
        await asyncio.to_thread(self._processes.stop)
        await self.client.aclose()
        await self.dialer.stop()
        if self._turnstile:
            self._turnstile.stop()

    def _pulse(self) -> Pulse:
        agents = [self.agent(name, "http", "/livez") for name in AGENTS if name in self._ports]
        urls = [*agents, self.network("/"), f"http://127.0.0.1:{self._ports['providers']}/"]
        return Pulse(urls, list(self._pids.values()))

    def _environment(self) -> dict[str, str]:
        provider = f"127.0.0.1:{self._turnstile.port if self._turnstile else self._ports['providers']}"
        return {
            "BRIEF_SECRET": self.secret,
            "PUBLIC_URL": self.dialer.url,
            "TELNYX_API_KEY": NETWORK_KEY,
            "TELNYX_BASE_URL": self.network("/v2"),
            "OPENAI_API_KEY": "sandbox",
            "OPENAI_BASE_URL": f"http://{provider}/v1",
            "DEEPGRAM_API_KEY": "sandbox",
            "DEEPGRAM_BASE_URL": f"ws://{provider}",
            "CARTESIA_API_KEY": "sandbox",
            "CARTESIA_BASE_URL": f"ws://{provider}/tts/websocket",
            "CALLS_AT_ONCE": "8",
            "LOGURU_LEVEL": "WARNING",
        }

    # --- where things are ---------------------------------------------------------------------------------------------

    def network(self, path: str) -> str:
        """Return a URL of the telephone network."""
        return f"http://127.0.0.1:{self._ports['network']}{path}"

    def agent(self, name: str, scheme: str = "ws", path: str = "/ws/telnyx") -> str:
        """Return a URL of an agent."""
        return f"{scheme}://127.0.0.1:{self._ports[name]}{path}"

    def pid(self, name: str) -> int:
        """Return the process id of a part."""
        return self._pids[name]

    def connections(self) -> int:
        """Return how many connections to providers there have been, if they are counted."""
        return self._turnstile.passed if self._turnstile else 0

    def check(self) -> None:
        """Raise ProcessDied if a part has ended by itself."""
        self._processes.check()

    # --- switches and windows -----------------------------------------------------------------------------------------

    async def providers(self, conduct: Mapping[str, Mapping[str, Any]]) -> None:
        """Change how the providers behave."""
        url = f"http://127.0.0.1:{self._ports['providers']}/sandbox/faults"
        answer = await self.client.post(url, json=conduct)
        answer.raise_for_status()

    async def window(self, name: str) -> Any:
        """Look into the providers: `spoken`, `heard`, `prompts`, and others."""
        answer = await self.client.get(f"http://127.0.0.1:{self._ports['providers']}/sandbox/{name}")
        return answer.json()

    async def records(self) -> dict[str, dict[str, Any]]:
        """Return the network's record of each call by its sid. Slow: not while calls are up."""
        answer = await self.client.get(self.network("/sandbox/calls"))
        return {record["call_sid"]: record for record in answer.json()}

    async def record(self, call_sid: str) -> dict[str, Any]:
        """Return the network's record of one call, which may go on."""
        answer = await self.client.get(self.network(f"/sandbox/calls/{quote(call_sid, safe='')}"))
        return answer.json()

    async def heard(self, call_sid: str) -> Sound:
        """Return what the callee heard."""
        answer = await self.client.get(self.network(f"/sandbox/calls/{quote(call_sid, safe='')}/heard"))
        return np.frombuffer(answer.content, np.int16).astype(np.float64)


def load_average() -> float:
    """Return the machine's load of the last minute; 0 where it is not told."""
    with suppress(OSError, AttributeError):
        return round(os.getloadavg()[0], 2)
    return 0.0
