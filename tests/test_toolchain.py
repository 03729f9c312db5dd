"""The linters' own settings: nothing is left out without a reason, and no exception outlives what it was made for."""

import json
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from tests.dependencies import INSTALLATIONS, complaints

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "pyproject.toml").read_text("utf-8")
TOOLS = tomllib.loads(TEXT)["tool"]
IGNORES = re.findall(r'^    ((?:"[A-Z0-9]+", *)+)(.*)$', TEXT.partition("[tool.ruff.lint]")[2], re.MULTILINE)


@pytest.fixture(scope="module")
def hidden() -> set[tuple[str, str]]:
    """What ruff would say without any exception: the top folder, and the rule."""
    lint = TOOLS["ruff"]["lint"]
    asked = list(chain(lint["ignore"], *lint["per-file-ignores"].values()))
    options = ["--isolated", "--line-length", "120", "--target-version", "py311", "--output-format", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *options, "--select", ",".join(asked), "."],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)
    return {(str(Path(one["filename"]).relative_to(ROOT)), str(one["code"])) for one in found}


def test_every_line_of_exceptions_says_why() -> None:
    assert len(IGNORES) > 15
    assert [codes for codes, reason in IGNORES if not re.match(r"# \w", reason)] == []


def test_every_exception_hides_something(hidden: set[tuple[str, str]]) -> None:
    lint = TOOLS["ruff"]["lint"]
    found = {code for _, code in hidden}
    lines = [re.findall(r'"([A-Z0-9]+)"', codes) for codes, _ in IGNORES]
    general = [codes for codes in lines if set(codes) <= set(lint["ignore"])]
    assert [codes for codes in general if not any(code in found for code in codes)] == []
    dead = [
        (pattern, code)
        for pattern, codes in lint["per-file-ignores"].items()
        for code in codes
        if not any(name.startswith(pattern.rstrip("*")) and other.startswith(code) for name, other in hidden)
    ]
    assert dead == []


def test_what_is_typed_strictly_is_there() -> None:
    assert [name for name in TOOLS["pyright"]["strict"] if not (ROOT / name).exists()] == []


@pytest.fixture
def bot(tmp_path: Path) -> Path:
    """A repository with a bot that imports its one dependency."""
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot/talk.py").write_text("import loguru\nimport campaigns.call\n", "utf-8")
    (tmp_path / "campaigns").mkdir()
    for name in ("__init__", "call"):
        (tmp_path / f"campaigns/{name}.py").write_text("", "utf-8")
    toml = '[project]\ndependencies = ["celery"]\n[dependency-groups]\nbot = ["loguru", "tzdata"]\n'
    (tmp_path / "pyproject.toml").write_text(toml, "utf-8")
    return tmp_path


def test_what_is_declared_and_imported_passes(bot: Path) -> None:
    assert complaints(INSTALLATIONS[1], bot) == ""


@pytest.mark.parametrize("library", ["celery", "numpy", "pytest"])
def test_an_import_that_the_image_does_not_declare_is_found(library: str, bot: Path) -> None:
    """Celery is declared, but for the dialer; the others are installed here, and nowhere declared."""
    (bot / "bot/ear.py").write_text(f"import {library}\n", "utf-8")
    assert f"'{library}' imported but" in complaints(INSTALLATIONS[1], bot)


def test_a_dependency_that_nothing_imports_is_found(bot: Path) -> None:
    (bot / "bot/talk.py").write_text("", "utf-8")
    assert "'loguru' defined as a dependency but not used" in complaints(INSTALLATIONS[1], bot)
