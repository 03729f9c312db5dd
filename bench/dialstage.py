"""The dialer's processes as an operator starts them, and a bare carrier. `dials` and `pace` measure on this."""

import base64
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import redis
from nacl.signing import SigningKey

from bench.rig import enlist, open_campaign
from campaigns.campaign import Campaign, Pacing
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import BEAT, CALLBACKS, WORKER, Processes, free_port, wait_for_port
from worker.rehearsal.ensemble import Ensemble
from worker.rules.states import CampaignState

_ROOT: Final = Path(__file__).parents[1]
_TICKS_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Arrival:
    """A dial at the carrier."""

    since: float  # from when on it may have been there unseen, seconds by the carrier's clock
    at: float  # when it was seen
    to: str


class DialStage(Ensemble):
    """Redis, carrier, callbacks, workers and beats, each a process of its own, with its log in `folder`."""

    def __init__(
        self, folder: Path, *, rate: float, lines: int, workers: int = 1, beats: int = 1, answer_ms: float = 50.0
    ) -> None:
        super().__init__(EmbeddedRedis(folder / "redis"), Processes(folder, cwd=_ROOT))
        self.folder = folder
        self.workers = [f"worker-{n + 1}" for n in range(workers)]
        key = SigningKey.generate()
        self._carrier, callbacks = free_port(), free_port()
        self._ports = (self._carrier, callbacks)
        self._environment = {
            "DIALOUT_DATA": str(folder),
            "BRIEF_SECRET": secrets.token_urlsafe(32),
            "PUBLIC_URL": f"http://127.0.0.1:{callbacks}",
            "CALLS_PER_SECOND": str(rate),
            "LINES": str(lines),
            "TELNYX_API_KEY": "KEYsandbox",
            "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(key.verify_key)).decode(),
            "TELNYX_BASE_URL": f"http://127.0.0.1:{self._carrier}/v2",
            "TELNYX_TEXML_APP_ID": "2000000000000000001",
            "CALLER_IDS": "+12125550100",
            "STREAM_URL": "wss://agent.example/ws/telnyx?serviceHost=bench",
        }
        seed = base64.b64encode(bytes(key)).decode()
        self._commands: dict[str, list[str]] = {
            "carrier": [
                "bench.carrier",
                "--port",
                str(self._carrier),
                "--answer-ms",
                str(answer_ms),
                "--private-key",
                seed,
            ],
            "callbacks": [*CALLBACKS, "--port", str(callbacks), "--log-level", "warning"],
            **{name: [*WORKER, "-n", f"{name}@%h", "--loglevel", "WARNING"] for name in self.workers},
            **{f"beat-{n + 1}": [*BEAT, "-s", str(folder / f"beat-{n + 1}")] for n in range(beats)},
        }
        self._pids: dict[str, int] = {}
        self._people = 0

    def _start(self) -> None:
        self._run("carrier", "callbacks")
        for port in self._ports:
            wait_for_port(port, self._processes, 300)

    @property
    def redis_url(self) -> str:
        """Where the record is."""
        return self._redis.url

    @property
    def carrier_url(self) -> str:
        """What a client of the carrier is given."""
        return self._environment["TELNYX_BASE_URL"]

    def enlist(self, count: int, *, rate: float, lines: int, name: str = "bench") -> Campaign:
        """Let so many people wait, held back until `go`. No two campaigns ring the same people."""
        campaign = open_campaign(name, pacing=Pacing(calls_per_second=rate, lines=lines))
        store = self.store
        enlist(store, campaign, count, first=self._people, paused=True)
        self._people += count
        return campaign

    def start_dialer(self) -> None:
        """Start workers and beats, and wait until every worker is connected."""
        names = [name for name in self._commands if name not in self._pids]
        self._run(*names)
        with self._client() as client:
            while any(not _by_name(client, name) for name in self.workers):
                self._processes.check()
                time.sleep(0.2)

    def go(self, campaign: Campaign) -> None:
        """Let the ringing begin."""
        self.store.campaigns.set_state(campaign.name, CampaignState.RUNNING)

    def pause(self, campaign: Campaign) -> None:
        """Let no more people be rung."""
        self.store.campaigns.set_state(campaign.name, CampaignState.PAUSED)

    def arrivals(self) -> list[Arrival]:
        """Return the dials that the carrier has seen so far."""
        answer = httpx.get(f"http://127.0.0.1:{self._carrier}/", timeout=300)
        return [Arrival(since, at, to) for since, at, to in answer.json()]

    def cpu_s(self, *names: str) -> float:
        """Return the seconds of CPU that processes have used."""
        total = 0.0
        for name in names:
            text = Path(f"/proc/{self._pids[name]}/stat").read_text("ascii").rpartition(")")[2].split()
            total += (int(text[11]) + int(text[12])) / _TICKS_S
        return total

    def _client(self) -> "redis.Redis":
        return redis.Redis.from_url(self._redis.url, decode_responses=True)

    def _run(self, *names: str) -> None:
        for name in names:
            # The name of its connections: the store's, for the broker's are named by Celery's own configuration.
            environment = self._environment | {"REDIS_URL": f"{self._redis.url}&client_name={name}"}
            self._pids[name] = self._processes.start(name, self._commands[name], environment).pid


def _by_name(client: "redis.Redis", name: str) -> list[Mapping[str, Any]]:
    connected: list[dict[str, Any]] = client.client_list()  # type: ignore[assignment]
    return [told for told in connected if str(told.get("name", "")).startswith(name)]
