"""Make an image without Docker: the files that a Dockerfile's stage copies, and the environment that it installs, in a folder."""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True)
class Built:
    """What a stage would hold in /app, and the variables that it sets."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a process in the image would see: nothing of this checkout's own environment."""
        path = f"{self.folder}/.venv/bin:/usr/bin:/bin"
        return {"PATH": path, "HOME": str(self.folder), "COLUMNS": "120"} | more

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the image in its folder."""
        binary = str(self.folder / ".venv/bin" / words[0])
        return subprocess.run(
            [binary, *words[1:]], cwd=self.folder, env=self.environment(**more),
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def start(self, command: str, log: Path, **more: str) -> subprocess.Popen[bytes]:
        """Start one of docker-compose.yml's commands, which writes to `log`."""
        binary, *words = command.split()
        with log.open("wb") as file:
            return subprocess.Popen(
                [self.folder / ".venv/bin" / binary, *words],
                cwd=self.folder, env=self.environment(**more), stdout=file, stderr=file,
            )  # fmt: skip


def uv() -> str:
    """Find uv where the Makefile does; `uv run` tells where it is itself."""
    found = os.environ.get("UV") or shutil.which("uv") or str(ROOT / ".uv/bin/uv")
    if not Path(found).exists():
        assert "CI" not in os.environ, "uv is missing: make install"
        pytest.skip("uv is missing: make install")
    return found


def build(dockerfile: Path, stage: str, folder: Path) -> Built:
    """Carry out a stage's lines, and those of the stages that it begins with, in `folder`."""
    binary = uv()
    built = Built(folder)
    outer = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH", "UV"}}
    for word, rest in _lines(dockerfile.read_text("utf-8"), stage):
        if word == "ENV":
            built.settings.update(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                _copy(source, folder / target)
        elif word == "RUN" and rest.startswith("uv "):
            # On one disk, a link is as good as the copy that layers need; and nothing here starts often enough to compile.
            quick = {"UV_LINK_MODE": "hardlink", "UV_COMPILE_BYTECODE": "0", "PATH": outer["PATH"]}
            done = subprocess.run(
                [binary, *shlex.split(rest)[1:]],
                cwd=folder, env=outer | built.settings | quick, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
    return built


def _lines(text: str, stage: str) -> Iterator[tuple[str, str]]:
    stages: dict[str, list[tuple[str, str]]] = {}
    lines: list[tuple[str, str]] = []
    for word, rest in re.findall(r"^([A-Z]+) (.+)$", text, re.MULTILINE):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            lines = stages[name] = list(stages.get(base, []))
        else:
            lines.append((word, rest))
    yield from stages[stage]


def _copy(source: str, target: Path) -> None:
    """Copy as COPY does, without what .dockerignore leaves out."""
    left_out = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines()[1:] if line[0] != "!"]

    def ignored(folder: str, names: list[str]) -> set[str]:
        inside = Path(folder).relative_to(ROOT)
        return {
            name for name in names for pattern in left_out
            if fnmatch.fnmatch(str(inside / name), pattern.replace("**/", "*"))
        }  # fmt: skip

    if (ROOT / source).is_dir():
        shutil.copytree(ROOT / source, target, ignore=ignored, dirs_exist_ok=True)
    else:
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / source, target)
