"""Measure the house and hold it to its bars: `make figures`, part of `make lint`. It reads files, and imports none of ours.

A file may pass 300 lines if one of its first lines says why, with the words "300 lines"; a function may be more complex if its
`def` says why: `# noqa: C901 - reason`.
"""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Final, NamedTuple

PACKAGES: Final = ("bench", "bot", "campaigns", "evals", "sandbox", "tests", "worker")
TEST_FUNCTIONS: Final = 728  # their number never falls: raise this when it has grown
_SUFFIXES: Final = ("", "s", "es", "e", "ed", "er", "ers", "ing", "ings", "al", "ion", "ions", "ment", "ments", "ement")
_PATCH: Final = re.compile(r"\bmock\b|\bmocker\b|\bmonkeypatch\.(setattr|setitem|delattr)\b")
_Function: Final = ast.FunctionDef | ast.AsyncFunctionDef
_Spoken: Final = ast.Import | ast.ImportFrom | ast.Attribute | ast.arg  # where a patch would be named


class Figure(NamedTuple):
    """One thing that is measured: the worst of it, its bar, and what is beyond the bar."""

    name: str
    worst: int
    bar: str
    beyond: Sequence[str]


def measure(root: Path) -> list[Figure]:
    """Return every figure of the repository at `root`."""
    paths = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    trees = {str(path.relative_to(root)): ast.parse(path.read_text("utf-8")) for path in paths}
    nodes = [(name, node) for name, tree in trees.items() for node in ast.walk(tree)]
    classes = [(f"{name}:{node.lineno}", node) for name, node in nodes if isinstance(node, ast.ClassDef)]
    functions = {f"{name}:{node.lineno} {node.name}": node for name, node in nodes if isinstance(node, _Function)}
    lengths = {where: (node.end_lineno or 0) - node.lineno + 1 for where, node in functions.items()}
    tests = sum(bool(re.match(r"tests/\S+ test_", where)) for where in functions)
    spoken = [(name, node) for name, node in nodes if name.startswith("tests/") and isinstance(node, _Spoken)]
    patches = (f"{name}:{node.lineno}" for name, node in spoken if _PATCH.search(ast.unparse(node)))
    methods = ((f"{at} {node.name}", one) for at, node in classes for one in node.body if isinstance(one, _Function))
    public = Counter(where for where, name in {(where, one.name) for where, one in methods} if name[0] != "_")
    return [
        _at_most(60, "lines of a function", lengths),
        _at_most(300, "lines of a file that does not say why", dict(_unexplained(root, paths))),
        _at_most(15, "public methods of a class", public),
        _at_most(12, "complexity of a function", dict(_complexities(root))),
        _none("circles of imports", _circles(_imports(trees))),
        _none("contracts of layers that are not exhaustive", _loose(root)),
        _none("positional KEYS and ARGV in Lua", _positional(root)),
        _none("patches in tests", patches),
        _none("class names used twice", _shared((node.name, at) for at, node in classes)),
        _none("modules that differ by a suffix", set(_shared(_stems(trees)))),
        Figure("test functions", tests, f"at least {TEST_FUNCTIONS}", ["too few"] * (tests < TEST_FUNCTIONS)),
    ]


def _at_most(bar: int, name: str, sizes: Mapping[str, int]) -> Figure:
    beyond = [f"{where}: {size}" for where, size in sorted(sizes.items(), key=lambda one: -one[1]) if size > bar]
    return Figure(name, max(sizes.values(), default=0), f"at most {bar}", beyond)


def _none(name: str, found: Iterable[str]) -> Figure:
    return Figure(name, len(beyond := sorted(found)), "none", beyond)


def _unexplained(root: Path, paths: Sequence[Path]) -> Iterator[tuple[str, int]]:
    for path in (*paths, *root.rglob("worker/**/*.lua")):
        lines = path.read_text("utf-8").splitlines()
        if not any("300 lines" in line for line in lines[:12]):
            yield str(path.relative_to(root)), len(lines)


def _complexities(root: Path) -> Iterator[tuple[str, int]]:
    options = "--isolated --no-cache --select=C901 --config=lint.mccabe.max-complexity=0 --output-format=json"
    command = [sys.executable, "-m", "ruff", "check", *options.split()]
    for one in json.loads(subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stdout):
        name, complexity = re.findall(r"`(.+)` is too complex \((\d+) > 0\)", one["message"])[0]
        yield f"{Path(one['filename']).relative_to(root.resolve())}:{one['location']['row']} {name}", int(complexity)


def _imports(trees: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Return which of our modules each one imports: in a function and under `if TYPE_CHECKING` too."""
    arrows: dict[str, set[str]] = {re.sub(r"(/__init__)?\.py$", "", name).replace("/", "."): set() for name in trees}
    for module, tree in zip(list(arrows), trees.values(), strict=True):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                arrows[module] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names} & arrows.keys()
                arrows[module] |= inner or {node.module}
        arrows[module] = arrows[module] & arrows.keys() - {module}
    return arrows


def _circles(arrows: Mapping[str, set[str]]) -> Iterator[str]:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        yield " -> ".join(error.args[1])  # the first: others show when it is cut


def _loose(root: Path) -> Iterator[str]:
    tools: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]
    layered = [one for one in tools["importlinter"]["contracts"] if one["type"] == "layers"]
    yield from (one["name"] for one in layered if not one.get("exhaustive"))
    yield from ["worker has none"] * (not any("worker" in one["containers"] for one in layered))


def _positional(root: Path) -> Iterator[str]:
    for path in root.rglob("worker/**/*.lua"):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            for found in re.findall(r"\b(?:KEYS|ARGV)\s*\[.*?\]", line.partition("--")[0]):
                yield f"{path.relative_to(root)}:{number} {found}"


def _shared(named: Iterable[tuple[str, str]]) -> Iterator[str]:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for name, where in named:
        places[name].append(where)
    return (f"{name}: {', '.join(where)}" for name, where in places.items() if len(where) > 1)


def _stems(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what each module may be a form of, under its package; the same name in two rooms is no twin."""
    for package, module in sorted({(name.split("/")[0], Path(name).stem) for name in names}):
        if package != "tests" and not module.startswith("__"):
            stems = {module.removesuffix(suffix) for suffix in _SUFFIXES}
            yield from ((f"{package} {stem}-", module) for stem in stems if len(stem) > 3)


def main() -> int:
    """Print a table, what is beyond each bar, and the verdict."""
    figures = measure(Path(__file__).parents[1])
    for one in figures:
        print(f"{'FAIL' if one.beyond else 'ok  '}  {one.name:<46}{one.worst:>6}  {one.bar}")
        print("".join(f"        {where}\n" for where in one.beyond), end="")
    failed = sum(bool(one.beyond) for one in figures)
    print(f"figures: {f'FAILED, {failed}' if failed else 'passed, 0'} of {len(figures)} beyond their bars")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
