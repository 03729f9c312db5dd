"""`dialout sandbox`: stand-ins for all vendors, in one terminal."""

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
    people: Annotated[
        Path | None,
        typer.Option(
            help="A CSV file with columns phone and person: who answers which number, and how. Default: the sample's."
        ),
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Record each call into this folder, as a stereo WAV file.")
    ] = None,
    records: Annotated[
        Path | None, typer.Option(help="Append a record of each call to this file, as JSON Lines.")
    ] = None,
    callbacks_port: Annotated[int, typer.Option(help="The port on which your callbacks server will listen.")] = 8000,
    telnyx_port: Annotated[int, typer.Option(help="The port of the stand-in for Telnyx.")] = 8931,
    providers_port: Annotated[int, typer.Option(help="The port of those for OpenAI, Deepgram and Cartesia.")] = 8932,
    agent_port: Annotated[int, typer.Option(help="The port of the bot.")] = 8933,
    env_file: Annotated[Path, typer.Option(help="Write the settings to this file.")] = Path("sandbox.env"),
) -> None:
    """Run stand-ins for all vendors in this terminal, with an embedded Redis if REDIS_URL is not set, and print their settings."""
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
        f"\nThese settings were written to {env_file}. Run these in three more terminals:\n"
        f"  uv run --env-file {env_file} celery -A worker worker\n"
        f"  uv run --env-file {env_file} celery -A worker beat\n"
        f"  uv run --env-file {env_file} uvicorn worker.callbacks:app --port {port[1] if port else 8000}\n"
        f"Then begin: uv run --env-file {env_file} dialout enqueue CAMPAIGN CONTACTS",
        soft_wrap=True,
    )
