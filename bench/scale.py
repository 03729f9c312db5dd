"""Many contacts: what it takes to enlist a long file, and to claim while a million wait. The bare libraries do the same beside it.

More than 300 lines: every figure of a million contacts is measured over one store, file and claim.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import redis

from bench.analysis import percentile
from bench.crowd import write_crowd
from bench.result import Result, Row
from campaigns.campaign import Campaign, load_campaign
from worker.machine.embedded import EmbeddedRedis
from worker.store import Store
from worker.store.values import Bid, ClaimLimits

CAMPAIGN: Final = Path(__file__).parents[1] / "campaigns" / "appointment_reminder"
CPU_TIMES_BARE: Final = 1.2
"""Enlisting does all that the bare loop does, and more, and takes hardly more of the CPU for a row."""

RATE_TIMES_BARE: Final = 0.5
"""By the clock: what else the machine does meanwhile may hit one of the two only, so there is room."""

COMMAND_MB: Final = 150
BYTES_EACH: Final = 220
STATUS_TIMES_BARE: Final = 10
"""The bare pipeline asks for each zone's count and first contact, and for nothing else."""

CLAIM_TIMES_BARE: Final = 4.0
CLAIM_P99_TIMES_BARE: Final = 8.0
"""The claim reads limits, brakes, weights and every zone's queue; the bare script moves thirty members."""

CLAIMED: Final = 30
BARE_SHARE: Final = 10
"""The bare loop reads one row of so many."""

BARE_CLAIM: Final = """
local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1)
for n, member in ipairs(found) do
  redis.call('ZREM', KEYS[1], member)
  redis.call('ZADD', KEYS[2], ARGV[2], member)
  redis.call('HSET', KEYS[3] .. member, 'state', 'live', 'at', ARGV[2], 'n', n, 'attempt', member .. '#1')
end
return found
"""
KB: Final = 1024


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the file."""

    rows: int


@dataclass(frozen=True, slots=True)
class ManyWaiting:
    """How many contacts wait, and how many claims are timed."""

    waiting: int
    claims: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command took, with all its processes together."""

    seconds: float
    cpu_s: float
    peak_mb: float
    halfway_mb: float  # the peak of the first half of its time
    output: str


async def enqueue(folder: Path, size: Rows) -> Result:
    """Enlist a file by the command, twice, and read a part of it in a bare loop before and after; then ask for the status."""
    file = folder / "contacts.csv"
    good = await asyncio.to_thread(write_crowd, file, size.rows)
    with server(folder) as (embedded, client):
        store = Store.at(embedded.url)
        store.campaigns.define(load_campaign(CAMPAIGN))  # its memory is not the contacts'
        bare = [await _bare(file, embedded, size.rows)]
        before = _memory(client)
        first = await run(["enqueue", str(CAMPAIGN), str(file), "--json"], embedded.url, folder)
        told: dict[str, Any] = json.loads(first.output)
        each = (_memory(client) - before) / max(1, told["enlisted"])
        again = await run(["enqueue", str(CAMPAIGN), str(file), "--json"], embedded.url, folder)
        answers, pipeline = _statuses(store, client)
        bare.append(await _bare(file, embedded, size.rows))
        commands = [await run(["status", CAMPAIGN.name, "--json"], embedded.url, folder) for _ in range(7)]
    rate, rate_again = size.rows / first.seconds, size.rows / again.seconds
    start_s = percentile([ran.seconds for ran in commands], 50)
    start_cpu_s = percentile([ran.cpu_s for ran in commands], 50)
    bare_rate, bare_cpu_us = (sum(one[name] for one in bare) / len(bare) for name in ("rows_per_s", "cpu_us"))
    cpu_us = max(1e6 * (ran.cpu_s - start_cpu_s) / size.rows for ran in (first, again))
    rate_times = min(size.rows / max(0.1, ran.seconds - start_s) for ran in (first, again)) / bare_rate
    status_times = percentile(answers, 50) / percentile(pipeline, 50)
    whole = told["enlisted"] == good and told["rows"] == size.rows and json.loads(again.output)["known"] == good
    row: Row = {
        "rows": size.rows,
        "contacts": told["enlisted"],
        "rows_per_s": round(rate),
        "rows_per_s_again": round(rate_again),
        "bare_rows_per_s": round(bare_rate),
        "cpu_us_per_row": round(cpu_us),
        "bare_cpu_us_per_row": round(bare_cpu_us),
        "peak_mb": round(first.peak_mb),
        "peak_mb_of_first_half": round(first.halfway_mb),
        "redis_bytes_per_contact": round(each),
        "status_answers_ms": round(percentile(answers, 50), 1),
        "bare_pipeline_ms": round(percentile(pipeline, 50), 1),
        "dialout_status_ms": round(1000 * start_s),
    }
    passed = (
        whole
        and cpu_us <= CPU_TIMES_BARE * bare_cpu_us
        and rate_times >= RATE_TIMES_BARE
        and first.peak_mb <= COMMAND_MB
        and each <= BYTES_EACH
        and status_times <= STATUS_TIMES_BARE
    )
    verdict = (
        f"{rate:,.0f} rows/s ({rate_again:,.0f} the second time); but for the command's start, {rate_times:.2f} times the rows "
        f"of a bare loop (at least {RATE_TIMES_BARE}) and {cpu_us / bare_cpu_us:.2f} times its CPU (at most {CPU_TIMES_BARE}), "
        f"in {first.peak_mb:.0f} MB (at most {COMMAND_MB}); {each:.0f} bytes of Redis for each contact (at most {BYTES_EACH}); "
        f"the status answers in {percentile(answers, 50):.1f} ms, {status_times:.1f} times a bare pipeline's (at most "
        f"{STATUS_TIMES_BARE}), its command in {1000 * start_s:.0f} ms"
        + ("" if whole else f"; NOT EVERY ROW: {told['enlisted']} enlisted of {good}")
    )
    return Result("enqueue", passed, verdict, [row])


def _statuses(store: Store, client: redis.Redis) -> tuple[list[float], list[float]]:
    """Ask for the status, and by turns for each zone's count and first contact; returns the milliseconds of both."""
    queues = list(client.scan_iter(match=f"{{dialout}}:due:{CAMPAIGN.name}:*", count=1000))

    def bare() -> None:
        with client.pipeline(transaction=False) as pipe:
            for queue in queues:
                pipe.zcard(queue)
                pipe.zrange(queue, 0, 0, withscores=True)
            pipe.execute()

    pairs = [(_timed(lambda: store.reading.status(CAMPAIGN.name)), _timed(bare)) for _ in range(50)]
    return [ours for ours, _ in pairs], [theirs for _, theirs in pairs]


async def _bare(file: Path, embedded: EmbeddedRedis, count: int) -> dict[str, float]:
    """Let the bare loop read a part of a file into a database of its own; returns rows a second and microseconds of CPU."""
    url = embedded.url.replace("db=0", "db=1")
    command = [
        sys.executable,
        "-m",
        "bench.bare",
        "rows",
        str(file),
        "--redis",
        url,
        "--rows",
        str(count // BARE_SHARE),
    ]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return json.loads(done.stdout)


async def claim(folder: Path, size: ManyWaiting) -> Result:
    """Claim thirty at a time from a campaign in which very many wait, and by turns let a bare script move thirty."""
    file = folder / "contacts.csv"
    await asyncio.to_thread(write_crowd, file, size.waiting)
    with server(folder) as (embedded, client):
        await run(["enqueue", str(CAMPAIGN), str(file), "--json"], embedded.url, folder)
        store = Store.at(embedded.url)
        campaign = _unlimited(load_campaign(CAMPAIGN))
        waiting = store.reading.status(campaign.name).due
        places = store.campaigns.places(campaign.name)
        bid = Bid(campaign, list(places.values()), campaign.pacing.lines, answer_rate=0.5)
        took, bare, claimed = list[float](), list[float](), list[str]()
        script = _bare_claim(client, waiting)

        def once() -> None:
            ahead = timedelta(milliseconds=len(claimed) + CLAIMED - 1)  # one more each millisecond
            limits = ClaimLimits(10**9, 1000, ahead, timedelta(hours=1), warm_bots=10**9)
            claimed.extend(store.pace.claim([bid], limits).get(campaign.name, ()))

        for _ in range(min(size.claims, waiting // CLAIMED)):
            took.append(_timed(once))
            bare.append(_timed(script))
    worst, bare_worst = percentile(took, 99), percentile(bare, 99)
    times, worst_times = percentile(took, 50) / percentile(bare, 50), worst / bare_worst
    whole = len(claimed) == len(set(claimed)) == CLAIMED * len(took)
    row: Row = {
        "waiting": waiting,
        "places": len(places),
        "claims": len(took),
        "median_ms": round(percentile(took, 50), 2),
        "p99_ms": round(worst, 2),
        "max_ms": round(max(took), 2),
        "bare_median_ms": round(percentile(bare, 50), 2),
        "bare_p99_ms": round(bare_worst, 2),
    }
    verdict = (
        f"{CLAIMED} of {waiting:,} claimed in {percentile(took, 50):.2f} ms (median), {times:.1f} times a bare script's (at most "
        f"{CLAIM_TIMES_BARE}), and {worst:.1f} ms (p99), {worst_times:.1f} times (at most {CLAIM_P99_TIMES_BARE})"
    )
    passed = whole and times <= CLAIM_TIMES_BARE and worst_times <= CLAIM_P99_TIMES_BARE
    return Result("claim", passed, verdict + ("" if whole else "; NOT EACH ONCE"), [row])


def _bare_claim(client: redis.Redis, waiting: int) -> Callable[[], object]:
    """Let as many members wait in one sorted set; returns what moves thirty of them, each with a hash of its own."""
    script = client.register_script(BARE_CLAIM)
    for start in range(0, waiting, 1000):
        client.zadd("bare:due", {f"{number:08x}": number for number in range(start, min(waiting, start + 1000))})
    return lambda: script(keys=["bare:due", "bare:live", "bare:attempt:"], args=[CLAIMED, 1])


@contextmanager
def server(folder: Path) -> Iterator[tuple[EmbeddedRedis, redis.Redis]]:
    """Start a durable Redis with an operator's limits: the embedded one's own settings are set back."""
    with EmbeddedRedis(folder / "redis") as embedded, redis.Redis.from_url(embedded.url) as client:
        client.config_set("hash-max-listpack-value", 64)
        yield embedded, client


async def run(command: list[str], url: str, folder: Path) -> Ran:
    """Run `dialout …` as a process of its own; raises RuntimeError with what it said if it fails."""
    began, cpu_s = time.monotonic(), _cpu_of_children_s()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker.cli", *command,
        env=os.environ | {"REDIS_URL": url}, cwd=CAMPAIGN.parents[1],
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    seen = [0.0]
    watching = asyncio.create_task(_watch(process.pid, seen))
    output, complaint = await process.communicate()
    seconds = time.monotonic() - began
    watching.cancel()
    (folder / "command.log").write_bytes(output + complaint)
    if process.returncode:
        raise RuntimeError(f"dialout {' '.join(command)}: {complaint.decode()}")
    half = seen[: max(1, len(seen) // 2)]
    return Ran(seconds, _cpu_of_children_s() - cpu_s, max(seen), max(half), output.decode())


def _cpu_of_children_s() -> float:
    """Return the CPU seconds of all children that have ended, with their own children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def _watch(pid: int, seen: list[float]) -> None:
    """Note ten times a second how many MB a process and its children have."""
    while True:
        seen.append(sum(map(_proportional_mb, _family(pid))))
        await asyncio.sleep(0.1)


def _family(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, _read(task).split())
    return found


def _proportional_mb(pid: int) -> float:
    """Return the memory of a process in MB. Pages that it shares are divided among those that share them."""
    for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / KB
    return 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:  # it has ended
        return ""


def _memory(client: redis.Redis) -> float:
    """Return the bytes of the server that hold contacts, without its clients, its log, and the rows that were refused."""
    told: dict[str, Any] = client.info("memory")  # type: ignore[assignment]
    refused = client.memory_usage(f"{{dialout}}:rows:{CAMPAIGN.name}", samples=0) or 0
    return told["used_memory"] - told["mem_clients_normal"] - told["mem_aof_buffer"] - refused  # type: ignore[operator]


def _unlimited(campaign: Campaign) -> Campaign:
    pacing = campaign.pacing.model_copy(update={"lines": 10**9, "calls_per_second": 1000.0})
    return campaign.model_copy(update={"pacing": pacing})


def _timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - began)
