"""Who has the floor: what is still to be said, who was heard last, and who owes the next word. No pipeline, no clock of its own."""

from dataclasses import dataclass, field
from typing import Final


@dataclass
class Floor:
    """The state of the talk, told by those who hear it. All times are seconds of one monotonic clock."""

    began: float  # when the stream did
    bot_speaking: bool = False
    contact_speaking: bool = False
    bot_heard_at: float = 0.0  # the bot's last sound
    contact_heard_at: float = 0.0  # theirs
    words_at: float = 0.0  # when words of theirs last came
    spoke_since: float = 0.0  # when their voice, so far without words, began; 0: it had words
    opening: bool = True  # the first words are not over
    to_say: list[list[str]] = field(default_factory=list[list[str]])  # utterances, the words not heard yet
    asked_voice_at: float = 0.0  # since when the voice owes sound; 0: it does not
    asked_model_at: float = 0.0  # since when the model owes words; 0: it does not
    rest: str = ""  # what was cut off by an interruption
    unsaid: str = ""  # what the voice gave up on
    lost_thought: bool = False  # the model was cut off before it had said anything
    turn_began: float = 0.0  # when the bot's present turn did
    latency_ms: int | None = None  # of the bot's last answer: from their last sound to its first
    _writing: bool = False
    _open_space: bool = False

    # --- the bot's words ----------------------------------------------------------------------------------------------

    def model_asked(self, now: float) -> None:
        """The model is to answer."""
        self.asked_model_at = now

    def model_begins(self) -> None:
        """An answer of the model's begins; its words follow one by one."""
        self._writing = False

    def write(self, text: str, now: float) -> None:
        """Some more words of the model's answer."""
        self.asked_model_at = 0.0
        if not self._writing:
            self.to_say.append([])
            self._writing = True
            self.asked_voice_at = self.asked_voice_at or now
        said = self.to_say[-1]
        # Tokens split words: what does not begin with a space goes on with the last one.
        pieces = text.split()
        if said and pieces and not text[0].isspace() and not self._open_space:
            said[-1] += pieces.pop(0)
        said += pieces
        self._open_space = text[-1:].isspace()

    def model_ends(self) -> None:
        """The answer is complete, or was a tool's name only."""
        self.asked_model_at = 0.0
        self._writing = False

    def say(self, text: str, now: float) -> None:
        """A whole utterance goes to the voice."""
        self.to_say.append(text.split())
        self.asked_voice_at = self.asked_voice_at or now

    def spoken(self, text: str) -> None:
        """Words were heard at the other end."""
        for _ in text.split():
            while self.to_say and not self.to_say[0] and len(self.to_say) > 1:
                self.to_say.pop(0)
            if self.to_say and self.to_say[0]:
                self.to_say[0].pop(0)

    def utterance_over(self) -> None:
        """The voice says that it has finished an utterance, or given it up."""
        if self.to_say:
            left = self.to_say.pop(0)
            self.unsaid = " ".join(left)
        if not self.to_say:
            self.asked_voice_at = 0.0

    def bot_sounds(self, now: float) -> None:
        """Sound of the bot's leaves."""
        if self.asked_voice_at and self.contact_heard_at > self.bot_heard_at:
            self.latency_ms = round((now - self.contact_heard_at) * 1000)
        self.bot_heard_at = now
        self.asked_voice_at = 0.0

    def bot_starts(self, now: float) -> None:
        """The bot is heard to speak."""
        self.bot_speaking = True
        self.turn_began = self.turn_began or now

    def bot_stops(self) -> None:
        """It is silent again."""
        self.bot_speaking = False
        self.opening = False

    def interrupted(self) -> None:
        """What was being said is cut off, what was thought is forgotten."""
        left = [word for utterance in self.to_say for word in utterance]
        self.rest = " ".join(left)
        self.lost_thought = bool(self.asked_model_at)
        self.unsaid = ""
        self.to_say.clear()
        self._writing = False
        self.asked_voice_at = self.asked_model_at = 0.0

    def answered(self) -> None:
        """The contact's turn is answered anew: what was cut off by it is not taken up again."""
        self.rest, self.lost_thought = "", False

    @property
    def owed_since(self) -> float:
        """Since when the next sound has to be the bot's; 0: it has not."""
        return min(filter(None, (self.asked_voice_at, self.asked_model_at)), default=0.0)

    def turn_taken(self) -> tuple[float, int | None]:
        """Return when the bot's turn began, and after what latency in ms; the next one begins anew."""
        began, latency_ms = self.turn_began, self.latency_ms
        self.turn_began, self.latency_ms = 0.0, None
        return began, latency_ms

    @property
    def pending(self) -> str:
        """All that is still to be said, or was given up without a sound."""
        return " ".join(word for utterance in self.to_say for word in utterance) or self.unsaid

    # --- the contact --------------------------------------------------------------------------------------------------

    def contact_starts(self, now: float) -> None:
        """Their voice is heard."""
        self.contact_speaking = True
        self.contact_heard_at = now
        self.spoke_since = self.spoke_since or now

    def contact_stops(self, now: float) -> None:
        """Their voice is silent."""
        self.contact_speaking = False
        self.contact_heard_at = now

    def contact_words(self, now: float) -> None:
        """Words of theirs have come."""
        self.words_at = self.contact_heard_at = now
        self.spoke_since = 0.0

    def cut_short(self, now: float) -> bool:
        """True if the voice has stopped, though not for anybody's sake, with words left to say."""
        left = sum(map(len, self.to_say))
        idle = not (self.owed_since or self.contact_speaking or self._writing)
        return left > 1 and idle and now - self.bot_heard_at > BROKEN_OFF_S

    def model_is_late(self, now: float) -> bool:
        """True if the model has been waited for too long; while the bot says something else, it has time."""
        return bool(self.asked_model_at) and now - max(self.asked_model_at, self.bot_heard_at) > MODEL_WITHIN_S

    def voice_is_late(self, now: float) -> bool:
        """True if the voice has been waited for too long."""
        return bool(self.asked_voice_at) and now - self.asked_voice_at > VOICE_WITHIN_S

    def silent_s(self, now: float) -> float:
        """How long neither side has been heard."""
        if self.contact_speaking:
            return 0.0
        return now - max(self.began, self.bot_heard_at, self.contact_heard_at)


BROKEN_OFF_S: Final = 1.2
"""A voice that pauses for so long in the middle of an utterance has died: within sentences it pauses for half a second."""

VOICE_WITHIN_S: Final = 1.8
"""The voice owes sound within so long of being given words. Cartesia's first byte comes within 0.2 s, rarely 0.6."""

MODEL_WITHIN_S: Final = 2.8
"""The model owes its first word within so long. The 99th percentile of first tokens is well below 2 s."""

WORDS_WITHIN_S: Final = 2.5
"""A voice without words for so long after its end was not understood, or the ears are dead."""

SILENCE_S: Final = 4.6
"""Nobody is left in silence longer, whatever the cause: the apology takes a moment to be heard."""
