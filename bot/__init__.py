"""The Pipecat Cloud agent. The base image does `from bot import bot` and asks `bot.readyz()`, which this package answers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.bot import bot as bot


def __getattr__(name: str) -> Any:
    """Build the agent only when somebody asks for it: it loads models and warms services."""
    if name != "bot":
        raise AttributeError(name)
    import importlib

    # The submodule has the name of its function: what `from bot import bot` is after is the function.
    function = importlib.import_module("bot.bot").bot
    globals()["bot"] = function
    return function


async def readyz() -> bool:
    """Say whether calls may come: not before the agent is built and warm, or the first one would wait for it."""
    return callable(globals().get("bot"))  # while it is being built, the name is the submodule's
