"""Who picked up: a person, or which kind of machine. Decided from words, tones and the carrier's detection together.

Pure: no pipeline, no clock. What the bot does with each kind is in `bot/callee.py`.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

import numpy as np


class Kind(StrEnum):
    """What is at the other end."""

    HUMAN = "human"
    VOICEMAIL = "voicemail"  # it takes messages
    SCREENING = "screening"  # it asks who is calling, and the person hears the answer
    MENU = "menu"  # "press one for sales"
    FAX = "fax"


_WORDS: Final = {
    # The order matters: a screen and a mailbox may both say that somebody is not available, and then it is a screen.
    Kind.SCREENING: (
        r"(say|state|record) your name|who is calling and why|call screening|screening service",
        r"reason for (your|the) call|why you('re| are) calling",
        r"nennen sie .{0,20}namen|diga su nombre|dites votre nom",
    ),
    Kind.MENU: (
        r"press (the )?(\d|one|two|three|four|five|zero|star|pound)|(main|following) (menu|options)|menu options",
        r"drücken sie die|pulse (el )?(uno|dos|\d)|(appuyez|tapez) (sur )?(le )?(un|deux|\d)",
    ),
    Kind.VOICEMAIL: (
        r"leave (me |us |a |your |an? \w+ )*(message|name)|(after|at) the (tone|beep)|voice ?mail|mail ?box",
        r"can('t|not) (come to|take|answer) (the phone|your call)|(is|are|am) not available",
        r"unable to (answer|take)|record your message|you('ve| have) reached",
        r"nach dem (ton|signalton)|anrufbeantworter|mailbox|nachricht hinterlassen|hinterlassen sie",
        r"deje (su|un) mensaje|después de(l| la)? (tono|señal)|buzón",
        r"laissez (un|votre) message|après le (bip|signal)|messagerie|boîte vocale",
    ),
}
"""What machines say, in the languages that the bot has words for."""

_SCREEN_WAITS: Final = re.compile(
    r"(please )?(hold|stay) (on|while)|connect(ing)? you|one moment|bleiben sie|einen moment|espere|un momento|patientez"
    r"|^\s*(thank you|thanks|danke|gracias|merci)\W*$",  # a person does not begin with thanks: the screen goes on speaking
    re.IGNORECASE,
)
_SCREEN_REFUSES: Final = re.compile(
    r"(not|isn't|is not) available|can('t|not) take|does not (wish|want)|remove (this|my) number|nicht erreichbar",
    re.IGNORECASE,
)

_BACKCHANNELS: Final = frozenset(
    (  # noqa: SIM905 - a list of words reads best as words
        "mm mmm mhm mm-hm mhmm hm hmm uh-huh uh huh ah oh ok okay yes yeah yep yup right sure hello hi "
        "hallo ja genau aha sí vale claro hola oui d'accord allô alô allo"
    ).split()
)
_LONGEST_BACKCHANNEL: Final = 3


def by_words(text: str) -> Kind | None:
    """Return the kind of machine that says such words, or None if a person may say them too."""
    return next((kind for kind, said in _WORDS.items() if re.search("|".join(said), text, re.IGNORECASE)), None)


def screen_says(text: str) -> Literal["wait", "no", "person"]:
    """Tell whether an answer to our name and purpose means to wait, is a refusal, or comes from the person at last."""
    if _SCREEN_WAITS.search(text):
        return "wait"
    if _SCREEN_REFUSES.search(text) or by_words(text) is Kind.VOICEMAIL:
        return "no"
    return "wait" if by_words(text) is Kind.SCREENING else "person"


def is_backchannel(text: str) -> bool:
    """True for "mm-hm", "okay", "hello?": words that people say while they go on listening."""
    words = re.findall(r"[\w'-]+", text.lower())
    return 0 < len(words) <= _LONGEST_BACKCHANNEL and all(word in _BACKCHANNELS for word in words)


@dataclass
class Impression:
    """What is known so far about who picked up."""

    words: list[str] = field(default_factory=list[str])
    so_far: str = ""  # the words of a sentence that is not over
    detected: str = ""  # what the carrier's detection says: human, machine, machine_ready or fax
    fax_tone: bool = False
    beeped: bool = False

    def hear(self, text: str) -> None:
        """Take in a whole sentence."""
        self.words.append(text)
        self.so_far = ""

    def put_through(self) -> None:
        """Note that the call screen is over: a person speaks from now on, and the last sentence was theirs."""
        self.words, self.so_far, self.detected = self.words[-1:], "", "human"

    @property
    def kind(self) -> Kind | None:
        """Who picked up, or None as long as we cannot tell.

        Words count more than the carrier's detection, which hears only how somebody speaks: it mistakes a call screen
        for a mailbox, and a person who answers at length for a machine. Without words, we believe that it is a machine
        only once there has been a tone.
        """
        if self.fax_tone or self.detected == "fax":
            return Kind.FAX
        if machine := by_words(" ".join([*self.words[-3:], self.so_far])):
            return machine
        if self.so_far:
            return None  # wait for the rest of the sentence: words tell more than the detection
        if self.words or self.detected == "human":
            return Kind.HUMAN
        ready = self.detected == "machine_ready" or (self.detected == "machine" and self.beeped)
        return Kind.VOICEMAIL if ready else None


# --- tones ------------------------------------------------------------------------------------------------------------

_RATE: Final = 8000
_PURE: Final = 0.88
"""A pure tone has at least this share of its energy at one frequency. Vowels have harmonics, and stay below a half."""

_QUIETEST: Final = 200.0
"""Root mean square of 16-bit samples below which a piece is not listened to."""

_BEEP_FRAMES: Final = 8
"""Shortest beep, in frames of 20 ms. Mailboxes beep for 0.2 s to 1 s."""

_ANSWER_TONE_HZ: Final = (2070.0, 2130.0)
_CALLING_TONE_HZ: Final = (1070.0, 1130.0)
_ANSWER_TONE_FRAMES: Final = 60
"""A tone of 2100 Hz that lasts this many frames is a fax. A fax whistles for 2.6 to 4 s (ITU-T T.30), a mailbox never."""


@dataclass
class ToneDetector:
    """Finds beeps and fax tones in 16-bit sound at 8 kHz, which it looks at in frames of 20 ms."""

    frames: int = 0
    hertz: float = 0.0
    calling_tones: int = 0
    _rest: bytes = b""

    def feed(self, audio: bytes) -> Literal["beep", "fax", ""]:
        """Take in sound; returns "beep" when a tone has ended, and "fax" as soon as a tone can be nothing else."""
        data = self._rest + audio
        whole = len(data) // 320 * 320
        self._rest = data[whole:]
        found: Literal["beep", "fax", ""] = ""
        for start in range(0, whole, 320):
            found = self._frame(np.frombuffer(data[start : start + 320], "<i2").astype(np.float32)) or found
        return found

    def _frame(self, samples: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> Literal["beep", "fax", ""]:
        hertz = _pitch_of_tone(samples)
        if hertz and (not self.frames or abs(hertz - self.hertz) < 40):  # noqa: PLR2004 - most of a bin
            self.frames += 1
            self.hertz = hertz if self.frames == 1 else 0.8 * self.hertz + 0.2 * hertz
            if self.frames == _ANSWER_TONE_FRAMES and _ANSWER_TONE_HZ[0] < self.hertz < _ANSWER_TONE_HZ[1]:
                return "fax"
            return ""
        ended, self.frames = self.frames, int(bool(hertz))
        was, self.hertz = self.hertz, hertz
        if ended < _BEEP_FRAMES:
            return ""
        if _CALLING_TONE_HZ[0] < was < _CALLING_TONE_HZ[1] and 20 <= ended <= 30:  # noqa: PLR2004 - 0.5 s, T.30's CNG
            self.calling_tones += 1
            return "fax" if self.calling_tones > 1 else "beep"
        return "beep"


def _pitch_of_tone(samples: "np.ndarray[tuple[int], np.dtype[np.float32]]") -> float:
    """Return the frequency of a frame that is one pure tone, and 0 for any other."""
    if float(np.sqrt(np.mean(samples**2))) < _QUIETEST:
        return 0.0
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    peak = int(np.argmax(power[4:-4])) + 4
    near = power[peak - 2 : peak + 3]
    if float(near.sum()) < _PURE * float(power.sum()):
        return 0.0
    centre = float((near * np.arange(peak - 2, peak + 3)).sum() / near.sum())
    return centre * _RATE / len(samples)
