"""The wheel: installed as a command from what `uv build` makes, it works in an empty folder, without this checkout."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.images import uv

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PEOPLE = "phone,name,day,time,person\n+12125550111,Ada,Monday,10 am,talks\n+12125550112,Bob,Monday,11 am,busy\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed with the versions of the lock file: no release of today decides this test."""
    folder = tmp_path_factory.mktemp("wheel")
    clean = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    environment = clean | {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder / "bin")}

    def run(*words: str | Path) -> None:
        done = subprocess.run([uv(), *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    locked = folder / "locked.txt"
    run(
        "export",
        "--locked",
        "--no-default-groups",
        "--extra",
        "rehearsal",
        "--no-emit-project",
        "--no-hashes",
        "-o",
        locked,
    )
    run("build", "--wheel", "--out-dir", folder)
    (wheel,) = folder.glob("*.whl")
    run("tool", "install", "--constraints", locked, f"{wheel}[rehearsal]")
    return folder / "bin" / "dialout"


def dialout(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "COLUMNS": "120"}
    return subprocess.run(
        [installed, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def requirements(lines: list[str]) -> dict[str, str]:
    """Return the versions that are asked for of each distribution, whatever extras it is asked for with."""
    return {re.split(r"[\[<>=~!; ]", line)[0]: re.sub(r"^[\w.-]+(\[.*?\])?", "", line) for line in lines}


def test_the_extra_holds_what_the_groups_of_bot_and_sandbox_hold() -> None:
    groups = PYPROJECT["dependency-groups"]
    assert requirements(PYPROJECT["project"]["optional-dependencies"]["rehearsal"]) == requirements(
        groups["bot"] + groups["sandbox"]
    )


def test_the_installed_command_explains_itself(installed: Path, tmp_path: Path) -> None:
    done = dialout(installed, tmp_path, "--help")
    assert (done.returncode, "rehearse" in done.stdout) == (0, True), done.stderr


@pytest.mark.calls
def test_the_installed_command_rehearses_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    people = tmp_path / "people.csv"
    people.write_text(PEOPLE, "utf-8")
    sample = next(installed.resolve().parents[1].glob("lib/python*/site-packages/campaigns/appointment_reminder"))
    done = dialout(installed, tmp_path, "rehearse", str(sample), str(people))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the telephone network's agree: 2 contacts" in done.stdout
