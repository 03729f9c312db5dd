"""Measure the bot: `python -m bench.bot all`, or one point by its name, with options for a longer run."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.endings import faults, last_word
from bench.people import everybody
from bench.result import Result, Size, dump, write_docs
from bench.strain import doors, load
from bench.turns import barge_in, first_word, reply

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One point, in the form that takes seconds and in the one that takes its time."""

    run: Callable[[Path, Size], Awaitable[Result]]
    short: Size
    long: Size


MEASUREMENTS: Final = {
    "first-word": Measurement(first_word, Size(16, 8), Size(200, 8)),
    "barge-in": Measurement(barge_in, Size(4, 4), Size(40, 4)),
    "reply": Measurement(reply, Size(4, 4), Size(40, 4)),
    "last-word": Measurement(last_word, Size(12, 6), Size(500, 8)),
    "faults": Measurement(faults, Size(1, 4), Size(3, 3)),  # calls for each fault
    "people": Measurement(everybody, Size(3, 12), Size(100, 12)),  # calls for each person
    "load": Measurement(load, Size(8, 8), Size(8, 8)),
    "doors": Measurement(doors, Size(1, 1), Size(10, 1)),  # knocks of each kind
}


def main() -> int:
    """Measure, print the figures, and the verdict last."""
    parser = argparse.ArgumentParser(prog="python -m bench.bot", description=__doc__)
    parser.add_argument("point", choices=["all", *MEASUREMENTS])
    parser.add_argument("--long", action="store_true", help="as many calls as docs/performance.md tells of")
    parser.add_argument("--calls", type=int, help="for each bot, fault or person")
    parser.add_argument("--at-once", type=int)
    parser.add_argument("--json", type=Path, metavar="DIR", help="write each point's figures into a file here")
    parser.add_argument("--write-docs", action="store_true", help=f"put the figures into {PAGE.name}")
    parser.add_argument("--folder", type=Path, help="keep logs here")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="dialout-bench-"))
    print(f"logs: {folder}", flush=True)
    results: list[Result] = []
    for name in MEASUREMENTS if given.point == "all" else [given.point]:
        measurement = MEASUREMENTS[name]
        usual = measurement.long if given.long else measurement.short
        size = Size(given.calls or usual.calls, given.at_once or usual.at_once)
        result = asyncio.run(_run(measurement, folder / name, size))
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


async def _run(measurement: Measurement, folder: Path, size: Size) -> Result:
    return await measurement.run(folder, size)


if __name__ == "__main__":
    sys.exit(main())
