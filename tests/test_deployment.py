"""What docker-compose.yml, Dockerfile and bot/Dockerfile say is run here, without Docker."""

import base64
import json
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx
import pytest
import yaml
from nacl.signing import SigningKey

from tests.images import Built, build
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import BEAT, CALLBACKS, WORKER, free_port

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]


PIPECAT_CLOUD_KEYS = {  # of pipecatcloud 1.4.0, which refuses any other
    "agent_name", "image", "build_id", "image_credentials", "secret_set", "region", "scaling", "docker", "build",
    "agent_profile", "krisp_viva", "git", "websocket_auth", "max_session_duration", "resources", "architecture",
}  # fmt: skip


def test_pipecat_cloud_is_told_all_that_it_can_be_told() -> None:
    text = (ROOT / "bot/pcc-deploy.toml").read_text("utf-8")
    settings = tomllib.loads(text)
    assert settings.keys() <= PIPECAT_CLOUD_KEYS
    assert settings["scaling"].keys() == {"min_agents", "max_agents"}
    reasons = text.partition("# Left out:")[2]
    assert not [key for key in PIPECAT_CLOUD_KEYS - settings.keys() if key not in reasons]
    for line in text.partition("# Left out:")[0].splitlines():
        assert "=" not in line.partition("#")[0] or "#" in line, f"no comment: {line}"


def test_an_image_is_built_from_what_is_named_and_from_nothing_else() -> None:
    assert (ROOT / ".dockerignore").read_text("utf-8").splitlines()[0] == "*"


def test_redis_keeps_everything_and_is_not_published() -> None:
    command = COMPOSE["redis"]["command"]
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "ports" not in COMPOSE["redis"]


@pytest.mark.parametrize(("service", "command"), [("worker", WORKER), ("beat", BEAT), ("callbacks", CALLBACKS[:2])])
def test_compose_runs_what_the_rehearsal_runs(service: str, command: tuple[str, ...]) -> None:
    assert COMPOSE[service]["command"].startswith(" ".join(command))


@pytest.fixture(scope="module")
def dialer(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(ROOT / "Dockerfile", "dialer", tmp_path_factory.mktemp("dialer"))


def settings(server: EmbeddedRedis, tmp_path: Path) -> dict[str, str]:
    return {
        "REDIS_URL": server.url, "DIALOUT_DATA": str(tmp_path / "made" / "at start"), "TELNYX_API_KEY": "k", "TELNYX_TEXML_APP_ID": "1",
        "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(SigningKey.generate().verify_key)).decode(),
        "CALLER_IDS": "+12125550100", "PUBLIC_URL": "https://x", "BRIEF_SECRET": "s", "STREAM_URL": "ws://x",
    }  # fmt: skip


def test_the_composed_commands_start_in_the_dialers_image(dialer: Built, server: EmbeddedRedis, tmp_path: Path) -> None:
    port = free_port()
    commands = {name: COMPOSE[name]["command"].replace("8000", str(port)) for name in ("worker", "beat", "callbacks")}
    environment = settings(server, tmp_path)
    running = {name: dialer.start(line, tmp_path / f"{name}.log", **environment) for name, line in commands.items()}
    logs = {name: tmp_path / f"{name}.log" for name in running}
    try:
        deadline = time.monotonic() + 300
        while True:
            dead = [name for name, process in running.items() if process.poll() is not None]
            assert not dead, {name: logs[name].read_text() for name in dead}
            up = {
                "worker": "ready." in logs["worker"].read_text(),
                "beat": list(tmp_path.glob("made/at start/beat-schedule*")),
                "callbacks": "Application startup complete" in logs["callbacks"].read_text(),
            }
            if all(up.values()):
                break
            assert time.monotonic() < deadline, up
            time.sleep(0.2)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait(30)


def test_the_dialers_image_holds_no_sandbox_no_evals_no_bench_and_no_tests(dialer: Built) -> None:
    ours = {path.name for path in dialer.folder.iterdir() if not path.name.startswith(".")}
    assert ours == {"LICENSE", "README.md", "campaigns", "celeryconfig.py", "pyproject.toml", "uv.lock", "worker"}
    assert not list(dialer.folder.glob("campaigns/*/evals"))
    names = "pipecat numpy openai deepgram websockets loguru yaml pytest defusedxml sandbox bot evals"
    script = f"from importlib.util import find_spec; print([name for name in {names.split()} if find_spec(name)])"
    assert dialer.run("python", "-c", script).stdout.strip() == "[]"


def test_the_command_works_in_the_dialers_image(dialer: Built, server: EmbeddedRedis, tmp_path: Path) -> None:
    assert "enqueue" in dialer.run("dialout", "--help").stdout
    done = dialer.run("dialout", "status", "--json", **settings(server, tmp_path))
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), list)


def test_a_rehearsal_says_that_the_dialers_image_holds_none(dialer: Built, tmp_path: Path) -> None:
    done = dialer.run("dialout", "rehearse", DIALOUT_DATA=str(tmp_path))
    assert (done.returncode, "dialout[rehearsal]" in done.stderr) == (1, True), done.stderr


def test_the_rehearsals_image_holds_all_that_a_rehearsal_imports(tmp_path: Path) -> None:
    image = build(ROOT / "Dockerfile", COMPOSE["rehearsal"]["build"]["target"], tmp_path)
    script = "import sandbox.telnyx.app, sandbox.providers.__main__, sandbox.agent, bot.talk, worker.rehearsal.live"
    done = image.run("python", "-c", script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("service", ["worker", "beat", "callbacks"])
def test_compose_runs_the_dialers_image(service: str) -> None:
    assert COMPOSE[service]["build"]["target"] == "dialer"


def test_the_bots_image_has_all_that_the_bot_imports_and_nothing_of_the_dialer(tmp_path: Path) -> None:
    for source, target in re.findall(
        r"^COPY (\S+(?: \S+)*) (\./\S+)$", (ROOT / "bot/Dockerfile").read_text(), re.MULTILINE
    ):
        (tmp_path / target).mkdir(parents=True, exist_ok=True)
        for pattern in source.split():
            for file in ROOT.glob(pattern):
                shutil.copy(file, tmp_path / target)
    assert sorted(p.name for p in (tmp_path / "campaigns").iterdir()) == ["__init__.py", "call.py"]
    script = (
        "import sys; from bot import bot; assert callable(bot), bot; "
        "print(sorted({'celery', 'telnyx', 'redis', 'worker', 'campaigns.campaign'} & set(sys.modules)))"
    )
    environment = dict.fromkeys(("OPENAI_API_KEY", "DEEPGRAM_API_KEY", "CARTESIA_API_KEY", "BRIEF_SECRET"), "x")
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {script}"],
        env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")
