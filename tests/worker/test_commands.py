"""The commands as a group: `dialout --help` is true of each of them, and starts without importing any."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from campaigns.campaign import Campaign
from worker.cli.main import COMMANDS, app, load
from worker.cli.printing import Terminal, plural, results_table
from worker.machine.embedded import EmbeddedRedis
from worker.store import Store

SLOW = {"campaigns", "celery", "holidays", "httpx", "jinja2", "phonenumbers", "pydantic", "redis", "rich", "telnyx"}


PROGRAM = """
import sys
from worker.cli.main import main
try:
    main()
finally:
    print(*sys.modules)
"""


def imported(*words: str, **environment: str) -> set[str]:
    """The modules, and the packages that they are in, that a command has imported when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    modules = done.stdout.splitlines()[-1].split()
    return {module.partition(".")[0] for module in modules} | set(modules)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_list_is_the_command_s_own_help(name: str) -> None:
    assert " ".join(load(name).help.split()) == COMMANDS[name]


def test_every_command_is_in_the_list_in_this_order() -> None:
    lines = CliRunner().invoke(app, ["--help"]).stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in lines if line[2:3].strip()] == list(COMMANDS)


def test_a_command_that_there_is_not_is_answered_with_the_nearest_ones() -> None:
    done = CliRunner().invoke(app, ["statsu"])
    assert (done.exit_code, "Did you mean 'status'" in done.stderr) == (2, True)


def test_help_imports_no_command_and_no_library_but_typer() -> None:
    found = imported("--help")
    assert found & SLOW == set()
    assert {name for name in found if name.startswith("worker.cli.")} == {"worker.cli.main", "worker.cli.options"}


def test_status_imports_only_what_it_prints_with(server: EmbeddedRedis, store: Store, reminder: Campaign) -> None:
    store.campaigns.define(reminder)
    found = imported("status", REDIS_URL=server.url)
    assert {"redis", "rich.table"} <= found
    assert found & {"celery", "fastapi", "holidays", "httpx", "jinja2", "telnyx", "rich.live", "rich.progress"} == set()


def test_what_a_contact_said_is_printed_as_it_was_said() -> None:
    said = "send it to [/home], [bold]now[/] :smile: \x1b[31mred\x9b0m"
    row = {
        "line": 2,
        "phone": "+12125550111",
        "state": "done",
        "disposition": "completed",
        "attempts": 1,
        "duration_s": 9,
    }
    out = Terminal()
    out.width = 200
    with out.capture() as printed:
        out.print(said)
        out.print(results_table([row | {"reason": said, "answers": {"where": said}}]))
    assert printed.get().count("send it to [/home], [bold]now[/] :smile: \ufffd[31mred\ufffd0m") == 3


@pytest.mark.parametrize("count", [0, 1, 1200])
def test_numbers_are_told_in_the_singular_and_in_the_plural(count: int) -> None:
    assert plural(count, "row") == {0: "0 rows", 1: "1 row", 1200: "1,200 rows"}[count]
