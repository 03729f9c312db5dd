"""The dialer: a store, the rules, a carrier, and the tasks that join them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery import Celery


def __getattr__(name: str) -> "Celery":
    """Let `celery -A worker` find the app, without making `import worker.rules` read the environment."""
    if name != "celery":
        raise AttributeError(name)
    from worker.app import app

    return app
