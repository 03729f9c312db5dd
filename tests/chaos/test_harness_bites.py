"""The harness bites: it catches a dialer that breaks a promise, and finds nothing in ours after the same troubles."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery

from .auditor import AuditVerdict, audit_posts
from .cast import Cast, assemble
from .proxy import Trap
from .run import enqueue, finish, left
from .stage import ROOT, ChaosStage

PACKAGES = ("worker", "campaigns", "sandbox")
PATIENCE_S = 600.0
"""No verdict hangs on this: it ends what would never end."""

DIAL = "worker/dialing/dial.py"

REDIALS_AFTER_A_TIMEOUT = [
    (
        DIAL,
        "        _record(dialer, case, leave, DialAnswer(unconfirmed=True, reason=str(doubt)), doubt.left_at)\n",
        "        _give_back(dialer, case, leave.token, _no(case, Rule.CARRIER_BUSY, dialer.store.now(), str(doubt)))\n",
    )
]
# Either of the two keeps a dial from being sent again: the client that never retries, and the fence that opens once.
RETRIES_IN_THE_SDK = [
    ("worker/telnyx/carrier.py", "max_retries=0", "max_retries=2"),
    ("worker/telnyx/fence.py", "self._open = not self.passed and self._may_leave()", "self._open = self._may_leave()"),
    ("worker/telnyx/fence.py", "        if self.passed or not self._open:", "        if not self._open:"),
]
DIALS_BEFORE_WRITING = [
    (
        DIAL,
        "    if not leave.begin():",
        (
            "    early = dialer.phone.dial(replace(order, caller_id=dialer.settings.caller_ids[0]), lambda: True)\n"
            "    if not leave.begin():"
        ),
    ),
    (
        DIAL,
        "dialed = dialer.phone.dial(replace(order, caller_id=leave.caller_id), leave.given)",
        "dialed = early",
    ),
]
DROPS_THE_FENCE = [
    (DIAL, "    if case.begun:\n        return None\n", ""),
    ("worker/store/lua/begin.lua", "elseif redis.call('EXISTS', attempt) == 1 then\n  return {'no', 'gone', 0}\n", ""),
    (
        "worker/store/lua/begin.lua",
        "if not again and (not lease or tonumber(lease) <= now) then return {'no', 'gone', 0} end\n",
        "",
    ),
]  # fmt: skip


def mutated(folder: Path, changes: list[tuple[str, str, str]]) -> Path:
    """Return a copy of the dialer with some lines changed."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "celeryconfig.py", folder)
    for name, old, new in changes:
        file = folder / name
        text = file.read_text("utf-8")
        assert text.count(old) == 1, f"{name} no longer has this line: {old}"
        file.write_text(text.replace(old, new), "utf-8")
    return folder


def the_answer_fails(stage: ChaosStage, _: Cast) -> None:
    stage.faults(create=[{"kind": "502-after", "count": 3}, {"kind": "hang", "count": 2, "seconds": 8}])


def the_worker_dies_once_the_phone_rings(stage: ChaosStage, _: Cast) -> None:
    trap = Trap(b"POST /v2/texml/calls/", "after", lambda: stage.kill("worker", "after POST"))
    stage.proxies["carrier"].arm(trap)


def every_message_comes_six_times(stage: ChaosStage, cast: Cast) -> None:
    """Send them once the first phone rings: a message changes nothing while the campaign is paused."""
    store = stage.store
    ids = [f"{contact_id}#1" for part in cast.parts for contact_id in store.contacts.waiting(part.name, 50)]

    def send() -> None:
        with suppress(httpx.HTTPError):  # the run may be over before the first phone rings
            while not stage.posts():
                time.sleep(0.1)
        with Celery(broker=f"redis+socket://{stage.redis.socket}?virtual_host=0") as queue:
            queue.conf.broker_transport_options = {"global_keyprefix": "celery:"}
            for attempt_id in ids * 6:
                queue.send_task(
                    "worker.tasks.place_call", [attempt_id], queue="dial", exchange="dial", routing_key="dial"
                )

    threading.Thread(target=send, daemon=True).start()


def staged(folder: Path) -> Cast:
    return assemble(
        folder, 12, rate=20, lines=20, talkers=0, seed=1, kinds={"rejects": 1}, one_campaign=True, opens_in_s=3600
    )


def sent_twice(
    folder: Path, changes: list[tuple[str, str, str]], trouble: Callable[[ChaosStage, Cast], None]
) -> list[str]:
    """Run a dialer with some lines changed through some trouble; return what the auditor found."""
    cast, code = staged(folder / "run"), mutated(folder / "code", changes)
    with ChaosStage(folder / "run", cast.people, rate=20, lines=20, code=code, bot=False) as stage:
        enqueue(stage, cast, before=lambda: trouble(stage, cast))
        deadline = time.monotonic() + PATIENCE_S
        while not (found := audit_posts(stage.records)) and time.monotonic() < deadline:
            time.sleep(0.5)
    return found


def ours(folder: Path) -> tuple[AuditVerdict, list[str]]:
    """Run our dialer through all of that; return the auditor's verdict, and what was killed."""
    cast = staged(folder)

    def trouble() -> None:
        the_answer_fails(stage, cast)
        the_worker_dies_once_the_phone_rings(stage, cast)
        every_message_comes_six_times(stage, cast)

    with ChaosStage(folder, cast.people, rate=20, lines=20, bot=False) as stage:
        enqueue(stage, cast, before=trouble)
        deadline = time.monotonic() + PATIENCE_S
        while left(stage.store, cast) and time.monotonic() < deadline:
            time.sleep(0.3)
        return finish(stage, cast), [ending.how for ending in stage.endings]


DIALERS = {
    "re-dials after a failed answer": (REDIALS_AFTER_A_TIMEOUT, the_answer_fails),
    "lets the SDK retry": (RETRIES_IN_THE_SDK, the_answer_fails),
    "dials before writing": (DIALS_BEFORE_WRITING, the_worker_dies_once_the_phone_rings),
    "drops the fence": (DROPS_THE_FENCE, every_message_comes_six_times),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Any]]]:
    """Run all dialers side by side: mostly they wait."""
    with ThreadPoolExecutor() as pool:
        started: dict[str, Future[Any]] = {"ours": pool.submit(ours, tmp_path_factory.mktemp("ours"))}
        for name, (changes, trouble) in DIALERS.items():
            started[name] = pool.submit(sent_twice, tmp_path_factory.mktemp("mutated"), changes, trouble)
        yield started


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", DIALERS)
def test_a_dialer_that_breaks_a_promise_is_caught(name: str, runs: dict[str, Future[Any]]) -> None:
    assert runs[name].result(), "nobody noticed"


@pytest.mark.timeout(1200)
def test_ours_goes_through_all_of_that_and_nothing_is_found(runs: dict[str, Future[Any]]) -> None:
    verdict, killed = runs["ours"].result()
    assert verdict.clean, verdict.sentences()
    assert verdict.calls >= 8
    assert killed == ["after POST"]
