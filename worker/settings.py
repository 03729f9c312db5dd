"""The dialer's settings, which nothing else reads from the environment. `.env.example` explains each of them."""

import hashlib
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_LONGEST_SOCKET: Final = 100
"""The longest path of a Unix socket, in bytes. Linux allows 108, macOS 104."""


def embedded_socket(folder: Path) -> Path:
    """Return the socket of a data folder's embedded Redis: in the folder, or in the temporary one if its path is too long."""
    socket = folder.resolve() / "redis.sock"
    if len(os.fsencode(socket)) <= _LONGEST_SOCKET:
        return socket
    name = hashlib.blake2b(os.fsencode(socket), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"dialout-{name}.sock"


class SettingsError(ValueError):
    """A setting is missing or wrong. The message says which one, and what to do."""


class Settings(BaseSettings):
    """One field, one environment variable of the same name. An empty variable counts as not set."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    redis_url: str = ""
    redis_server_bin: str = ""
    data_dir: Path = Field(default=Path(".dialout"), validation_alias="DIALOUT_DATA")

    telnyx_api_key: SecretStr = SecretStr("")
    telnyx_public_key: str = ""
    telnyx_base_url: str = "https://api.telnyx.com/v2"
    telnyx_texml_app_id: str = ""
    caller_ids: Annotated[tuple[str, ...], NoDecode] = ()

    pipecat_agent: str = ""
    pipecat_organization: str = ""
    pipecat_region: str = ""
    pipecat_private_key: SecretStr = SecretStr("")
    pipecat_base_url: str = "https://api.pipecat.daily.co/v1"
    stream_url: str = ""

    public_url: str = ""
    brief_secret: SecretStr = SecretStr("")

    calls_per_second: float = Field(default=1.0, gt=0)
    lines: int = Field(default=10, ge=1)
    lines_for_inbound: int = Field(default=0, ge=0)
    lines_per_caller_id: int = Field(default=0, ge=0)  # 0: no limit but `lines`
    warm_bots: int = Field(default=0, ge=0)  # 0: see bots_at_once
    bot_rest_s: float = Field(default=30.0, ge=0, le=300)
    calls_per_caller_id_per_day: int = Field(default=0, ge=0)  # 0: no limit
    caller_id_cool_down_s: float = Field(default=0.0, ge=0)  # between two calls from one caller ID
    document_limit: int = Field(default=4000, ge=1000)
    parameter_limit: int = Field(default=500, ge=100)
    expected_answer_rate: float = Field(default=0.3, gt=0, le=1)
    expected_talk_s: float = Field(default=60.0, gt=0)
    price_telnyx: float = Field(default=0.0, ge=0)
    price_agent: float = Field(default=0.0, ge=0)
    price_stt: float = Field(default=0.0, ge=0)
    price_tts: float = Field(default=0.0, ge=0)
    price_llm: float = Field(default=0.0, ge=0)
    carrier_timeout_s: float = Field(default=5.0, gt=0, le=60)

    @field_validator("caller_ids", mode="before")
    @classmethod
    def _split_on_commas(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _some_lines_are_left(self) -> Self:
        if self.lines_for_inbound >= self.lines:
            raise ValueError(
                f"LINES_FOR_INBOUND ({self.lines_for_inbound}) leaves none of LINES ({self.lines}) for outbound calls: lower it"
            )
        return self

    @property
    def bots_at_once(self) -> int | None:
        """How many bots are warm at once, while Pipecat Cloud does not say; None: as many as calls need.

        With a private key, Pipecat Cloud is asked. WARM_BOTS counts while it does not answer, or LINES if that is 0.
        """
        if self.warm_bots:
            return self.warm_bots
        return self.lines if self.pipecat_private_key.get_secret_value() else None

    @property
    def rings_phones(self) -> bool:
        """True if the carrier is Telnyx itself, and not the sandbox."""
        return (urlsplit(self.telnyx_base_url).hostname or "").endswith("telnyx.com")

    @property
    def price_per_minute(self) -> float:
        """What a minute of talk costs, in the currency of the prices; 0 if no price is set."""
        return self.price_telnyx + self.price_agent + self.price_stt + self.price_tts + self.price_llm

    @property
    def store_url(self) -> str:
        """The store's address: REDIS_URL, else the embedded Redis that runs in this folder; raises SettingsError for neither."""
        if self.redis_url:
            return self.redis_url
        socket = embedded_socket(self.data_dir)
        if socket.exists():
            return f"unix://{socket}?db=0"
        raise SettingsError(
            "REDIS_URL is not set, and no embedded Redis is running in this folder: "
            "set REDIS_URL=redis://HOST:6379/0, or start `dialout up` or `dialout sandbox` in this folder first"
        )

    def require(self, *names: str) -> None:
        """Raise SettingsError if some of these settings are empty; the message names them all."""
        missing = [name.upper() for name in names if not _given(getattr(self, name))]
        if missing:
            are, them = ("is", "it") if len(missing) == 1 else ("are", "them")
            raise SettingsError(
                f"{_listed(missing)} {are} not set: put {them} into the environment or into .env "
                "(.env.example explains each setting)"
            )

    def require_carrier(self) -> None:
        """Raise SettingsError unless all settings are there that a dial needs."""
        self.require("telnyx_api_key", "telnyx_texml_app_id", "caller_ids", "public_url", "brief_secret")
        if not self.stream_url:
            self.require("pipecat_agent", "pipecat_organization")


def _listed(names: list[str]) -> str:
    """Return "A", "A and B", or "A, B and C"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _given(value: object) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _problem(error: ErrorDetails) -> str:
    if not error["loc"]:  # settings that contradict each other, which the sentence names
        return error["msg"].removeprefix("Value error, ")
    return f"{str(error['loc'][0]).upper()}: {error['msg'][0].lower()}{error['msg'][1:]}"


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Read the environment and `.env`, once; raises SettingsError with a sentence for each wrong value."""
    try:
        return Settings()
    except ValidationError as error:
        problems = [_problem(e) for e in error.errors()]
        raise SettingsError("; ".join(problems) + " (.env.example explains each setting)") from None
