"""What one worker process can carry: dials a second, the CPU that each takes, and how often each asks the store."""

import asyncio
import json
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

OF_THE_SDKS_RATE: Final = 0.2
"""The least part of the dials a second that the bare SDK makes, as many at once: it keeps no record and hears no callback."""

TRIPS: Final = 4
TIMES_THE_SDK: Final = 2.5
AT_ONCE: Final = 32
"""As many dials as a worker has under way at most."""

_WARM: Final = 200
"""Dials before anything is measured."""

_COUNTED: Final = 300
"""Dials during which the server tells of each command. That slows everything down, so nothing else is measured then."""

_IDLE_S: Final = 5.0
"""The trips of this time, in which nobody waits, are those of beat's ticks: they depend on time and not on dials."""

_PATIENCE_S: Final = 1200.0
"""No verdict hangs on this: it ends what would never end."""

_NO_LIMIT: Final = 1000  # the most that a campaign may ask for
_BREATH_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Dials:
    """How many dials the worker makes, and how many the bare SDK."""

    dials: int
    bare: int


async def dials(folder: Path, size: Dials) -> Result:
    """Dial as fast as one worker can, the carrier answering after 50 ms; before and after, the same orders by the bare SDK."""
    row = await asyncio.to_thread(_measure, folder, size)
    ratio, share = row["cpu_ms"] / row["sdk_cpu_ms"], row["dials_per_s"] / row["sdk_dials_per_s"]
    verdict = (
        f"{row['dials_per_s']:.0f} dials/s, {share:.2f} times those of the bare SDK (at least {OF_THE_SDKS_RATE}); "
        f"{row['trips']:.2f} round trips for each from the claim to the conclusion (at most {TRIPS}); {ratio:.2f} times the "
        f"CPU of the bare SDK (at most {TIMES_THE_SDK})"
    )
    passed = share >= OF_THE_SDKS_RATE and row["trips"] <= TRIPS and ratio <= TIMES_THE_SDK
    shown: Row = {name: round(value, 2) for name, value in row.items()}
    shown |= {"times_the_sdks_rate": round(share, 2), "times_the_sdks_cpu": round(ratio, 2)}
    return Result("dials", passed, verdict, [shown])


def _measure(folder: Path, size: Dials) -> dict[str, float]:
    with DialStage(folder, rate=_NO_LIMIT, lines=10_000) as stage:
        bare = [_bare(stage.carrier_url, size.bare, AT_ONCE)]
        stage.start_dialer()
        _dial(stage, "warm", _WARM)
        trips, outside, ticks = _count_trips(stage)
        (worker,) = stage.workers
        cpu = {name: stage.cpu_s(name) for name in (worker, "callbacks")}
        before = len(stage.arrivals())
        took_s = _dial(stage, "measured", size.dials)
        used = {name: stage.cpu_s(name) - since for name, since in cpu.items()}
        arrivals = [dial.at for dial in stage.arrivals()[before:]]
        bare.append(_bare(stage.carrier_url, size.bare, AT_ONCE))
        alone = _bare(stage.carrier_url, size.bare, 1)
    return {
        "dials": len(arrivals),
        "dials_per_s": (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]),
        "sdk_dials_per_s": sum(one["dials_per_s"] for one in bare) / len(bare),
        "conclusions_per_s": size.dials / took_s,
        "trips": (sum(trips.values()) - ticks) / _COUNTED,
        **{f"{name}_trips": count / _COUNTED for name, count in sorted(trips.items())},
        "ticks_trips": ticks / _COUNTED,
        "callbacks_trips": outside / _COUNTED,
        "cpu_ms": 1000 * used[worker] / size.dials,
        "callbacks_cpu_ms": 1000 * used["callbacks"] / size.dials,
        "sdk_cpu_ms": alone["cpu_ms"],
    }


def _count_trips(stage: DialStage) -> tuple[Counter[str], int, float]:
    """Return the workers' round trips for some dials by name, the callbacks server's, and how many of the former are ticks'.

    We ask the store nothing ourselves while the commands are counted.
    """
    counted = stage.enlist(_COUNTED, rate=_NO_LIMIT, lines=10_000, name="counted")
    with _Listener(stage) as heard:
        time.sleep(_IDLE_S)
        idle = sum(heard.trips().values())
        began = time.monotonic()
        stage.go(counted)
        while heard.trips()["conclude"] < _COUNTED:
            stage.check()
            if time.monotonic() > began + _PATIENCE_S:
                raise TimeoutError(f"not all dials were concluded in {_PATIENCE_S:.0f} s; see the logs")
            time.sleep(0.1)
        took_s = time.monotonic() - began
        trips, outside = Counter(heard.trips()), heard.outside
    trips["set_state"] -= 1  # our own, to let it begin
    return trips - Counter(), outside, idle + idle / _IDLE_S * took_s


def _dial(stage: DialStage, name: str, people: int) -> float:
    """Let a campaign be rung to its end; returns the seconds that it took."""
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
    """Listens to the server tell of each command that it is sent, and counts the store's. A script counts as one."""

    def __init__(self, stage: DialStage) -> None:
        self.outside = 0
        self._counts: Counter[str] = Counter()
        self._client = redis.Redis.from_url(stage.redis_url, decode_responses=True)
        self._scripts = {self._client.register_script(text).sha: name for name, text in read_scripts().items()}
        self._hears, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._hears.wait(_PATIENCE_S):
            raise TimeoutError("the server does not tell of its commands")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._client.ping()  # one more for it to hear
        self._thread.join(10)

    def trips(self) -> Counter[str]:
        """Return the round trips of the workers so far, by script or command."""
        return self._counts

    def _listen(self) -> None:
        with self._client.monitor() as monitor:
            self._hears.set()
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
                    # The commands of a pipeline come in one breath, and are one trip.
                    name, last, plain_at = verb.lower(), plain_at, float(told["time"])
                    if plain_at - last < _BREATH_S:
                        continue
                # A callback's witness has no token, so it is not the worker's.
                if name == "witness" and re.search(r" call:\S+ ", command):
                    self.outside += 1
                else:
                    self._counts[name] += 1


def _bare(url: str, count: int, at_once: int) -> dict[str, float]:
    """Let the SDK itself dial, in a process of its own; returns its dials a second, and the milliseconds of CPU of each."""
    command = [
        sys.executable,
        "-m",
        "bench.bare",
        "dials",
        "--url",
        url,
        "--dials",
        str(count),
        "--at-once",
        str(at_once),
    ]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
