"""Speak the texts of clips.toml into .ulaw files. Only this needs espeak-ng and sox: the recordings are in the repository.

    python -m sandbox.clips.make [NAME ...]

Without names it makes all clips, and another version of espeak-ng then changes every recording.
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
    "hello_yes": "en-us+f4",
    "uh_huh": "en-us+f4",
    "yes_works": "en-us+f4",
    "robot_am_i": "en-gb+m3",
    "slow_so": "en-us+f1",
    "slow_whether": "en-us+f1",
    "slow_then": "en-us+f1",
    "person_desk": "en-us+f4",
    "person_through": "en-gb+m3",
    "later_friday": "en-us+f4",
    "later_hours": "en-us+m7",
    "menu": "en-us+f2",
    "voicemail_nobody": "en-us+m5",
    "voicemail_network": "en-us+f2",
    "voicemail_long": "en-us+f1",
    "voicemail_full": "en-us+f2",
    "screening_google": "en-us+f5",
    "screening_apple": "en-us+m2",
    "screening_stay": "en-us+m2",
    "screening_no": "en-us+f5",
    "opt_out_lose": "en-us+m7",
    "opt_out_sick": "en-us+f4",
    "not_now": "en-us+m7",
}
"""The voice of each clip; the others use the default voice."""

PACE = {"opt_out_ever": 185, "slow_well": 140, "slow_think": 140, "slow_yes": 150}
"""Words per minute, where it is not 165."""

LEVEL = 3000.0
"""The root mean square that each spoken clip is scaled to: about 20 dB below full scale."""


def tone(frequency: float, seconds: float) -> Samples:
    """Return a sine tone."""
    t = np.arange(int(RATE * seconds)) / RATE
    return (6000 * np.sin(2 * np.pi * frequency * t)).astype(np.int16)


def silence(seconds: float) -> Samples:
    """Return silence."""
    return np.zeros(int(RATE * seconds), np.int16)


def answer_tone() -> Samples:
    """Return the sound of a fax that answers (ITU-T T.30): a tone of 2100 Hz, then modem data."""
    ced = tone(2100, 3.0)
    bits = np.concatenate([np.tile([0, 1, 1, 1, 1, 1, 1, 0], 37), np.random.default_rng(30).integers(0, 2, 150)])
    samples = np.repeat(
        np.where(bits, 1650.0, 1850.0), RATE // 300
    )  # V.21, upper channel: a one is the lower frequency
    modem = (6000 * np.sin(2 * np.pi * np.cumsum(samples) / RATE)).astype(np.int16)
    return np.concatenate([silence(0.2), ced, silence(0.075), modem])


def speak(text: str, voice: str, pace: int) -> Samples:
    """Speak a text; resample to 8 kHz, trim the silence at both ends, and scale to LEVEL."""
    with tempfile.TemporaryDirectory() as folder:
        wide, narrow = Path(folder, "wide.wav"), Path(folder, "narrow.raw")
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(pace), "-w", wide, text], check=True)  # noqa: S603, S607 - our own texts
        raw = ["-t", "raw", "-r", str(RATE), "-e", "signed", "-b", "16", "-c", "1", narrow]
        trim = ["silence", "1", "0.02", "0.5%", "reverse", "silence", "1", "0.02", "0.5%", "reverse"]
        subprocess.run(["sox", wide, *raw, *trim], check=True)  # noqa: S603, S607 - our own files
        samples = np.frombuffer(narrow.read_bytes(), np.int16)
    return np.clip(samples * (LEVEL / loudness(samples)), -32000, 32000).astype(np.int16)


def main() -> int:
    """Write the clips beside this file."""
    tones = {
        "beep": tone(1000, 0.4),
        "beep_low": tone(440, 0.8),
        "fax_tone": np.concatenate([tone(1100, 0.5), silence(3), tone(1100, 0.5)]),
        "fax_answer": answer_tone(),
    }
    for name in sys.argv[1:] or CLIPS:
        samples = tones[name] if name in tones else speak(CLIPS[name], VOICES.get(name, "en-us"), PACE.get(name, 165))
        if name == "not_in_service":
            samples = np.concatenate([tone(950, 0.33), tone(1400, 0.33), tone(1800, 0.33), samples])
        (Path(__file__).parent / f"{name}.ulaw").write_bytes(ulaw_encode(samples))
        sys.stdout.write(f"{name}: {len(samples) / RATE:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
