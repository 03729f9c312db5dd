"""`python -m tests.chaos` runs the short forms of both; `… drills` and `… storm` take options for the long forms."""

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .cast import assemble
from .drills import PACE_BACK_S, RECOVERY_S, drill
from .run import describe, storm
from .weather import Mood


def main() -> int:
    """Read the options, run, print the verdict last."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="The dialer in a hostile world.")
    parser.add_argument("--folder", type=Path, help="keep logs and records here")
    what = parser.add_subparsers(dest="what")
    short = what.add_parser("storm", help="everything at once, at random")
    short.add_argument("--contacts", type=int, default=240)
    short.add_argument("--rate", type=float, default=12.0, help="dials a second, of the account")
    short.add_argument("--lines", type=int, default=120)
    short.add_argument("--talkers", type=float, default=0.05, help="share of contacts who talk with the bot")
    short.add_argument("--kills-per-s", type=float, default=0.2)
    short.add_argument("--kills", type=int, default=40, help="at most, spread over the run")
    short.add_argument("--calamity-every-s", type=float, default=12.0)
    short.add_argument("--longest-cut-s", type=float, default=8.0)
    short.add_argument("--storm-s", type=float, default=6.0)
    short.add_argument("--limit-s", type=float, default=1800.0, help="ends a run that would never end")
    short.add_argument("--seed", type=int, default=1)
    single = what.add_parser("drills", help="one calamity at a time, measured")
    single.add_argument("--away-s", type=float, default=12.0, help="how long Redis is away")
    single.add_argument("--storm-s", type=float, default=15.0, help="how long every dial is answered 429")
    single.add_argument("--times", type=int, default=2, help="how often worker and Redis are killed")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="dialout-chaos-"))
    print(f"logs and records: {folder}", flush=True)
    runs = {"drills": _drills, "storm": _storm}
    chosen = [given.what] if given.what else list(runs)

    def run(name: str) -> tuple[str, bool, str]:
        options = given if given.what else parser.parse_args([name])
        place = folder / name
        place.mkdir(parents=True)
        good, words = runs[name](place, options)
        print(f"{name}: {words}", flush=True)
        return name, good, words

    # Both wait more than they work, so they run side by side. Each has processes, ports and records of its own.
    with ThreadPoolExecutor() as pool:
        verdicts = list(pool.map(run, chosen))
    passed = all(good for _, good, _ in verdicts)
    print(f"{'PASSED' if passed else 'FAILED'}: " + "; ".join(f"{name}: {words}" for name, _, words in verdicts))
    return 0 if passed else 1


def _storm(folder: Path, given: argparse.Namespace) -> tuple[bool, str]:
    cast = assemble(
        folder, given.contacts, rate=given.rate, lines=given.lines, talkers=given.talkers, seed=given.seed
    )  # fmt: skip
    mood = Mood(given.kills_per_s, given.kills, given.calamity_every_s, given.longest_cut_s, given.storm_s)
    outcome = storm(
        folder, cast, mood=mood, rate=given.rate, lines=given.lines, seed=given.seed, limit_s=given.limit_s, show=_show
    )
    print(describe(outcome.facts()))
    for sentence in [*outcome.verdict.sentences()[:20], *(f"still under way: {attempt}" for attempt in outcome.stuck)]:
        print(sentence)
    verdict = outcome.verdict
    return verdict.clean and not outcome.stuck, (
        f"{verdict.contacts:,} contacts, {verdict.calls:,} calls, {outcome.kills.total()} kills, "
        f"{verdict.ambiguous} ambiguous answers: {verdict}"
    )


def _drills(folder: Path, given: argparse.Namespace) -> tuple[bool, str]:
    done = drill(folder, away_s=given.away_s, storm_s=given.storm_s, times=given.times, show=_show)
    print(describe({name: value for name, value in vars(done).items() if name != "verdict"}))
    for sentence in done.problems[:20]:
        print(sentence)
    recovery = max(*done.after_worker_killed_s, *done.after_redis_killed_s, *done.after_redis_away_s)
    return not done.problems, (
        f"the next dial within {recovery} s of every restart (at most {RECOVERY_S * done.slowness:.0f}), the pace back "
        f"{done.pace_back_after_s} s after the 429s (at most {PACE_BACK_S * done.slowness:.0f}) on a machine that starts "
        f"a process {done.slowness:.1f} times as slowly as usual; {done.verdict.contacts:,} contacts: {done.verdict}"
    )


def _show(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
