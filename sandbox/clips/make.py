"""Speak every line of clips.toml into a .ulaw file. Needs espeak-ng and sox; its output is committed, so users do not.

python -m sandbox.clips.make
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from sandbox.audio import RATE, Samples, loudness, ulaw_encode
from sandbox.clips import CLIPS

VOICES = {
    "voicemail_greeting": "en-us+f3",
    "screening": "en-gb+m1",
    "screening_connect": "en-gb+m1",
    "not_in_service": "en-us+f2",
}
LEVEL = 3000.0
"""Root mean square of speech: about -20 dB of full scale."""


def tone(frequency: float, seconds: float) -> Samples:
    """Return a sine tone."""
    t = np.arange(int(RATE * seconds)) / RATE
    return (6000 * np.sin(2 * np.pi * frequency * t)).astype(np.int16)


def speak(text: str, voice: str) -> Samples:
    """Speak, resample to 8 kHz, trim the silence at both ends, and level."""
    with tempfile.TemporaryDirectory() as folder:
        wide, narrow = Path(folder, "wide.wav"), Path(folder, "narrow.raw")
        subprocess.run(["espeak-ng", "-v", voice, "-s", "165", "-w", wide, text], check=True)  # noqa: S603, S607
        raw = ["-t", "raw", "-r", str(RATE), "-e", "signed", "-b", "16", "-c", "1", narrow]
        trim = ["silence", "1", "0.02", "0.5%", "reverse", "silence", "1", "0.02", "0.5%", "reverse"]
        subprocess.run(["sox", wide, *raw, *trim], check=True)  # noqa: S603, S607
        samples = np.frombuffer(narrow.read_bytes(), np.int16)
    return np.clip(samples * (LEVEL / loudness(samples)), -32000, 32000).astype(np.int16)


def main() -> int:
    """Write every clip beside this file."""
    tones = {
        "beep": tone(1000, 0.4),
        "fax_tone": np.concatenate([tone(1100, 0.5), np.zeros(3 * RATE, np.int16), tone(1100, 0.5)]),
    }
    for name, words in CLIPS.items():
        samples = tones[name] if name in tones else speak(words, VOICES.get(name, "en-us"))
        if name == "not_in_service":
            samples = np.concatenate([tone(950, 0.33), tone(1400, 0.33), tone(1800, 0.33), samples])
        (Path(__file__).parent / f"{name}.ulaw").write_bytes(ulaw_encode(samples))
        sys.stdout.write(f"{name}: {len(samples) / RATE:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
