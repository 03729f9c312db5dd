"""The commands as a group: `dialout --help` is true of each of them, and starts without importing any."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from campaigns.campaign import Campaign
from worker.cli.main import COMMANDS, app, load
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
