"""The agent, with an event loop that is blocked again and again while a call is up, as by too many calls."""

import asyncio
import time
from typing import Any

from bot import bot as unblocked

BLOCKED_S = 0.3


async def bot(runner_args: Any) -> None:
    blocking = asyncio.create_task(_block())
    try:
        await unblocked(runner_args)
    finally:
        blocking.cancel()


async def _block() -> None:
    while True:
        time.sleep(BLOCKED_S)  # noqa: ASYNC251 - on purpose
        await asyncio.sleep(0.05)
