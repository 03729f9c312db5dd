"""The dialer as an operator runs it, a town of statistics and an agent that says nothing: each in a process of its own."""

import base64
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from typing import Any, Final

import httpx
from nacl.signing import SigningKey

from campaigns.campaign import Campaign, load_campaign
from campaigns.contacts import Contact
from campaigns.places import Place
from campaigns.tables import RELEASED, CallingWindow, CallRules, Pacing, Retry
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import BEAT, CALLBACKS, WORKER, Processes, free_port, wait_for_port
from worker.rehearsal.ensemble import Ensemble
from worker.store import Store

SAMPLE: Final = Path(__file__).parents[1] / "campaigns" / "appointment_reminder"
NETWORK_KEY: Final = "KEYsandbox"
AGENT_KEY: Final = "sk_sandbox"
NUMBER: Final = "+12125550100"
START_S: Final = 90.0


@dataclass(frozen=True, slots=True)
class HeldTalk:
    """One call by the telephone network's own clock, Unix seconds."""

    to: str
    dialed_at: float
    answered_at: float | None
    ended_at: float | None


class Rig(Ensemble):
    """All processes, from `__enter__` to `__exit__`; their logs are in `folder`.

    `exchange` and `agent` are options of `bench.exchange` and `bench.agent`, `settings` the dialer's.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, str],
        exchange: Mapping[str, str],
        agent: Mapping[str, str],
        workers: int = 1,
        beats: int = 1,
    ) -> None:
        self._ports = {name: free_port() for name in ("exchange", "agent", "callbacks")}
        super().__init__(EmbeddedRedis(folder / "redis"), Processes(folder))
        self._folder = folder
        self._options = {"exchange": exchange, "agent": agent}
        self._settings, self._workers, self._beats = settings, workers, beats

    def _start(self) -> None:
        key = SigningKey.generate()
        environment = {
            "REDIS_URL": self._redis.url,
            "DIALOUT_DATA": str(self._folder),
            "BRIEF_SECRET": secrets.token_urlsafe(32),
            "PUBLIC_URL": self._url("callbacks"),
            "STREAM_URL": self._url("agent", "/ws/telnyx").replace("http", "ws"),
            "TELNYX_API_KEY": NETWORK_KEY,
            "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(key.verify_key)).decode(),
            "TELNYX_BASE_URL": self._url("exchange", "/v2"),
            "TELNYX_TEXML_APP_ID": "2000000000000000001",
            "CALLER_IDS": NUMBER,
            "PIPECAT_AGENT": "listener",
            "PIPECAT_BASE_URL": self._url("agent", "/v1"),
            **self._settings,
        }
        private = {"exchange": ["--private-key", base64.b64encode(bytes(key)).decode()]}
        for name, options in self._options.items():
            words = [word for option, value in options.items() for word in (f"--{option}", *value.split())]
            command = [f"bench.{name}", "--port", str(self._ports[name]), *private.get(name, ()), *words]
            self._processes.start(name, command, environment)
        port = str(self._ports["callbacks"])
        self._processes.start("callbacks", [*CALLBACKS, "--port", port, "--log-level", "warning"], environment)
        for port_number in self._ports.values():
            wait_for_port(port_number, self._processes, 60)
        for number in range(self._workers):
            self._processes.start(f"worker{number}", [*WORKER, "-n", f"bench{number}@%h"], environment)
        for number in range(self._beats):
            apart = {"DIALOUT_DATA": str(self._folder / f"beat{number}")}
            self._processes.start(f"beat{number}", [*BEAT], environment | apart)

    def _url(self, name: str, path: str = "") -> str:
        return f"http://127.0.0.1:{self._ports[name]}{path}"

    @property
    def store(self) -> Store:
        """A store on this rig's Redis."""
        return Store.at(self._redis.url, timeout_s=20)

    def talks(self) -> list[HeldTalk]:
        """Return all calls, the first dialed first, as the telephone network has them in its books."""
        details = httpx.get(self._url("exchange", "/sandbox/calls"), timeout=60).json()
        found = [
            HeldTalk(one["to"], _unix(one["created_at"]), _maybe(one["answered_at"]), _maybe(one["ended_at"]))
            for one in details
        ]
        return sorted(found, key=lambda talk: talk.dialed_at)

    def sessions(self) -> list[dict[str, Any]]:
        """Return the agent's sessions: attempt_id, arrived, silent_s, left."""
        return httpx.get(self._url("agent", "/sessions"), timeout=60).json()


def open_campaign(name: str, *, pacing: Pacing) -> Campaign:
    """Return the sample campaign under another name, always open, and with one attempt for each contact."""
    return load_campaign(SAMPLE).model_copy(
        update={
            "name": name,
            "pacing": pacing,
            "calling_window": CallingWindow(start=time_of_day(0), end=time_of_day(23, 59, 59), holidays=False),
            "rehearsed": True,
            "call": CallRules(machine_detection=False),
            "retry": Retry(max_attempts=1),
            "brakes": RELEASED,
        }
    )


def enlist(store: Store, campaign: Campaign, people: int, *, first: int, paused: bool = False) -> set[str]:
    """Enlist so many people, numbered from `first` on: no two campaigns ring the same. Returns their numbers.

    They live where it is about noon, so that the time of day at which somebody measures changes nothing.
    """
    store.campaigns.define(campaign, paused=paused)
    contacts = [
        Contact(f"+1212{2_000_000 + first + n:07d}", {"name": "Ada", "day": "Monday", "time": "noon"}, n + 2)
        for n in range(people)
    ]
    noon = Place((f"Etc/GMT{datetime.now(UTC).hour - 12:+d}",))  # POSIX: what is west of Greenwich is positive
    due = store.now() - timedelta(seconds=1)
    for start in range(0, people, 500):
        store.contacts.enlist(campaign, [(contact, noon) for contact in contacts[start : start + 500]], due)
    return {contact.phone for contact in contacts}


def until(seconds: float, rig: Rig) -> None:
    """Let it run."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rig.check()
        time.sleep(0.5)


def until_dials(count: int, rig: Rig) -> None:
    """Wait until so many were dialed, or for as long as the processes may take to start."""
    deadline = time.monotonic() + START_S
    while len(rig.talks()) < count and time.monotonic() < deadline:
        until(1, rig)


def _unix(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def _maybe(moment: str | None) -> float | None:
    return _unix(moment) if moment else None
