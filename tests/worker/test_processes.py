import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from worker.machine.processes import ProcessDied, Processes, free_port, undisturbed

SETTINGS = {
    "REDIS_URL": "", "TELNYX_API_KEY": "k", "TELNYX_TEXML_APP_ID": "1", "CALLER_IDS": "+12125550100",
    "PUBLIC_URL": "https://dialer.example", "BRIEF_SECRET": "s", "STREAM_URL": "ws://agent.example/ws",
}  # fmt: skip


def children(pid: int) -> dict[str, int]:
    """Return the ids of a process's children by their command lines."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found[Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")] = int(child)
    return found


def until_said(log: Path, words: str) -> None:
    deadline = time.monotonic() + 300
    while words not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_what_dies_under_dialout_up_is_started_again(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    environment = os.environ | SETTINGS | {"DIALOUT_DATA": str(tmp_path / "data"), "COLUMNS": "200"}
    with log.open("w") as file:
        up = subprocess.Popen(
            [sys.executable, "-m", "worker.cli", "up", "--port", str(free_port())],
            env=environment,
            stderr=file,
            stdout=file,
        )
        try:
            until_said(log, "Ctrl-C ends them")
            time.sleep(11)  # what dies at once is not started again
            before = children(up.pid)
            for what, name in (("celery -A worker worker", "worker"), ("valkey", "embedded Redis")):
                (pid,) = [pid for command, pid in before.items() if what in command]
                os.kill(pid, signal.SIGKILL)
                until_said(log, f"The {name} stopped unexpectedly, and was started again.")
            assert len(children(up.pid)) == len(before) == 4
        finally:
            up.terminate()
            assert up.wait(300) == 0


def test_what_dies_at_once_is_not_started_again_and_its_log_is_named(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start("worker", ["worker.no_such_module"], {}).wait()
        with pytest.raises(ProcessDied, match=r"the worker stopped unexpectedly .*worker\.log"):
            processes.revive()


def started_in(folder: Path) -> list[int]:
    """Return the ids of all processes whose environment or command line names a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            if str(folder).encode() in told:
                found.append(int(process.name))
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_rehearsal_that_is_told_to_end_leaves_no_process_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worker.cli", "rehearse"]
    rehearsal = subprocess.Popen(
        command, env=os.environ | {"DIALOUT_DATA": str(tmp_path)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while len(started_in(tmp_path)) < 6:  # itself, Redis, the sandbox and its parts
            assert rehearsal.poll() is None, "it has ended by itself"
            time.sleep(0.2)
    finally:
        rehearsal.terminate()
    assert rehearsal.wait(300) == 143
    assert started_in(tmp_path) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_a_child_starts_waits_until_the_child_is_known(ending: signal.Signals) -> None:
    came: list[int] = []
    before = signal.signal(ending, lambda number, _: came.append(number))
    try:
        with undisturbed():
            signal.raise_signal(ending)
            assert came == []
        assert came == [ending]
    finally:
        signal.signal(ending, before)
