"""The `dialout` command. Exit codes: 0 done, 1 the input or the state forbids it (with a sentence), 2 wrong usage."""

import signal
import sys

import redis
import typer

from campaigns.campaign import CampaignError
from campaigns.contacts import ContactsError
from worker.cli import before, lists, outcomes, rehearsing, ringing, running
from worker.cli.given import Refused
from worker.cli.printing import err
from worker.machine.embedded import NoServer
from worker.machine.processes import ProcessDied
from worker.settings import SettingsError
from worker.store.errors import StoreError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Outbound AI voice campaigns: a CSV becomes conversations, and every row an outcome.",
)
app.add_typer(lists.dnc, name="dnc")
for command in (
    *(before.check, before.enqueue, before.call),
    *(ringing.status, ringing.numbers, ringing.pause, ringing.resume, ringing.stop),
    *(outcomes.results, outcomes.why),
    *(running.up, running.doctor, running.sandbox),
    rehearsing.rehearse,
):
    app.command()(command)


def main() -> None:
    """Run the command; what forbids it is one sentence on standard error, and exit code 1."""
    # Whoever is told to end by a supervisor ends what they started, as with Ctrl-C.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    expected = (
        Refused, CampaignError, ContactsError, SettingsError, StoreError, NoServer, ProcessDied, redis.RedisError
    )  # fmt: skip
    try:
        app()
    except expected as error:
        err.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
