"""The Celery app, and where live collaborators are built."""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, Final

from celery import Celery, Task
from celery.signals import celeryd_after_setup, setup_logging, worker_ready
from celery.worker.consumer import Consumer

from worker.pipecat.agents import Agents
from worker.settings import SettingsError, load_settings
from worker.store import Store, redis_server
from worker.telnyx.carrier import Carrier, CarrierError

RECONNECT_EVERY_S: Final = 1.0

_SWITCH_S: Final = 0.001
"""How long a thread may keep the others from running: a dial whose moment has come waits for no 5 ms, Python's own."""

load_settings().data_dir.mkdir(parents=True, exist_ok=True)
app = Celery("dialout", include=["worker.tasks"])
app.config_from_object("celeryconfig")


def task(function: Callable[..., None]) -> Task:
    """Register a task, with a type that says that it can be sent."""
    registered: Any = app.task(function)
    return registered


class ReadyConsumer(Consumer):
    """Celery's own, made to be back soon.

    It tries a broker that is away every second (Celery waits longer each time, up to 30 s), and does not first talk with
    other workers, of which it need know nothing.
    """

    class Blueprint(Consumer.Blueprint):
        """The steps of the start, without those that meet other workers."""

        default_steps = tuple(
            step for step in Consumer.Blueprint.default_steps if not step.endswith((":Gossip", ":Mingle", ":Heart"))
        )

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once it stands."""
        conn.ensure_connection = partial(conn.ensure_connection, interval_start=RECONNECT_EVERY_S, interval_step=0)
        return super().ensure_connected(conn)


@setup_logging.connect
def _log_plainly(loglevel: int | str = logging.INFO, **_: Any) -> None:
    logging.basicConfig(level=loglevel, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Several ticks a second, each with two lines; and URLs that carry numbers.
    for noisy in ("celery.app.trace", "celery.worker.strategy", "celery.beat", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@celeryd_after_setup.connect
def _examine_redis(**_: Any) -> None:
    """Say at the start what is wrong with the server, or once it is there: the worker waits for it anyway."""
    found = redis_server.examine(load_settings().store_url)
    if found is None:
        worker_ready.connect(_examine_redis)
    elif any(complaint.fatal for complaint in found):
        raise SystemExit(1)


@celeryd_after_setup.connect
def _warm_up(**_: Any) -> None:
    """Be able to dial at once before any work is taken."""
    sys.setswitchinterval(_SWITCH_S)
    with suppress(SettingsError, CarrierError):  # said when there is something to dial
        carrier().warm_up()


class Collaborators:
    """What the tasks work with; each is built when it is first asked for."""

    @cached_property
    def store(self) -> Store:
        """The store of `REDIS_URL`."""
        return Store.at(load_settings().store_url)

    @cached_property
    def carrier(self) -> Carrier:
        """Telnyx; raises SettingsError if what a dial needs is not set."""
        settings = load_settings()
        settings.require_carrier()
        return Carrier(
            api_key=settings.telnyx_api_key.get_secret_value(),
            app_id=settings.telnyx_texml_app_id,
            base_url=settings.telnyx_base_url,
            public_key=settings.telnyx_public_key,
            timeout_s=settings.carrier_timeout_s,
        )

    @cached_property
    def agents(self) -> Agents | None:
        """Pipecat Cloud's view of them, or None without a private key."""
        settings = load_settings()
        key = settings.pipecat_private_key.get_secret_value()
        if not key:
            return None
        settings.require("pipecat_agent")
        return Agents(private_key=key, agent=settings.pipecat_agent, base_url=settings.pipecat_base_url)


_collaborators = Collaborators()


def work_with(collaborators: Collaborators) -> None:
    """Let this process's tasks work with these from now on: a fast rehearsal has a store and a network of its own."""
    global _collaborators  # noqa: PLW0603 - one for a process, as the Celery app is
    _collaborators = collaborators


def store() -> Store:
    """Return this process's store."""
    return _collaborators.store


def carrier() -> Carrier:
    """Return this process's carrier; raises SettingsError if what a dial needs is not set."""
    return _collaborators.carrier


def agents() -> Agents | None:
    """Return this process's view of Pipecat Cloud, or None without a private key."""
    return _collaborators.agents
