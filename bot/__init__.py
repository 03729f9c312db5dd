"""The Pipecat Cloud agent. The base image does `from bot import bot` and asks `bot.readyz()`; this package answers both."""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.agent import Agent


@cache
def _agent() -> "Agent":
    # Imported only here: `import bot` alone loads neither Pipecat nor a model.
    from bot.agent import Agent
    from bot.settings import load_settings

    return Agent(load_settings())


def __getattr__(name: str) -> Any:
    """Build the agent when `bot` is imported from this package, so that the first call does not wait for its models."""
    if name != "bot":
        raise AttributeError(name)
    return _agent().take_call


async def readyz() -> bool:
    """Return True once the agent is built: a call that came earlier would wait for it."""
    return _agent.cache_info().currsize > 0
