"""One poisoned contact or campaign must not hold up the others: this is the one place that catches everything."""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

import redis

log: Final = logging.getLogger(__name__)

Result = TypeVar("Result")
Instead = TypeVar("Instead")


def apart(
    action: Callable[[], Result], what_failed: str, one: str, *, instead: Callable[[Exception], Instead]
) -> Result | Instead:
    """Return what an action for one contact or campaign comes to; if it fails, log that, and return `instead`.

    A stored definition, a template or a row can be wrong in ways that nobody foresaw, and the hundred others of the
    same round are waiting. Only an error of Redis passes: it concerns all of them, and the next beat tries again.
    `what_failed` is a sentence with a place for `one`, the attempt or the campaign.
    """
    try:
        return action()
    except redis.RedisError:
        raise
    except Exception as error:
        log.exception(what_failed, one)
        return instead(error)
