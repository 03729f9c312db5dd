"""Running it, in this terminal: up, doctor, sandbox."""

import os
import re
import secrets
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from worker.cli.given import SAMPLE, Json
from worker.cli.printing import err, out, print_json
from worker.dialing import own_numbers
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import Processes
from worker.settings import Settings, load_settings
from worker.store import Store


def up(port: Annotated[int, typer.Option(help="Of the callbacks server.")] = 8000) -> None:
    """Run worker, beat, callbacks and, without REDIS_URL, an embedded Redis, in this terminal."""
    settings = load_settings()
    settings.require_carrier()
    server = None if settings.redis_url else EmbeddedRedis(settings.data_dir).start()
    environment = {"REDIS_URL": server.url} if server else {}
    try:
        _ask_whose_numbers(Store.at(server.url if server else settings.redis_url), settings)
        with Processes() as processes:
            processes.start_dialer(environment, port=port)
            err.print("Worker, beat and callbacks are running. Ctrl-C ends them.")
            _until_interrupted(lambda: _revive(processes, server))
    finally:
        if server:
            server.stop()


def _ask_whose_numbers(store: Store, settings: Settings) -> None:
    from worker.telnyx.carrier import Carrier, CarrierError

    try:
        strangers = own_numbers.ask_whose(store, Carrier.of(settings), own_numbers.all_numbers(store, settings))
    except CarrierError as error:
        err.print(own_numbers.UNKNOWN % error, style="yellow", highlight=False)
        return
    for number in strangers:
        err.print(f"Nobody is called from {number}: {own_numbers.NOT_OURS}.", style="red", highlight=False)


def _revive(processes: Processes, server: EmbeddedRedis | None) -> None:
    """Start again what has died: nothing is lost by it, and nobody need watch."""
    if server and server.revive():
        err.print("The embedded Redis ended by itself, and was started again.", style="yellow")
    for name in processes.revive():
        err.print(f"The {name} ended by itself, and was started again.", style="yellow")


def doctor(as_json: Json = False) -> None:
    """Look at everything that a call needs (Redis, Telnyx, numbers, callbacks, agent), and say what is to be mended."""
    from worker.cli.examination import examine

    findings = []
    for one in examine(load_settings()):
        findings.append(one)
        if not as_json:
            verdict = {True: "[green]ok[/]  ", False: "[red]mend[/]", None: "[yellow]note[/]"}[one.ok]
            out.print(f"{verdict}  {one.check:<12}{one.says}", highlight=False, soft_wrap=True)
    well = all(one.ok is not False for one in findings)
    if as_json:
        print_json({"ok": well, "checks": [one.facts() for one in findings]})
    if not well:
        raise typer.Exit(1)


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
    server = None if settings.redis_url else EmbeddedRedis(settings.data_dir).start()
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
            _until_interrupted(processes.check)
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


def _until_interrupted(look: Callable[[], None]) -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: ended.set())
    while not ended.wait(0.3):
        look()
