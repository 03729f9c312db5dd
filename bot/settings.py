"""The bot's settings. No other module of the bot reads the environment."""

import os
from functools import lru_cache
from typing import Final

from pydantic import BaseModel, ConfigDict, SecretStr

_REQUIRED: Final = ("openai_api_key", "deepgram_api_key", "cartesia_api_key", "brief_secret")


class MissingSetting(RuntimeError):
    """A required setting is not in the environment. The message says which."""


class BotSettings(BaseModel):
    """Each field is the environment variable of the same name in capitals."""

    model_config = ConfigDict(frozen=True)

    openai_api_key: SecretStr
    openai_base_url: str = "https://api.openai.com/v1"
    openai_model: str = "gpt-4.1"
    deepgram_api_key: SecretStr
    deepgram_base_url: str = ""  # empty: Deepgram's own address
    deepgram_model: str = "nova-3-general"
    cartesia_api_key: SecretStr
    cartesia_base_url: str = "wss://api.cartesia.ai/tts/websocket"
    cartesia_model: str = "sonic-3"
    cartesia_voice: str = "71a7ad14-091c-4e8e-a314-022ece01c121"
    telnyx_api_key: SecretStr = SecretStr("")  # empty: the carrier ends the call when the stream closes
    telnyx_base_url: str = "https://api.telnyx.com/v2"
    brief_secret: SecretStr
    # The dialer's own PUBLIC_URL. Needed for callers who want no more calls while the dialer is away: the bot tells it
    # once it is back.
    public_url: str = ""
    inbound_greeting: str = ""  # for callers of whom nothing is known; empty: the house's words
    max_call_s: float = 540.0  # time limit while the script is missing: the bot says goodbye before the carrier cuts
    unbriefed_calls: int = (
        3  # how many calls without a brief may be up at once; 0: none, for an agent that nobody can ring
    )
    unbriefed_call_s: float = 120.0  # time limit of each of them
    calls_at_once: int = 1  # how many calls may begin in the same moment: `Ears` are built in advance for so many


@lru_cache(maxsize=1)
def load_settings() -> BotSettings:
    """Read the environment once. Raises MissingSetting with a sentence that names every missing setting."""
    given = {name: value for name in BotSettings.model_fields if (value := os.environ.get(name.upper()))}
    if missing := [name.upper() for name in _REQUIRED if name not in given]:
        raise MissingSetting(
            f"{', '.join(missing)}: not set; put it into the agent's secret set (see docs/going-live.md)"
        )
    return BotSettings.model_validate(given)
