"""What one worker process can carry: dials a second, what each takes of the CPU, and how often it asks the store."""

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import redis

from bench.dialstage import DialStage
from bench.result import Result, Row
from worker.store.scripts import read_scripts

DIALS_PER_S: Final = 150
TRIPS: Final = 4
TIMES_THE_SDK: Final = 2.5

_WARM: Final = 200
"""Dials before anything is measured."""

_COUNTED: Final = 300
"""Dials during which the server tells of each command: that slows all down, and so nothing else is measured then."""

_PATIENCE_S: Final = 120.0
_NO_LIMIT: Final = 1000  # the most that a campaign may ask for
_BREATH_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Dials:
    """How many are dialed, and how many of them by the bare SDK."""

    dials: int
    bare: int


async def dials(folder: Path, size: Dials) -> Result:
    """Dial as fast as one worker can, the carrier answering after 50 ms; then the same orders by the bare SDK."""
    row = await asyncio.to_thread(_measure, folder, size)
    ratio = row["cpu_ms"] / row["sdk_cpu_ms"]
    verdict = (
        f"{row['dials_per_s']:.0f} dials/s (at least {DIALS_PER_S}), {row['trips']:.2f} round trips for each from the claim "
        f"to the conclusion (at most {TRIPS}), {ratio:.2f} times the CPU of the bare SDK (at most {TIMES_THE_SDK})"
    )
    passed = row["dials_per_s"] >= DIALS_PER_S and row["trips"] <= TRIPS and ratio <= TIMES_THE_SDK
    shown: Row = {name: round(value, 2) for name, value in row.items()} | {"times_the_sdk": round(ratio, 2)}
    return Result("dials", passed, verdict, [shown])


def _measure(folder: Path, size: Dials) -> dict[str, float]:
    with DialStage(folder, rate=_NO_LIMIT, lines=10_000) as stage:
        stage.start_dialer()
        _dial(stage, "warm", _WARM)
        counted = stage.enlist(_COUNTED, rate=_NO_LIMIT, lines=10_000, name="counted")
        with _Listener(stage) as heard:
            stage.go(counted)
            while len(stage.arrivals()) < _WARM + _COUNTED:
                stage.check()
                time.sleep(0.2)
            time.sleep(2)  # we do not ask the store ourselves while its commands are counted
        if stage.store.reading.status("counted").done < _COUNTED:
            raise TimeoutError("not all that were dialed were concluded in time; see the logs")
        trips = heard.trips()
        trips["state"] -= 1  # our own, to let it begin
        (worker,) = stage.workers
        cpu = {name: stage.cpu_s(name) for name in (worker, "callbacks")}
        before = len(stage.arrivals())
        took_s = _dial(stage, "measured", size.dials)
        used = {name: stage.cpu_s(name) - since for name, since in cpu.items()}
        arrivals = [dial.at for dial in stage.arrivals()[before:]]
        sdk_ms = _bare(stage.carrier_url, size.bare)
    return {
        "dials": len(arrivals),
        "dials_per_s": (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]),
        "conclusions_per_s": size.dials / took_s,
        "trips": sum(trips.values()) / _COUNTED,
        **{f"{name}_trips": count / _COUNTED for name, count in sorted(trips.items())},
        "callbacks_trips": heard.outside / _COUNTED,
        "cpu_ms": 1000 * used[worker] / size.dials,
        "callbacks_cpu_ms": 1000 * used["callbacks"] / size.dials,
        "sdk_cpu_ms": sdk_ms,
    }


def _dial(stage: DialStage, name: str, people: int) -> float:
    """Let a campaign be rung to its end; returns how many seconds that took."""
    campaign = stage.enlist(people, rate=_NO_LIMIT, lines=10_000, name=name)
    began = time.monotonic()
    stage.go(campaign)
    while stage.store.reading.status(name).done < people:
        stage.check()
        if time.monotonic() > began + _PATIENCE_S:
            raise TimeoutError(f"{name}: not all were dialed in {_PATIENCE_S:.0f} s; see the logs")
        time.sleep(0.1)
    return time.monotonic() - began


class _Listener:
    """Hears the server tell of each command that it is sent, and counts those of our store; a script is one."""

    def __init__(self, stage: DialStage) -> None:
        self.outside = 0
        self._counts: Counter[str] = Counter()
        self._client = redis.Redis.from_url(stage.redis_url, decode_responses=True)
        self._scripts = {self._client.register_script(text).sha: name for name, text in read_scripts().items()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        time.sleep(0.3)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._client.ping()  # one more for it to hear
        self._thread.join(10)

    def trips(self) -> Counter[str]:
        """Return the round trips of the workers, by script or command."""
        return self._counts

    def _listen(self) -> None:
        with self._client.monitor() as monitor:
            plain_at = 0.0
            told: dict[str, Any]
            for told in monitor.listen():  # type: ignore[assignment]
                if self._over.is_set():
                    return
                command = str(told["command"])
                ours = "{dialout}" in command or command == "TIME"
                if told["client_type"] == "lua" or not ours:
                    continue
                verb, _, rest = command.partition(" ")
                name = self._scripts.get(rest.split(" ", 1)[0])
                if name is None:
                    # Those of a pipeline come in one breath, and are one trip.
                    name, last, plain_at = verb.lower(), plain_at, float(told["time"])
                    if plain_at - last < _BREATH_S:
                        continue
                # A callback's witness gives no token: it is not the worker's.
                if name == "witness" and re.search(r" call:\S+ ", command):
                    self.outside += 1
                else:
                    self._counts[name] += 1


def _bare(url: str, count: int) -> float:
    """Return the milliseconds of CPU that a dial by the SDK itself takes, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.bare", "--url", url, "--calls", str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)
