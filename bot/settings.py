"""What the bot needs to know of the world: the only place of the bot that reads the environment."""

import os
from functools import lru_cache
from typing import Final

from pydantic import BaseModel, ConfigDict, SecretStr

_REQUIRED: Final = ("openai_api_key", "deepgram_api_key", "cartesia_api_key", "brief_secret")


class MissingSetting(RuntimeError):
    """A setting is not there. The message says which."""


class BotSettings(BaseModel):
    """One field, one environment variable of the same name."""

    model_config = ConfigDict(frozen=True)

    openai_api_key: SecretStr
    openai_base_url: str = "https://api.openai.com/v1"
    openai_model: str = "gpt-4.1"
    deepgram_api_key: SecretStr
    deepgram_base_url: str = ""  # empty: Deepgram's own
    deepgram_model: str = "nova-3-general"
    cartesia_api_key: SecretStr
    cartesia_base_url: str = "wss://api.cartesia.ai/tts/websocket"
    cartesia_model: str = "sonic-3"
    cartesia_voice: str = "71a7ad14-091c-4e8e-a314-022ece01c121"
    telnyx_api_key: SecretStr = SecretStr("")  # empty: the carrier ends the call when the stream closes
    telnyx_base_url: str = "https://api.telnyx.com/v2"
    brief_secret: SecretStr
    public_url: str = (
        ""  # the dialer's, as there: whoever calls while it is away can be put on the list once it is back
    )
    inbound_greeting: str = ""  # for callers of whom nothing is known; empty: the house's words
    max_call_s: float = 540.0  # for a brief that does not say: the goodbye comes before the carrier's time limit cuts
    unbriefed_calls: int = (
        3  # how many such calls at once; 0 refuses them, for agents that only briefed calls can reach
    )
    unbriefed_call_s: float = 120.0  # and how long each may last
    calls_at_once: int = 1  # that this process may be given in one moment: Pipecat Cloud gives each instance one


@lru_cache(maxsize=1)
def load_settings() -> BotSettings:
    """Read the environment once; raises MissingSetting with a sentence that names all that is missing."""
    given = {name: value for name in BotSettings.model_fields if (value := os.environ.get(name.upper()))}
    if missing := [name.upper() for name in _REQUIRED if name not in given]:
        raise MissingSetting(
            f"{', '.join(missing)}: not set; put it into the agent's secret set (see docs/going-live.md)"
        )
    return BotSettings.model_validate(given)
