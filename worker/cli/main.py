"""The `dialout` command. Exit codes: 0 done, 1 the input or the state forbids it (with a sentence), 2 wrong usage."""

import gc
import signal
import sys
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

from worker.cli.options import PLAIN, Refused
from worker.store.values import StoreError

COMMANDS: Final = {
    "check": "Say what would happen: rows refused and why, windows, the time it would take. Rings nobody.",
    "enqueue": "Enlist the contacts of a file; ringing begins when a worker runs. The same file twice changes nothing.",
    "call": "Place one test call, under the campaign's own rules.",
    "status": "Count contacts by state and disposition.",
    "numbers": "Show each number that we call from: its calls today, how it is answered, and whether it rests.",
    "pause": "Hold a campaign. Takes effect on the very next dial; calls under way go on.",
    "resume": "Let a paused campaign ring again. This approves what its brakes have shown you (docs/brakes.md).",
    "stop": "End a campaign for good: who was not rung yet is canceled.",
    "results": "Print one row per contact, all of them, dialed or not.",
    "why": "Tell each decision about a number, or an attempt's: why it was rung, or was not, by which rule, and who says so.",
    "up": "Run worker, beat, callbacks and, without REDIS_URL, an embedded Redis, in this terminal.",
    "doctor": (
        "Look at everything that a call needs (Redis, Telnyx, numbers, callbacks, agent), and say what is to be mended."
    ),
    "sandbox": "Run the stand-ins (and, without REDIS_URL, an embedded Redis) in the foreground; print the settings for them.",
    "rehearse": "Run a campaign against a telephone network on this machine: no account, no key, nobody is rung.",
    "dnc": "The do-not-call list: numbers that nobody may ring, in any campaign.",
}
"""Command -> the first sentences of its function's docstring, in the order of `dialout --help`.

They stand here as well, so that `--help` imports no command. A test holds the two against each other.
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
    help="Outbound AI voice campaigns: a CSV becomes conversations, and every row an outcome.",
    **PLAIN,
)
for _name, _line in COMMANDS.items():
    app.command(_name, short_help=_line)(lambda: None)


def main() -> None:
    """Run the command; what forbids it is one sentence on standard error, and exit code 1."""
    # Whoever is told to end by a supervisor ends what they started, as with Ctrl-C.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        app(prog_name="dialout")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not isinstance(error, _refusals()):
            raise
        from worker.cli.printing import err

        err.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)


def _refusals() -> tuple[type[Exception], ...]:
    """Return the errors whose message is a sentence for the operator. Only a command that failed waits for these imports."""
    import redis

    from campaigns.campaign import CampaignError
    from campaigns.contacts import ContactsError
    from worker.machine.embedded import NoServer
    from worker.machine.processes import ProcessDied
    from worker.settings import SettingsError

    return (
        Refused, CampaignError, ContactsError, SettingsError, StoreError, NoServer, ProcessDied, redis.RedisError
    )  # fmt: skip
