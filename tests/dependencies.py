"""Compare what each image imports with what it declares: `python -m tests.dependencies`, part of `make lint`.

deptry knows one list of dependencies. This repository has several: the dialer's image installs `project.dependencies`, the
bot's image only the group bot. So each installation is copied into a folder of its own,
with its own list, and deptry looks there.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class Installation:
    """Files that are installed together, and the lists that they are installed with."""

    name: str
    files: Sequence[str]
    groups: Sequence[str]  # "project" is project.dependencies
    never_imported: Sequence[str] = ()  # pyproject.toml says what each is for
    beside: Sequence[str] = ()  # modules of ours that another installation holds


INSTALLATIONS: Final = (
    Installation("dialer", ("worker", "campaigns", "celeryconfig.py"), ("project",), ("hiredis", "tzdata", "uvicorn")),
    Installation("bot", ("bot", "campaigns/__init__.py", "campaigns/call.py"), ("bot",), ("tzdata",)),
    Installation("sandbox", ("sandbox",), ("sandbox",)),
    Installation("evals", ("evals",), ("evals",), beside=("campaigns", "worker")),
)
OURS: Final = ("bench", "bot", "campaigns", "celeryconfig", "evals", "sandbox", "tests", "worker")
HELPERS: Final = tuple(path.stem for path in (ROOT / "tests").glob("*/*.py"))  # tests import each other by file name


def everything(groups: Sequence[str]) -> Installation:
    """Return the installation that runs in a checkout only, with all lists: there, "not imported" would mean nothing."""
    return Installation("tests and bench", ("tests", "bench"), groups, beside=(*OURS, *HELPERS))


def complaints(installation: Installation, root: Path = ROOT) -> str:
    """Return deptry's complaints about an installation; empty if it has none."""
    declared = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    lists = declared["dependency-groups"] | {"project": declared["project"]["dependencies"]}
    wanted = sorted({requirement for group in installation.groups for requirement in lists[group]})
    ignored = ["DEP002"] if installation.name == "tests and bench" else []
    settings = {"known_first_party": [*installation.beside], "ignore": ignored, "exclude": [r"\.venv"]}
    with tempfile.TemporaryDirectory() as folder:
        for name in installation.files:
            target = Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if (root / name).is_dir() else shutil.copy)(root / name, target)
        toml = f"[project]\nname = 'x'\nversion = '0'\ndependencies = {json.dumps(wanted)}\n[tool.deptry]\n"
        toml += "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        toml += f"[tool.deptry.per_rule_ignores]\nDEP002 = {json.dumps(installation.never_imported)}\n"
        Path(folder, "pyproject.toml").write_text(toml, "utf-8")
        command = [sys.executable, "-m", "deptry", "--no-ansi", "."]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def main() -> int:
    """Print what is wrong with each installation, then the verdict."""
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    found = {
        installation.name: complaints(installation)
        for installation in (*INSTALLATIONS, everything(("project", *groups)))
    }
    for name, text in found.items():
        if text:
            print(f"{name}:\n{text}")
    failed = [name for name, text in found.items() if text]
    print(f"dependencies: {'FAILED: ' + ', '.join(failed) if failed else 'passed'} ({len(found)} installations)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
