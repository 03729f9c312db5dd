"""What goes wrong first for a newcomer: one sentence says what to do, with exit code 1 and no traceback."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "campaigns" / "appointment_reminder"


def dialout(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        [sys.executable, "-m", "worker.cli", *words],
        cwd=cwd, env=clean | {"PYTHONPATH": str(ROOT)} | environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_no_redis_at_all(tmp_path: Path) -> None:
    assert "REDIS_URL is not set" in complaint(dialout("status", cwd=tmp_path))


def test_a_redis_that_does_not_answer(tmp_path: Path) -> None:
    done = dialout("status", cwd=tmp_path, REDIS_URL="redis://127.0.0.1:9/0")
    assert "cannot reach Redis" in complaint(done)


def test_no_redis_binary_for_this_platform(tmp_path: Path) -> None:
    done = dialout("rehearse", str(SAMPLE), cwd=tmp_path, REDIS_SERVER_BIN="/nowhere/redis-server")
    assert "REDIS_SERVER_BIN names /nowhere/redis-server, which does not exist" in complaint(done)


def test_a_missing_setting(tmp_path: Path) -> None:
    done = dialout("up", cwd=tmp_path, TELNYX_API_KEY="k")
    assert "TELNYX_TEXML_APP_ID, CALLER_IDS, PUBLIC_URL and BRIEF_SECRET are not set" in complaint(done)


def test_a_wrong_setting(tmp_path: Path) -> None:
    assert "LINES: input should be" in complaint(dialout("status", cwd=tmp_path, LINES="many"))


def test_a_port_that_is_taken(tmp_path: Path, taken_port: int) -> None:
    done = dialout("sandbox", "--telnyx-port", str(taken_port), cwd=tmp_path)
    assert f"cannot listen on 127.0.0.1:{taken_port}: Address already in use; choose another port" in complaint(done)


def test_bad_toml(tmp_path: Path) -> None:
    folder = shutil.copytree(SAMPLE, tmp_path / "reminder")
    (folder / "campaign.toml").write_text("purpose = informational", "utf-8")
    assert "campaign.toml: " in complaint(dialout("check", str(folder), str(SAMPLE / "contacts.csv"), cwd=tmp_path))


def test_a_missing_column(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("phone,name\n", "utf-8")
    done = dialout("check", str(SAMPLE), "c.csv", cwd=tmp_path)
    assert "the campaign's templates use day, time, which the header does not have" in complaint(done)


@pytest.mark.parametrize(
    "words",
    [
        ("check", "nowhere", "c.csv"),
        ("check", str(SAMPLE), "nowhere.csv"),
        ("rehearse", str(SAMPLE), "nowhere.csv"),
    ],
)
def test_a_file_that_is_not_there(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert "there is no such file" in complaint(dialout(*words, cwd=tmp_path))


def test_a_file_that_cannot_be_written_is_the_one_that_is_named(tmp_path: Path) -> None:
    words = ("check", str(SAMPLE), str(SAMPLE / "contacts.csv"), "--rejects", "nowhere/rejects.csv")
    assert complaint(dialout(*words, cwd=tmp_path)) == "nowhere/rejects.csv: No such file or directory"


def test_a_campaign_that_is_no_folder(tmp_path: Path) -> None:
    toml = SAMPLE / "campaign.toml"
    assert "Not a directory" in complaint(dialout("check", str(toml), str(SAMPLE / "contacts.csv"), cwd=tmp_path))


def test_a_wrong_word_is_wrong_usage(tmp_path: Path) -> None:
    assert dialout("ring", cwd=tmp_path).returncode == 2


def test_the_redis_server_of_the_dotenv_file_is_started(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_SERVER_BIN=/elsewhere/valkey-server\n", "utf-8")
    assert "REDIS_SERVER_BIN names /elsewhere/valkey-server" in complaint(dialout("sandbox", cwd=tmp_path))
