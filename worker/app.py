"""The Celery app, and the one Dialer of a worker's process."""

import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from celery import Celery, Task
from celery.beat import PersistentScheduler
from celery.signals import celeryd_after_setup, setup_logging, worker_ready
from celery.worker.consumer import Consumer

from worker.dialing.collaborators import Dialer
from worker.rules.timing import RECONNECT_EVERY_S, SWITCH_S
from worker.settings import load_settings
from worker.store import redis_server
from worker.telnyx.refusals import CarrierError

P = ParamSpec("P")

app = Celery("dialout", include=["worker.tasks"])
app.config_from_object("celeryconfig")


@cache
def _dialer() -> Dialer:
    """Build what this process's tasks work with, when it is first needed: importing this module reads no settings."""
    return Dialer.of(load_settings())


def task(function: Callable[Concatenate[Dialer, P], None]) -> Task:
    """Register a task. Messages carry all its arguments but the first, which is this process's Dialer."""

    @wraps(function)
    def run(*args: P.args, **more: P.kwargs) -> None:
        function(_dialer(), *args, **more)

    registered: Any = app.task(run)
    return registered


class ReadyConsumer(Consumer):
    """Celery's own, but it is back sooner.

    It tries a broker that is away every second (Celery waits longer each time, up to 30 s), and it does not first talk
    with other workers, about which it need know nothing.
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


class Scheduler(PersistentScheduler):
    """Beat's own, which makes the folder of its file when beat starts."""

    def setup_schedule(self) -> None:
        """Open the file."""
        Path(str(self.schedule_filename)).parent.mkdir(parents=True, exist_ok=True)
        super().setup_schedule()


@setup_logging.connect
def _log_plainly(loglevel: int | str = logging.INFO, **_: Any) -> None:
    logging.basicConfig(level=loglevel, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Beats come several times a second, each with two lines; and the URLs of httpx carry numbers.
    for noisy in ("celery.app.trace", "celery.worker.strategy", "celery.beat", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@celeryd_after_setup.connect
def _examine_redis(**_: Any) -> None:
    """Log at the start what is wrong with Redis; if Redis is away, log it once it is there."""
    found = redis_server.examine(load_settings().store_url)
    if found is None:
        worker_ready.connect(_examine_redis)
    elif any(complaint.fatal for complaint in found):
        raise SystemExit(1)


@celeryd_after_setup.connect
def _warm_up(**_: Any) -> None:
    """Be able to dial at once, before any work is taken."""
    sys.setswitchinterval(SWITCH_S)
    with suppress(CarrierError):  # it is logged when there is something to dial
        _dialer().phone.warm_up()
