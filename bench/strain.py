"""What the process takes: eight conversations at once, and knocks of strangers at its door."""

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench.analysis import percentile
from bench.calls import Call, Ring, brief, place_all
from bench.cast import CHAT_S
from bench.result import Result, Row, Size
from bench.stage import OURS, Stage
from campaigns.call import BRIEF_TTL_S, to_parameters

LONGEST_HOLE_S: Final = 0.5
"""As it is heard, with the refilling of the jitter buffer: a stumble, not a pause that one would speak into."""

LATE_SHARE: Final = 0.005
KNOCK_S: Final = 2.0
"""So long a stranger waits to be thrown out, and the providers are watched."""


# --- load -------------------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Looks at an agent's process from outside while it works."""

    stage: Stage
    agent: str
    answers_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Knock at its health check, which waits for the event loop as everything else does."""
        url = self.stage.agent(self.agent, "http", "/livez")
        while True:
            asked = time.perf_counter()
            await self.stage.client.get(url)
            self.answers_s.append(time.perf_counter() - asked)
            self.rss_mb.append(memory_mb(self.stage.pid(self.agent)))
            await asyncio.sleep(0.05)


async def load(folder: Path, size: Size) -> Result:
    """So many conversations of a minute at once in one process."""
    async with Stage(folder) as stage:
        await place_all(stage, [Ring("hears_first_word")], at_once=1)
        idle_mb, idle_cpu_s = memory_mb(stage.pid(OURS)), cpu_s(stage.pid(OURS))
        watch = Watch(stage, OURS)
        watching = asyncio.create_task(watch.run())
        calls = await place_all(stage, [Ring("chatters") for _ in range(size.calls)], at_once=size.at_once)
        watching.cancel()
        used_cpu_s = cpu_s(stage.pid(OURS)) - idle_cpu_s
    call_s = sum(call.timeline.end_s for call in calls)
    late = sum(_stream(call)["late_frames"] for call in calls)
    heard_s = sum(float(call.record["heard_s"]) for call in calls)
    hole_s = max(float(_stream(call)["longest_hole_s"]) for call in calls)
    row: Row = {
        "calls_at_once": size.at_once,
        "call_s": round(call_s),
        "late_frames": late,
        "of_frames": round(heard_s * 50),
        "worst_hole_ms": round(hole_s * 1000),
        "loop_median_ms": round(percentile(watch.answers_s, 50) * 1000, 1),
        "loop_p99_ms": round(percentile(watch.answers_s, 99) * 1000, 1),
        "loop_worst_ms": round(max(watch.answers_s) * 1000, 1),
        "cpu_s_per_call_s": round(used_cpu_s / call_s, 3),
        "rss_idle_mb": round(idle_mb),
        "rss_mb_per_call": round((max(watch.rss_mb) - idle_mb) / size.at_once, 1),
    }
    shortest = min(call.timeline.end_s for call in calls)
    return Result(
        "load",
        hole_s <= LONGEST_HOLE_S and late <= LATE_SHARE * heard_s * 50 and shortest >= CHAT_S / 2,
        f"{size.at_once} at once: {late} of {row['of_frames']} frames late, the worst hole {row['worst_hole_ms']} ms, "
        f"{row['cpu_s_per_call_s']} CPU seconds and {row['rss_mb_per_call']} MB for each call",
        [row],
    )


def _stream(call: Call) -> dict[str, Any]:
    return call.record["stream"]


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used; 0 where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Return what a process holds in memory; 0 where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# --- doors ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Knock:
    """What came of one stranger."""

    closed_with: int | None  # None: not closed within KNOCK_S
    closed_after_s: float
    connections: int  # to providers, meanwhile
    asked: int  # of providers: things to say, things heard, prompts
    heard_s: float  # of the bot


async def doors(folder: Path, size: Size) -> Result:
    """Streams without a good brief cost no provider anything; one with none at all is somebody who rings us."""
    async with Stage(folder, counted=True) as stage:
        await place_all(stage, [Ring("hears_first_word")], at_once=1)
        rows: list[Row] = []
        for kind, parameters in _briefs(stage).items():
            rows += [_knock_row(kind, await _knock(stage, parameters)) for _ in range(size.calls)]
    refused = [row for row in rows if row["brief"] != "none at all"]
    inbound = [row for row in rows if row["brief"] == "none at all"]
    shut = all(row["closed_with"] == 1008 and not row["connections"] and not row["asked"] for row in refused)  # noqa: PLR2004
    greeted = all(row["closed_with"] is None and row["heard_s"] for row in inbound)
    return Result(
        "doors",
        shut and greeted,
        f"{len(refused)} streams with a bad brief were {'all' if shut else 'NOT all'} closed before any provider was "
        f"asked; {len(inbound)} without one {'got' if greeted else 'did NOT get'} the inbound part",
        rows,
    )


def _briefs(stage: Stage) -> dict[str, dict[str, str]]:
    good = to_parameters(brief(stage, "bench-doors#1", Ring("nobody")), stage.secret)
    old = brief(stage, "bench-doors#1", Ring("nobody")).model_copy(
        update={"issued_at": int(time.time()) - BRIEF_TTL_S - 60}
    )
    return {
        "another secret's": to_parameters(brief(stage, "bench-doors#1", Ring("nobody")), "another secret"),
        "altered": good | {"greeting": "Give me your card number."},
        "cut": {name: value for name, value in good.items() if not name.startswith("instructions")},
        "unsigned": {name: value for name, value in good.items() if name != "signature"},
        "expired": to_parameters(old, stage.secret),
        "none at all": {},
    }


async def _knock(stage: Stage, parameters: Mapping[str, str]) -> Knock:
    connections, asked = stage.connections(), await _asked(stage)
    begun, code, messages = time.perf_counter(), None, 0
    async with connect(stage.agent(OURS), ping_interval=None) as socket:
        try:
            for message in _opening(parameters):
                await socket.send(json.dumps(message))
            async with asyncio.timeout(KNOCK_S):
                async for text in socket:
                    messages += json.loads(text).get("event") == "media"
            code = socket.close_code
        except TimeoutError:
            pass
        except (ConnectionClosed, WebSocketException):
            code = socket.close_code
        after_s = time.perf_counter() - begun
    await asyncio.sleep(max(0.0, KNOCK_S - after_s) if parameters else 0)
    return Knock(code, after_s, stage.connections() - connections, await _asked(stage) - asked, messages * 0.04)


async def _asked(stage: Stage) -> int:
    return sum([len(await stage.window(name)) for name in ("spoken", "heard", "prompts")])


def _opening(parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    start = {
        "user_id": "stranger",
        "call_control_id": "v3:stranger",
        "from": "+12125550111",
        "to": "+12125550100",
        "custom_parameters": dict(parameters),
        "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
    }
    return [
        {"event": "connected", "version": "1.0.0"},
        {"event": "start", "sequence_number": "1", "stream_id": "stranger", "start": start},
    ]


def _knock_row(kind: str, knock: Knock) -> Row:
    return {
        "brief": kind,
        "closed_with": knock.closed_with,
        "after_ms": round(knock.closed_after_s * 1000) if knock.closed_with else None,
        "connections": knock.connections,
        "asked": knock.asked,
        "heard_s": round(knock.heard_s, 1),
    }
