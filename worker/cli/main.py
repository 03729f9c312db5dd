"""The `dialout` command. Exit codes: 0 done; 1 the input or the state forbids it, with a sentence; 2 wrong usage."""

import gc
import signal
import sys
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

from worker.cli.options import PLAIN, Refused

COMMANDS: Final = {
    "check": "Say what a campaign would do with a file: refused rows, calling hours, duration and cost. Calls nobody.",
    "enqueue": "Add the contacts of a file to a campaign. A running worker calls them. The same file twice changes nothing.",
    "call": "Place one test call, under the campaign's own rules.",
    "status": "Show each campaign's contacts, counted by their state and by how their calls ended.",
    "numbers": "Show each caller ID: its calls today, how many of them are answered, and whether it may call now.",
    "pause": "Pause a campaign. It places no further call; calls in progress go on.",
    "resume": "Resume a paused campaign. If a brake paused it, this approves what the brake reported (docs/brakes.md).",
    "stop": "Stop a campaign for good. Contacts that still wait are canceled.",
    "results": "Print the outcome of every contact, one row each, whether it was called or not.",
    "why": "Explain each decision about a number or an attempt: called or not, by which rule, and on whose word.",
    "up": "Run the worker, beat and the callbacks server in this terminal, with an embedded Redis if REDIS_URL is not set.",
    "doctor": "Check everything that a call needs (Redis, Telnyx, numbers, callbacks, agent), and say what to fix.",
    "sandbox": "Run stand-ins for all vendors in this terminal, with an embedded Redis if REDIS_URL is not set, and print their settings.",
    "rehearse": "Run a campaign against a telephone network on this machine. It needs no account and no key, and calls nobody.",
    "dnc": "Manage the do-not-call list: the numbers that no campaign may call.",
}
"""Command -> its help, in the order of `dialout --help`.

It repeats the docstring of the command's function, so that `--help` need not import the command. A test compares the two.
"""

_MODULES: Final = {"resume": "pause", "stop": "pause"}
"""Commands that are not in a module of their own name."""


class Commands(TyperGroup):
    """All commands by name and help line. A command's module is imported only when that command is run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the arguments name, instead of its entry in the list."""
        name, entry, rest = super().resolve_command(ctx, args)
        return name, load(name) if name else entry, rest


def load(name: str) -> Any:
    """Import a command: a function, or a Typer that has commands of its own."""
    # Imports make a hundred thousand objects that live until the process ends. The garbage collector would search them
    # again and again meanwhile, and twice more at the end: two fifths of the time that `dialout status` takes.
    gc.disable()
    found = getattr(import_module(f"worker.cli.{_MODULES.get(name, name)}"), name)
    gc.freeze()
    gc.enable()
    if not isinstance(found, typer.Typer):
        function, found = found, typer.Typer(**PLAIN)
        found.command(name)(function)
    return typer.main.get_command(found)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    help="Outbound AI voice campaigns: call everybody in a CSV file, and record an outcome for every row.",
    **PLAIN,
)
for _name, _line in COMMANDS.items():
    app.command(_name, short_help=_line)(lambda: None)


def main() -> None:
    """Run the command. An error that the operator can correct is a sentence on standard error, and exit code 1."""
    # SIGTERM must run the `finally` blocks that end our child processes, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        app(prog_name="dialout")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not (sentence := _sentence(error)):
            raise
        from worker.cli.printing import err

        err.print(sentence, style="red", soft_wrap=True)
        sys.exit(1)


def _sentence(error: Exception) -> str:
    """Return what an error tells the operator; "" for one that the operator can do nothing about."""
    # Only a command that failed waits for these imports.
    import redis

    from campaigns.campaign import CampaignError
    from campaigns.contacts import ContactsError
    from worker.machine.embedded import NoServer
    from worker.machine.processes import ProcessDied
    from worker.settings import SettingsError
    from worker.store.errors import StoreError

    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    told = (
        Refused, CampaignError, ContactsError, SettingsError, StoreError, NoServer, ProcessDied, redis.RedisError
    )  # fmt: skip
    return str(error) if isinstance(error, told) else ""
