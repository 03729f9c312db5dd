"""`python -m tests.chaos`: the short form of `make chaos`; `--contacts 20000 …` for the long one."""

import argparse
import sys
import tempfile
from pathlib import Path

from .cast import assemble
from .run import describe, storm
from .weather import Mood


def main() -> int:
    """Read the options, run, print the verdict last."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The dialer in a hostile world.")
    parser.add_argument("--contacts", type=int, default=400)
    parser.add_argument("--rate", type=float, default=12.0, help="dials a second, of the account")
    parser.add_argument("--lines", type=int, default=120)
    parser.add_argument("--talkers", type=float, default=0.05, help="share of contacts who talk with the bot")
    parser.add_argument("--kills-per-s", type=float, default=0.4)
    parser.add_argument("--calamity-every-s", type=float, default=12.0)
    parser.add_argument("--longest-cut-s", type=float, default=8.0)
    parser.add_argument("--storm-s", type=float, default=8.0)
    parser.add_argument("--limit-s", type=float, default=240.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep logs and records here")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="dialout-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    cast = assemble(
        folder, given.contacts, rate=given.rate, lines=given.lines, talkers=given.talkers, seed=given.seed
    )  # fmt: skip
    mood = Mood(given.kills_per_s, given.calamity_every_s, given.longest_cut_s, given.storm_s)
    outcome = storm(
        folder, cast, mood=mood, rate=given.rate, lines=given.lines, seed=given.seed, limit_s=given.limit_s,
        show=lambda line: print(line, flush=True),
    )  # fmt: skip
    print(describe(outcome.facts()))
    for sentence in [*outcome.verdict.sentences()[:20], *(f"still under way: {attempt}" for attempt in outcome.stuck)]:
        print(sentence)
    print(f"logs and records: {folder}")
    verdict = outcome.verdict
    passed = verdict.clean and not outcome.stuck
    print(
        f"{'PASSED' if passed else 'FAILED'}: {verdict.contacts:,} contacts, {verdict.calls:,} calls, "
        f"{outcome.kills.total()} kills, {verdict.ambiguous} ambiguous answers: {verdict}."
    )
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
