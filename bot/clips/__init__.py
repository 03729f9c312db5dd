"""The recorded apology, in each language that the bot has words for: it needs no provider to be heard."""

from functools import lru_cache
from pathlib import Path

from bot.phrases import LANGUAGES


@lru_cache(maxsize=len(LANGUAGES))
def apology(language: str) -> bytes:
    """Return 16-bit samples at 8 kHz of "we are sorry, we have a technical problem", in English if need be."""
    name = language[:2].lower()
    return (Path(__file__).parent / f"apology.{name if name in LANGUAGES else 'en'}.raw").read_bytes()
