"""Each figure of the house bites when its error is planted, and only then."""

from pathlib import Path

import pytest

from tests.figures import TEST_FUNCTIONS, Figure, measure

LAYERS = """
[[tool.importlinter.contracts]]
name = "Rooms"
type = "layers"
containers = ["worker"]
exhaustive = true
layers = ["rules"]
"""
LONG = "x = 1\n" * 301
BRANCHES = "def sorts(x):\n" + "".join(f"    if x == {n}:\n        return {n}\n" for n in range(12)) + "    return 0\n"

PLANTED = {
    "lines of a function": {"bot/a.py": "def talks():\n" + "    x = 1\n" * 60},
    "lines of a file that does not say why": {"sandbox/a.py": LONG},
    "public methods of a class": {
        "bot/a.py": "class Ear:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(16))
    },
    "complexity of a function": {"worker/a.py": BRANCHES},
    "circles of imports": {
        "bot/a.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from bot.b import B\n",
        "bot/b.py": "def later():\n    import bot.a\n",
    },
    "contracts of layers that are not exhaustive": {"pyproject.toml": LAYERS.replace("true", "false")},
    "positional KEYS and ARGV in Lua": {"worker/store/lua/a.lua": "-- KEYS[1]\nreturn redis.call('GET', KEYS[2])\n"},
    "patches in tests": {
        "tests/test_a.py": "def test_a(monkeypatch):\n    monkeypatch.setattr('worker.app.store', None)\n"
    },
    "class names used twice": {"bot/a.py": "class Line: ...\n", "bench/a.py": "class Line: ...\n"},
    "modules that differ by a suffix": {"worker/rules/brakes.py": "", "worker/dialing/braking.py": ""},
}


def build(root: Path, files: dict[str, str]) -> dict[str, Figure]:
    """Write a repository that is in order but for these files; return its figures by name."""
    names = [] if "tests/test_few.py" in files else [f"test_{number}" for number in range(TEST_FUNCTIONS)]
    tests = [f"def {name}(monkeypatch): monkeypatch.setenv('A', '1')\n" for name in names]
    sound = {
        "pyproject.toml": LAYERS,
        **{f"tests/test_sound_{at}.py": "".join(tests[at : at + 200]) for at in range(0, len(tests), 200)},
        "worker/rules/long.py": '"""A table of more than 300 lines: it is one table."""\n' + LONG,
        "worker/rules/named.py": BRANCHES.replace("(x):", "(x):  # noqa: C901 - one branch for each of twelve keys"),
        "worker/store/lua/named.lua": "local key = names.key -- not KEYS[1]\n",
        "bot/views.py": "class Talk:\n    def begin(self): ...\n    def _end(self): ...\n",
        "bench/view.py": "import bot.views\n",
    }  # fmt: skip
    for name, text in (sound | files).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return {figure.name: figure for figure in measure(root)}


def test_a_house_in_order_has_nothing_beyond_a_bar(tmp_path: Path) -> None:
    assert [figure for figure in build(tmp_path, {}).values() if figure.beyond] == []


@pytest.mark.parametrize("name", PLANTED)
def test_each_figure_bites_when_its_error_is_planted(name: str, tmp_path: Path) -> None:
    figures = build(tmp_path, PLANTED[name])
    assert [figure.name for figure in figures.values() if figure.beyond] == [name]
    assert len(figures[name].beyond) == 1
    assert figures[name].worst > 0


def test_a_test_that_is_taken_away_is_missed(tmp_path: Path) -> None:
    figures = build(tmp_path, {"tests/test_few.py": "def test_one(): ...\n"})
    assert [figure.name for figure in figures.values() if figure.beyond] == ["test functions"]
    assert figures["test functions"].worst == 1


@pytest.mark.parametrize("said", ["from unittest import mock", "import unittest.mock", "def test_a(mocker): ..."])
def test_a_patch_is_found_however_it_is_said(said: str, tmp_path: Path) -> None:
    assert build(tmp_path, {"tests/test_a.py": f"{said}\n"})["patches in tests"].beyond == ["tests/test_a.py:1"]


@pytest.mark.parametrize(
    ("one", "other"), [("rehearsal", "rehearsing"), ("settlement", "settling"), ("answers", "answering")]
)
def test_twins_are_found_by_their_stem(one: str, other: str, tmp_path: Path) -> None:
    figures = build(tmp_path, {f"worker/{one}.py": "", f"worker/cli/{other}.py": ""})
    assert len(figures["modules that differ by a suffix"].beyond) == 1
