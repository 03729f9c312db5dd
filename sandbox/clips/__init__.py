"""What people say: short recordings, PCMU at 8 kHz, made once by `make.py`."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

_FOLDER = resources.files("sandbox.clips")

CLIPS: Final[Mapping[str, str]] = MappingProxyType(tomllib.loads(_FOLDER.joinpath("clips.toml").read_text("utf-8")))
"""Name of a clip -> the words that it says; empty for a tone."""


@cache
def clip(name: str) -> bytes:
    """Return a recording as raw PCMU, 8000 bytes a second."""
    return _FOLDER.joinpath(f"{name}.ulaw").read_bytes()
