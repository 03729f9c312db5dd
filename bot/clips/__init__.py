"""The recorded apology, in each language that the bot has words for. It can be played when every provider fails."""

from functools import lru_cache
from pathlib import Path

from bot.phrases import LANGUAGES


@lru_cache(maxsize=len(LANGUAGES))
def apology(language: str) -> bytes:
    """Return the apology as 16-bit samples at 8 kHz; in English for a language that has no recording."""
    name = language[:2].lower()
    return (Path(__file__).parent / f"apology.{name if name in LANGUAGES else 'en'}.raw").read_bytes()
