"""Speak the apology into bot/clips: `python -m bot.clips.make`. Needs espeak-ng and sox; its output is committed."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from bot.phrases import LANGUAGES, phrases

_VOICES: Final = {"en": "en-us+f3"}


def main() -> int:
    """Write one file for each language: 16-bit samples at 8 kHz, levelled."""
    for language in LANGUAGES:
        with tempfile.TemporaryDirectory() as folder:
            wide = Path(folder, "wide.wav")
            speak = ["espeak-ng", "-v", _VOICES.get(language, f"{language}+f3"), "-s", "155", "-w", wide]
            subprocess.run([*speak, phrases(language).apology], check=True)  # noqa: S603
            raw = ["-t", "raw", "-r", "8000", "-e", "signed", "-b", "16", "-c", "1"]
            target = Path(__file__).parent / f"apology.{language}.raw"
            subprocess.run(["sox", wide, *raw, target, "gain", "-n", "-6"], check=True)  # noqa: S603, S607
    return 0


if __name__ == "__main__":
    sys.exit(main())
