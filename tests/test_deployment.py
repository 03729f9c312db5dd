"""What docker-compose.yml and bot/Dockerfile say is run here, without Docker."""

import base64
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

from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import BEAT, CALLBACKS, WORKER, Processes, free_port, wait_for_port

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


def test_the_composed_commands_start(server: EmbeddedRedis, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "REDIS_URL": server.url, "DIALOUT_DATA": str(tmp_path / "made" / "at start"), "TELNYX_API_KEY": "k", "TELNYX_TEXML_APP_ID": "1",
        "TELNYX_PUBLIC_KEY": base64.b64encode(bytes(SigningKey.generate().verify_key)).decode(),
        "CALLER_IDS": "+12125550100", "PUBLIC_URL": "https://x", "BRIEF_SECRET": "s", "STREAM_URL": "ws://x",
    }  # fmt: skip
    with Processes(tmp_path) as processes:
        for service in ("worker", "beat", "callbacks"):
            command = COMPOSE[service]["command"].replace("8000", str(port)).split()
            processes.start(service, command, environment)
        wait_for_port(port, processes, 60)
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        deadline = time.monotonic() + 60
        while "ready." not in (tmp_path / "worker.log").read_text() and time.monotonic() < deadline:
            processes.check()
            time.sleep(0.2)
        assert "ready." in (tmp_path / "worker.log").read_text()
        while not list((tmp_path / "made").glob("at start/beat-schedule*")) and time.monotonic() < deadline:
            processes.check()
            time.sleep(0.2)
        assert list((tmp_path / "made").glob("at start/beat-schedule*"))


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
