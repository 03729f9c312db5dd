"""The command line that measurements share: one point or all, short or long, in a size of one's own; the verdict last."""

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from bench.result import Result, dump, write_docs

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"

S = TypeVar("S", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Measurement(Generic[S]):
    """One point, in the form that takes seconds and in the one that takes its time.

    A size is a dataclass of numbers; each of its fields is an option of the command line.
    """

    run: Callable[[Path, S], Awaitable[Result]]
    short: S
    long: S

    async def measure(self, folder: Path, given: Mapping[str, Any], *, long: bool) -> Result:
        """Run in one of the two sizes, but for what was given; logs go into `folder`."""
        usual = self.long if long else self.short
        own = {name: given[name] for name in asdict(usual) if given.get(name) is not None}
        return await self.run(folder, replace(usual, **own))


Points = Mapping[str, Measurement[Any]]


def main(program: str, about: str | None, points: Points) -> int:
    """Measure what the command line names, print the figures, and the verdict last. Returns the exit code."""
    given = _read(program, about, points)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="dialout-bench-"))
    print(f"logs: {folder}", flush=True)
    results: list[Result] = []
    for name in points if given.point == "all" else [given.point]:
        (folder / name).mkdir(parents=True, exist_ok=True)
        result = asyncio.run(points[name].measure(folder / name, vars(given), long=given.long))
        results.append(result)
        print(dump(result), flush=True)
        print(result.line(), flush=True)
        if given.json:
            given.json.mkdir(parents=True, exist_ok=True)
            (given.json / f"{name}.json").write_text(dump(result) + "\n", "utf-8")
        if given.write_docs:
            write_docs(PAGE, result.as_json())
    if len(results) > 1:
        failed = [result.point for result in results if not result.passed]
        print(f"FAILED: {', '.join(failed)}" if failed else f"PASSED: {', '.join(r.point for r in results)}")
    return 0 if all(result.passed for result in results) else 1


def _read(program: str, about: str | None, points: Points) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program, description=about)
    parser.add_argument("point", choices=["all", *points])
    parser.add_argument("--long", action="store_true", help=f"as much as docs/{PAGE.name} tells of")
    parser.add_argument("--json", type=Path, metavar="DIR", help="write each point's figures into a file here")
    parser.add_argument("--write-docs", action="store_true", help=f"put the figures into {PAGE.name}")
    parser.add_argument("--folder", type=Path, help="keep logs here")
    sizes: dict[str, dict[str, Any]] = {}
    for name, point in points.items():
        for option, usual in asdict(point.short).items():
            sizes.setdefault(option, {})[name] = usual
    for option, usual in sizes.items():
        told = ", ".join(f"{name} {count}" for name, count in usual.items())
        kind = type(next(iter(usual.values())))
        parser.add_argument(f"--{option.replace('_', '-')}", type=kind, help=f"the short form's: {told}")
    return parser.parse_args()
