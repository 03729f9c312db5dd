"""What people say: short recordings, PCMU at 8 kHz. `make.py` has made them."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

_FOLDER = resources.files("sandbox.clips")

CLIPS: Final[Mapping[str, str]] = MappingProxyType(tomllib.loads(_FOLDER.joinpath("clips.toml").read_text("utf-8")))
"""The name of each clip -> its words; empty for a tone."""


@cache
def clip(name: str) -> bytes:
    """Return a clip as raw PCMU, 8000 bytes for each second."""
    return _FOLDER.joinpath(f"{name}.ulaw").read_bytes()
