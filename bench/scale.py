"""How many contacts: what enlisting a long file takes, and what it costs that a million wait."""

import asyncio
import json
import os
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
ROWS_PER_S: Final = 20_000
COMMAND_MB: Final = 150
BYTES_EACH: Final = 220
STATUS_MS: Final = 200
CLAIM_MS: Final = 10
CLAIMED: Final = 30
KB: Final = 1024


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of the file."""

    rows: int


@dataclass(frozen=True, slots=True)
class ManyWaiting:
    """Contacts that wait, and claims that are timed."""

    waiting: int
    claims: int


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command took, with all its processes."""

    seconds: float
    peak_mb: float
    halfway_mb: float  # the peak of the first half of its time
    output: str


async def enqueue(folder: Path, size: Rows) -> Result:
    """Enlist a file by the command, twice; then ask for the campaign's status."""
    file = folder / "contacts.csv"
    good = await asyncio.to_thread(write_crowd, file, size.rows)
    with server(folder) as (embedded, client):
        Store.at(embedded.url).campaigns.define(load_campaign(CAMPAIGN))  # so that what is measured is the contacts'
        before = _memory(client)
        first = await run(["enqueue", str(CAMPAIGN), str(file), "--json"], embedded.url, folder)
        told: dict[str, Any] = json.loads(first.output)
        each = (_memory(client) - before) / max(1, told["enlisted"])
        again = await run(["enqueue", str(CAMPAIGN), str(file), "--json"], embedded.url, folder)
        store = Store.at(embedded.url)
        answers = [_timed(lambda: store.reading.status(CAMPAIGN.name)) for _ in range(50)]
        commands = [await run(["status", CAMPAIGN.name, "--json"], embedded.url, folder) for _ in range(7)]
    rate, rate_again = size.rows / first.seconds, size.rows / again.seconds
    status_ms = percentile([ran.seconds * 1000 for ran in commands], 50)
    whole = told["enlisted"] == good and told["rows"] == size.rows and json.loads(again.output)["known"] == good
    row: Row = {
        "rows": size.rows,
        "contacts": told["enlisted"],
        "rows_per_s": round(rate),
        "rows_per_s_again": round(rate_again),
        "peak_mb": round(first.peak_mb),
        "peak_mb_of_first_half": round(first.halfway_mb),
        "redis_bytes_per_contact": round(each),
        "status_answers_ms": round(percentile(answers, 50), 1),
        "dialout_status_ms": round(status_ms),
    }
    passed = (
        whole
        and min(rate, rate_again) >= ROWS_PER_S
        and first.peak_mb <= COMMAND_MB
        and each <= BYTES_EACH
        and percentile(answers, 99) < STATUS_MS
    )
    verdict = (
        f"{rate:,.0f} rows/s ({rate_again:,.0f} the second time; at least {ROWS_PER_S:,}) in {first.peak_mb:.0f} MB "
        f"(at most {COMMAND_MB}), {each:.0f} bytes of Redis for each contact (at most {BYTES_EACH}); status answers in "
        f"{percentile(answers, 99):.1f} ms (p99; at most {STATUS_MS}), its command in {status_ms:.0f} ms"
        + ("" if whole else f"; NOT EVERY ROW: {told['enlisted']} enlisted of {good}")
    )
    return Result("enqueue", passed, verdict, [row])


async def claim(folder: Path, size: ManyWaiting) -> Result:
    """Claim thirty at a time from a campaign in which very many wait."""
    file = folder / "contacts.csv"
    await asyncio.to_thread(write_crowd, file, size.waiting)
    with server(folder) as (embedded, _):
        await run(["enqueue", str(CAMPAIGN), str(file), "--json"], embedded.url, folder)
        store = Store.at(embedded.url)
        campaign = _unlimited(load_campaign(CAMPAIGN))
        waiting = store.reading.status(campaign.name).due
        places = store.campaigns.places(campaign.name)
        bid = Bid(campaign, list(places.values()), campaign.pacing.lines, answer_rate=0.5)
        took, claimed = list[float](), list[str]()

        def once() -> None:
            ahead = timedelta(milliseconds=len(claimed) + CLAIMED - 1)  # one more each millisecond
            limits = ClaimLimits(10**9, 1000, ahead, timedelta(hours=1), warm_bots=10**9)
            claimed.extend(store.pace.claim([bid], limits).get(campaign.name, ()))

        for _ in range(min(size.claims, waiting // CLAIMED)):
            took.append(_timed(once))
    worst = percentile(took, 99)
    whole = len(claimed) == len(set(claimed)) == CLAIMED * len(took)
    row: Row = {
        "waiting": waiting,
        "places": len(places),
        "claims": len(took),
        "median_ms": round(percentile(took, 50), 2),
        "p99_ms": round(worst, 2),
        "max_ms": round(max(took), 2),
    }
    verdict = f"{CLAIMED} of {waiting:,} claimed in {worst:.1f} ms (p99; at most {CLAIM_MS})"
    return Result("claim", whole and worst < CLAIM_MS, verdict + ("" if whole else "; NOT EACH ONCE"), [row])


@contextmanager
def server(folder: Path) -> Iterator[tuple[EmbeddedRedis, redis.Redis]]:
    """A durable Redis of its own, with an operator's limits: what the embedded one allows itself is set back."""
    with EmbeddedRedis(folder / "redis") as embedded, redis.Redis.from_url(embedded.url) as client:
        client.config_set("hash-max-listpack-value", 64)
        yield embedded, client


async def run(command: list[str], url: str, folder: Path) -> Ran:
    """Run `dialout …` as a process of its own; raises RuntimeError with what it said if it fails."""
    began = time.monotonic()
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
    return Ran(seconds, max(seen), max(half), output.decode())


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
    """What a process has of the memory, pages shared with others divided among them."""
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
    """Bytes of the server that hold contacts: not its clients, its log, nor the rows that were refused."""
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
