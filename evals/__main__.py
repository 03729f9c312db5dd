"""Hold every conversation that the campaigns' evals describe with the bot, and say which went as they should.

    python -m evals                                  all campaigns, against stand-ins for the providers
    python -m evals campaigns/patient_survey --live  against the real ones, whose keys are in the environment
    python -m evals --bot-url ws://127.0.0.1:8933/ws against a bot.evals.agent:bot that runs already

The verdict is the last line, and the exit code: 0 all passed, 1 not.
"""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from loguru import logger
from pipecat.evals.session import EvalSession, EvalSessionParams

from campaigns.call import Report
from evals.dialer import Dialer
from evals.scenarios import Scenario, ScenarioError, load_scenarios, with_body
from worker.machine.processes import ProcessDied, Processes, free_port, wait_for_port

CAMPAIGNS: Final = Path(__file__).parents[1] / "campaigns"
KEY: Final = "sandbox"
READY_S: Final = 90.0
EVENT_MS: Final = 30_000
REPORT_S: Final = 20.0
_HERE: Final = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one conversation went."""

    scenario: Scenario
    problems: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        lines = [f"{'FAIL' if self.problems else 'ok  '}  {self.scenario.name}  {self.seconds:.1f} s"]
        return "\n".join([*lines, *(f"      {problem}" for problem in self.problems)])


def start_bot(processes: Processes, agent: str, secret: str, *, live: bool) -> str:
    """Start the bot where it may be evaluated, and its providers' stand-ins unless it is to use the real ones."""
    port, providers = free_port(), free_port()
    environment = {"BRIEF_SECRET": secret, "TELNYX_API_KEY": "", "LOGURU_LEVEL": "INFO"}
    if not live:
        processes.start("providers", ["sandbox.providers", "--port", str(providers), "--key", KEY], {})
        environment |= {f"{provider}_API_KEY": KEY for provider in ("OPENAI", "DEEPGRAM", "CARTESIA")} | {
            "OPENAI_BASE_URL": f"http://127.0.0.1:{providers}/v1",
            "DEEPGRAM_BASE_URL": f"ws://127.0.0.1:{providers}",
            "CARTESIA_BASE_URL": f"ws://127.0.0.1:{providers}/tts/websocket",
        }
        wait_for_port(providers, processes, READY_S)
    processes.start("bot", ["sandbox.agent", agent, "--port", str(port)], environment)
    wait_for_port(port, processes, READY_S)
    return f"ws://127.0.0.1:{port}/ws"


async def converse(scenario: Scenario, bot_url: str, secret: str, dialer: Dialer, attempt_id: str) -> Outcome:
    """Hold one conversation, and read the bot's report of it."""
    near = urlsplit(bot_url).hostname in _HERE  # a bot elsewhere cannot bring us its report
    body = scenario.body(attempt_id, dialer.report_url if near else "", datetime.now(UTC), secret)
    began = time.monotonic()
    session = EvalSession.from_scenario(
        scenario.until_hung_up(), with_body(bot_url, body), params=EvalSessionParams(default_timeout_ms=EVENT_MS)
    )
    result = await session.run()
    for line in result.debug_log:
        logger.info("{}: {}", scenario.name, line)
    problems = [str(failure) for failure in getattr(result, "failures", ())]
    if not result.passed and not problems:
        problems = [str(getattr(result, "skipped", None) or getattr(result, "reason", "it did not pass"))]
    report: Report | None = None
    if scenario.report and near and not problems:
        report = await asyncio.to_thread(dialer.report, attempt_id, within_s=REPORT_S)
        if complaint := scenario.complaint(report):
            problems.append(complaint)
    return Outcome(scenario, tuple(problems), time.monotonic() - began)


async def converse_all(scenarios: Sequence[Scenario], bot_url: str, secret: str, *, at_once: int) -> list[Outcome]:
    """Hold all conversations, a few at a time, and print each as it ends."""
    lines = asyncio.Semaphore(at_once)

    async def one(number: int, scenario: Scenario) -> Outcome:
        async with lines:
            outcome = await converse(scenario, bot_url, secret, dialer, f"eval{number}#1")
        print(outcome, flush=True)
        return outcome

    with Dialer() as dialer:
        return await asyncio.gather(*(one(number, scenario) for number, scenario in enumerate(scenarios)))


def main() -> int:
    """Read the options, hold the conversations, and give the verdict."""
    parser = argparse.ArgumentParser(
        prog="python -m evals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaigns", nargs="*", type=Path, help="folders of campaigns; none: all that have evals")
    parser.add_argument("--only", default="", help="run the scenarios whose name contains this")
    parser.add_argument("--live", action="store_true", help="use the real providers; it costs what a call costs")
    parser.add_argument("--bot-url", default="", help="a bot that runs already; BRIEF_SECRET is then its own")
    parser.add_argument("--agent", default="bot.evals.agent:bot", help="package.module:function of the bot to start")
    parser.add_argument("--at-once", type=int, default=3, help="conversations at a time")
    parser.add_argument("--verbose", action="store_true", help="let the harness tell what it does")
    given = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="INFO" if given.verbose else "ERROR")
    folders = given.campaigns or sorted(path.parent for path in CAMPAIGNS.glob("*/evals"))
    secret = os.environ.get("BRIEF_SECRET", "") if given.bot_url else secrets.token_urlsafe(32)
    try:
        scenarios = [s for folder in folders for s in load_scenarios(folder) if given.only in s.name]
        with tempfile.TemporaryDirectory(prefix="evals-") as logs, Processes(Path(logs)) as processes:
            bot_url = given.bot_url or start_bot(processes, given.agent, secret, live=given.live)
            outcomes = asyncio.run(converse_all(scenarios, bot_url, secret, at_once=given.at_once))
            if given.verbose and not given.bot_url:
                sys.stderr.write((Path(logs) / "bot.log").read_text("utf-8"))
    except (ScenarioError, ProcessDied, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        print("evals: not run")
        return 1
    failed = [outcome.scenario.name for outcome in outcomes if outcome.problems]
    print(f"evals: {len(outcomes) - len(failed)} of {len(outcomes)} passed" + "".join(f", {n} failed" for n in failed))
    return 1 if failed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
