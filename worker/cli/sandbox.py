"""`dialout sandbox`: the stand-ins for the vendors, in one terminal."""

import os
import re
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.options import SAMPLE
from worker.cli.printing import err
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import Processes, until_interrupted
from worker.settings import load_settings


def sandbox(  # noqa: PLR0917 - Typer's options
    people: Annotated[Path | None, typer.Option(help="CSV with columns phone and person.")] = None,
    record: Annotated[Path | None, typer.Option(help="Write each call as a stereo WAV into this folder.")] = None,
    records: Annotated[Path | None, typer.Option(help="Append call detail records to this file.")] = None,
    callbacks_port: Annotated[int, typer.Option(help="Where your callbacks server will listen.")] = 8000,
    telnyx_port: int = 8931,
    providers_port: int = 8932,
    agent_port: int = 8933,
    env_file: Annotated[Path, typer.Option(help="Where to write the settings.")] = Path("sandbox.env"),
) -> None:
    """Run the stand-ins (and, without REDIS_URL, an embedded Redis) in the foreground; print the settings for them."""
    settings = load_settings()
    server = None if settings.redis_url else EmbeddedRedis(settings.data_dir, binary=settings.redis_server_bin).start()
    ours = {
        "REDIS_URL": settings.redis_url or (server.url if server else ""),
        "PUBLIC_URL": f"http://127.0.0.1:{callbacks_port}",
        "BRIEF_SECRET": settings.brief_secret.get_secret_value() or secrets.token_urlsafe(32),
        "LINES": "10",
        "CALLS_PER_SECOND": "5",
    }
    ports = {"--telnyx-port": telnyx_port, "--providers-port": providers_port, "--agent-port": agent_port}
    options = ["--people", str(people or SAMPLE / "contacts.csv")]
    options += [part for name, port in ports.items() for part in (name, str(port))]
    options += ["--record", str(record)] if record else []
    options += ["--records", str(records)] if records else []
    try:
        with Processes() as processes:
            _announce(ours | processes.start_sandbox(options, ours).read("# ready"), env_file)
            until_interrupted(processes.check)
    finally:
        if server:
            server.stop()


def _announce(settings: dict[str, str], env_file: Path) -> None:
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    descriptor = os.open(env_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    sys.stdout.write(text)
    sys.stdout.flush()
    port = re.search(r":(\d+)$", settings["PUBLIC_URL"])
    err.print(
        f"\nThese settings are in {env_file}. In three more terminals:\n"
        f"  uv run --env-file {env_file} celery -A worker worker\n"
        f"  uv run --env-file {env_file} celery -A worker beat\n"
        f"  uv run --env-file {env_file} uvicorn worker.callbacks:app --port {port[1] if port else 8000}\n"
        f"Then: uv run --env-file {env_file} dialout enqueue CAMPAIGN CONTACTS",
        highlight=False,
    )
