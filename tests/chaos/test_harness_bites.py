"""The harness finds what it is there to find: a dialer that breaks a promise is caught, and ours, in the same drill, is not."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery

from .auditor import audit_posts
from .cast import Cast, assemble
from .proxy import Trap
from .run import enqueue, finish, left
from .stage import ROOT, Stage

PACKAGES = ("worker", "campaigns", "sandbox")

REDIALS_AFTER_A_TIMEOUT = [
    (
        "worker/tasks.py",
        "        answer = DialAnswer(unconfirmed=True, reason=str(doubt))\n",
        '        _not_dialed(case, token, "again", str(doubt), store().now())\n        return\n',
    )
]
RETRIES_IN_THE_SDK = [("worker/carrier.py", "max_retries=0", "max_retries=2")]
DIALS_BEFORE_WRITING = [
    ("worker/tasks.py", "    begun_at = _begin(", "    early = carrier().dial(order)\n    begun_at = _begin("),
    ("worker/tasks.py", "DialAnswer(call_sid=carrier().dial(order))", "DialAnswer(call_sid=early)"),
]
DROPS_THE_FENCE = [
    ("worker/tasks.py", "    if case is None or case.begun:\n        return\n    now", "    if case is None:\n        return\n    now"),
    ("worker/lua/begin.lua", "if redis.call('EXISTS', KEYS[1]) == 1 then return {'no', 'gone'} end\n", ""),
    ("worker/lua/begin.lua", "if not lease or tonumber(lease) <= now then return {'no', 'gone'} end\n", ""),
]  # fmt: skip


def mutated(folder: Path, changes: list[tuple[str, str, str]]) -> Path:
    """Return a copy of the dialer with some lines changed."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "celeryconfig.py", folder)
    for name, old, new in changes:
        file = folder / name
        text = file.read_text("utf-8")
        assert text.count(old) == 1, f"{name} has no such line any more: {old}"
        file.write_text(text.replace(old, new), "utf-8")
    return folder


def the_answer_fails(stage: Stage, _: Cast) -> None:
    stage.faults(create=[{"kind": "502-after", "count": 3}, {"kind": "hang", "count": 2, "seconds": 8}])


def the_worker_dies_once_the_phone_rings(stage: Stage, _: Cast) -> None:
    trap = Trap(b"POST /v2/texml/calls/", "after", lambda: stage.kill("worker", "after POST"))
    stage.proxies["carrier"].arm(trap)


def every_message_comes_six_times(stage: Stage, cast: Cast) -> None:
    store = stage.store
    ids = [f"{contact_id}#1" for part in cast.parts for contact_id in store.waiting(part.name, 50)]
    with Celery(broker=f"redis+socket://{stage.redis.socket}?virtual_host=0") as queue:
        queue.conf.broker_transport_options = {"global_keyprefix": "celery:"}
        for attempt_id in ids * 6:
            queue.send_task("worker.tasks.place_call", [attempt_id], queue="dial", exchange="dial", routing_key="dial")


def staged(folder: Path) -> Cast:
    return assemble(
        folder, 12, rate=20, lines=20, talkers=0, seed=1, kinds={"rejects": 1}, one_campaign=True, opens_in_s=3600
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("changes", "trouble"),
    [
        (REDIALS_AFTER_A_TIMEOUT, the_answer_fails),
        (RETRIES_IN_THE_SDK, the_answer_fails),
        (DIALS_BEFORE_WRITING, the_worker_dies_once_the_phone_rings),
        (DROPS_THE_FENCE, every_message_comes_six_times),
    ],
    ids=["re-dials after a failed answer", "lets the SDK retry", "dials before writing", "drops the fence"],
)
def test_a_dialer_that_breaks_a_promise_is_caught(
    changes: list[tuple[str, str, str]], trouble: Callable[[Stage, Cast], None], tmp_path: Path
) -> None:
    cast, code = staged(tmp_path / "run"), mutated(tmp_path / "code", changes)
    with Stage(tmp_path / "run", cast.people, rate=20, lines=20, code=code, bot=False) as stage:
        enqueue(stage, cast, before=lambda: trouble(stage, cast))
        deadline = time.monotonic() + 60
        while not (found := audit_posts(stage.records)) and time.monotonic() < deadline:
            time.sleep(0.5)
    assert found, "nobody noticed"


@pytest.mark.timeout(300)
def test_ours_goes_through_all_of_that_and_nothing_is_found(tmp_path: Path) -> None:
    cast = staged(tmp_path)

    def trouble() -> None:
        the_answer_fails(stage, cast)
        the_worker_dies_once_the_phone_rings(stage, cast)
        every_message_comes_six_times(stage, cast)

    with Stage(tmp_path, cast.people, rate=20, lines=20, bot=False) as stage:
        enqueue(stage, cast, before=trouble)
        deadline = time.monotonic() + 200
        while left(stage.store, cast) and time.monotonic() < deadline:
            time.sleep(0.3)
        verdict = finish(stage, cast)
    assert verdict.clean, verdict.sentences()
    assert verdict.calls >= 8
    assert [ending.how for ending in stage.endings] == ["after POST"]
