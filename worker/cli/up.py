"""`dialout up`: the worker, beat and the callbacks server in one terminal."""

from contextlib import closing
from typing import Annotated

import typer

from worker.cli.inputs import open_carrier
from worker.cli.printing import err
from worker.dialing import own_numbers
from worker.machine.embedded import EmbeddedRedis
from worker.machine.processes import Processes, until_interrupted
from worker.settings import Settings, load_settings
from worker.store import Store


def up(port: Annotated[int, typer.Option(help="The port of the callbacks server.")] = 8000) -> None:
    """Run the worker, beat and the callbacks server in this terminal, with an embedded Redis if REDIS_URL is not set."""
    settings = load_settings()
    settings.require_carrier()
    server = None if settings.redis_url else EmbeddedRedis(settings.data_dir, binary=settings.redis_server_bin).start()
    environment = {"REDIS_URL": server.url} if server else {}
    try:
        _ask_whose_numbers(Store.at(server.url if server else settings.redis_url), settings)
        with Processes() as processes:
            processes.start_dialer(environment, port=port)
            err.print("The worker, beat and the callbacks server are running. Ctrl-C ends them.")
            until_interrupted(lambda: _revive(processes, server))
    finally:
        if server:
            server.stop()


def _ask_whose_numbers(store: Store, settings: Settings) -> None:
    from worker.telnyx.carrier import CarrierError  # takes a fifth of a second to import

    try:
        with closing(open_carrier(settings)) as carrier:
            strangers = own_numbers.ask_whose(store, carrier, own_numbers.all_numbers(store, settings))
    except CarrierError as error:
        err.print(own_numbers.UNKNOWN % error, style="yellow")
        return
    for number in strangers:
        err.print(f"Nobody is called from {number}: {own_numbers.NOT_OURS}.", style="red")


def _revive(processes: Processes, server: EmbeddedRedis | None) -> None:
    """Start again what has died. Nothing is lost by that, and the operator need not watch."""
    if server and server.revive():
        err.print("The embedded Redis stopped unexpectedly, and was started again.", style="yellow")
    for name in processes.revive():
        err.print(f"The {name} stopped unexpectedly, and was started again.", style="yellow")
