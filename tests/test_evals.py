"""The campaigns' evals pass offline and notice what is wrong, and a bot that calls people lets no harness in."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pipecat.evals.script import EvalScriptScenario
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from bench.capacity import free_cores
from campaigns.call import Disposition, Report, to_parameters
from evals.scenarios import Scenario, ScenarioError, load_scenarios, with_body
from worker.machine.processes import Processes, free_port, wait_for_port

pytestmark = pytest.mark.calls

ROOT = Path(__file__).parents[1]
CAMPAIGNS = sorted(path.parent for path in (ROOT / "campaigns").glob("*/evals"))
NOW = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)
SECRET = "a brief secret"
CONNECT = {"label": "rtvi-ai", "type": "client-message", "id": "1", "data": {"t": "eval-connect", "d": {}}}
READY = {"label": "rtvi-ai", "type": "client-ready", "id": "2", "data": {"version": "1.0.0", "about": {"library": "x"}}}


def evals(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "evals", *words],
        cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=1200, check=False,
    )  # fmt: skip


def test_a_campaigns_conversations_go_as_they_should_offline() -> None:
    at_once = min(7, max(1, round(3.5 * free_cores())))
    done = evals("campaigns/patient_survey", "--at-once", str(at_once))
    assert done.stdout.splitlines()[-1] == "evals: 7 of 7 passed", done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("folder", CAMPAIGNS, ids=lambda folder: folder.name)
def test_each_campaign_says_what_must_go_well(folder: Path) -> None:
    names = {scenario.name.partition("/")[2] for scenario in load_scenarios(folder)}
    assert names >= {
        "wants no more calls", "is somebody else", "asks whether it is a robot", "orders in the row are not obeyed",
    }  # fmt: skip
    assert [name for name in names if name.startswith("is a machine")]
    for scenario in load_scenarios(folder):
        assert isinstance(scenario.script, EvalScriptScenario)
        assert not scenario.script.wants_response(), "a model would be loaded to transcribe the bot"
        assert not [e for turn in scenario.script.turns for e in turn.expect if e.eval], "a judge would be asked"
        assert (
            len(json.dumps(scenario.body("eval0#1", "http://x/reports", NOW, SECRET))) < 4_096
        )  # Pipecat Cloud's limit


def test_every_campaign_has_evals() -> None:
    assert len(CAMPAIGNS) == len(list((ROOT / "campaigns").glob("*/campaign.toml")))


def test_a_folder_without_evals_says_so(tmp_path: Path) -> None:
    done = evals(str(tmp_path))
    assert (done.returncode, done.stdout.strip()) == (1, "evals: not run")
    assert "campaign.toml" in done.stderr


def test_a_column_that_the_contact_lacks_is_named() -> None:
    scenario = _scenario(contact={"name": "Ada"})
    with pytest.raises(ScenarioError, match="visited_on"):
        scenario.body("eval0#1", "http://x/reports", NOW, SECRET)


def test_a_report_that_says_otherwise_is_a_failure() -> None:
    report = Report(
        report_id="r", attempt_id="eval0#1", disposition=Disposition.COMPLETED, answers={"score": 7, "comment": "well"},
        started_at=NOW, ended_at=NOW,
    )  # fmt: skip
    assert not _scenario(report={"disposition": "completed", "answers": {"score": 7}}).complaint(report)
    assert "'completed', not 'do_not_call'" in _scenario(report={"disposition": "do_not_call"}).complaint(report)
    assert "{'score': 8}" in _scenario(report={"answers": {"score": 8}}).complaint(report)
    assert "no report" in _scenario(report={"answers": {}}).complaint(None)


def test_a_report_may_hold_no_answers_where_none_are_expected() -> None:
    answered = Report(
        report_id="r", attempt_id="eval0#1", disposition=Disposition.COMPLETED, answers={"score": 10},
        started_at=NOW, ended_at=NOW,
    )  # fmt: skip
    assert "answers" in _scenario(report={"answers": {}}).complaint(answered)


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Two agents: one that calls people, and one that allows evals."""
    keys = dict.fromkeys(("OPENAI_API_KEY", "DEEPGRAM_API_KEY", "CARTESIA_API_KEY"), "k")
    nowhere = {"CARTESIA_BASE_URL": "ws://127.0.0.1:9", "DEEPGRAM_BASE_URL": "ws://127.0.0.1:9", "TELNYX_API_KEY": ""}
    ports = {"bot:bot": free_port(), "bot.evals.agent:bot": free_port()}
    with Processes(tmp_path_factory.mktemp("agents")) as processes:
        for entry, port in ports.items():
            environment = {**keys, **nowhere, "BRIEF_SECRET": SECRET}
            processes.start(entry, ["sandbox.agent", entry, "--port", str(port)], environment)
        for port in ports.values():
            wait_for_port(port, processes, 300)
        yield {entry: f"ws://127.0.0.1:{port}/ws" for entry, port in ports.items()}


def answer(url: str, body: dict[str, Any]) -> int | dict[str, Any]:
    """Return the first message that a harness receives, or the code with which the bot closes the socket."""
    with connect(with_body(url, body)) as socket:
        try:
            for message in (CONNECT, READY, READY, READY, READY):
                socket.send(json.dumps(message))
            return json.loads(socket.recv(timeout=300))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 0


def signed(secret: str = SECRET) -> dict[str, Any]:
    return _scenario().body("eval0#1", "", datetime.fromtimestamp(time.time(), UTC), secret)


def test_no_harness_gets_in_where_people_are_called(agents: dict[str, str]) -> None:
    assert answer(agents["bot:bot"], signed()) == 1008


def test_the_harness_is_answered_where_evals_are_allowed(agents: dict[str, str]) -> None:
    first = answer(agents["bot.evals.agent:bot"], signed())
    assert isinstance(first, dict)
    assert first["label"] == "rtvi-ai"


def test_a_brief_that_is_not_ours_is_refused_in_an_eval_as_in_a_call(agents: dict[str, str]) -> None:
    assert answer(agents["bot.evals.agent:bot"], signed("somebody else's secret")) == 1008


def test_a_call_is_a_call_where_evals_are_allowed(agents: dict[str, str]) -> None:
    """The bot sees by the first message that this is a call, and sends the carrier no RTVI."""
    brief = _scenario().brief("eval0#1", "", datetime.fromtimestamp(time.time(), UTC))
    media = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    start = {"call_control_id": "v3:x", "media_format": media, "custom_parameters": to_parameters(brief, SECRET)}
    with connect(agents["bot.evals.agent:bot"]) as socket:
        socket.send(json.dumps({"event": "connected", "version": "1.0.0"}))
        socket.send(json.dumps({"event": "start", "stream_id": "s", "start": start}))
        said = [json.loads(socket.recv(timeout=300)) for _ in range(10)]
    assert {message["event"] for message in said} <= {"media", "clear", "mark"}, "it speaks as a carrier's bot does"


def _scenario(contact: dict[str, str] | None = None, report: dict[str, Any] | None = None) -> Scenario:
    scenario = next(load_scenarios(ROOT / "campaigns/patient_survey"))
    return Scenario(scenario.campaign, scenario.script, contact or scenario.contact, report=report or {})
