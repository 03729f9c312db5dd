"""Hold the conversations of the campaigns' evals with the bot, and say which of them went as they should.

    python -m evals                                  all campaigns, with stand-ins for the providers
    python -m evals campaigns/patient_survey --live  one campaign, with the real providers; their keys are in the environment
    python -m evals --bot-url ws://127.0.0.1:8933/ws with a bot.evals.agent:bot that runs already

The last line is the verdict. The exit code is 0 if all conversations passed, else 1.
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
from evals.desk import ReportDesk
from evals.scenarios import Scenario, ScenarioError, load_scenarios, with_body
from worker.machine.processes import ProcessDied, Processes, free_port, wait_for_port

CAMPAIGNS: Final = Path(__file__).parents[1] / "campaigns"
KEY: Final = "sandbox"
READY_S: Final = 90.0
EVENT_MS: Final = 30_000
REPORT_S: Final = 20.0
_HERE: Final = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True, slots=True)
class EvalOutcome:
    """How one conversation went."""

    scenario: Scenario
    problems: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        lines = [f"{'FAIL' if self.problems else 'ok  '}  {self.scenario.name}  {self.seconds:.1f} s"]
        return "\n".join([*lines, *(f"      {problem}" for problem in self.problems)])


def start_bot(processes: Processes, agent: str, secret: str, *, live: bool) -> str:
    """Start a bot that allows evals and, unless `live`, stand-ins for its providers; return the URL of its WebSocket."""
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


async def converse(scenario: Scenario, bot_url: str, secret: str, desk: ReportDesk, attempt_id: str) -> EvalOutcome:
    """Hold one conversation, and compare the bot's report with what the scenario expects."""
    near = urlsplit(bot_url).hostname in _HERE  # a bot on another machine cannot send its report to this one
    body = scenario.body(attempt_id, desk.report_url if near else "", datetime.now(UTC), secret)
    began = time.monotonic()
    session = EvalSession.from_scenario(  # pyright: ignore[reportUnknownMemberType] - Pipecat leaves a type open
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
        report = await asyncio.to_thread(desk.report, attempt_id, within_s=REPORT_S)
        if complaint := scenario.complaint(report):
            problems.append(complaint)
    return EvalOutcome(scenario, tuple(problems), time.monotonic() - began)


async def converse_all(scenarios: Sequence[Scenario], bot_url: str, secret: str, *, at_once: int) -> list[EvalOutcome]:
    """Hold all conversations, `at_once` at a time, and print the outcome of each when it ends."""
    room = asyncio.Semaphore(at_once)

    async def one(number: int, scenario: Scenario) -> EvalOutcome:
        async with room:
            outcome = await converse(scenario, bot_url, secret, desk, f"eval{number}#1")
        print(outcome, flush=True)
        return outcome

    with ReportDesk() as desk:
        return await asyncio.gather(*(one(number, scenario) for number, scenario in enumerate(scenarios)))


def main() -> int:
    """Read the options, hold the conversations, and print the verdict."""
    parser = argparse.ArgumentParser(
        prog="python -m evals", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "campaigns", nargs="*", type=Path, help="the campaigns' folders; without any: all campaigns that have evals"
    )
    parser.add_argument("--only", default="", help="run only the scenarios whose names contain this")
    parser.add_argument(
        "--live", action="store_true", help="use the real providers; a conversation costs what a call costs"
    )
    parser.add_argument(
        "--bot-url", default="", help="the bot to talk with; BRIEF_SECRET must be the same as the bot's"
    )
    parser.add_argument("--agent", default="bot.evals.agent:bot", help="the bot to start: package.module:function")
    parser.add_argument("--at-once", type=int, default=3, help="how many conversations at a time")
    parser.add_argument("--verbose", action="store_true", help="print what the harness does and the bot's log")
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
