"""Who has the floor: who was heard last, and who owes the next sound. Pure: no pipeline, no clock of its own."""

from dataclasses import dataclass, field

from bot.unsaid import Unsaid


@dataclass
class Floor:
    """The state of the talk, told by the processors that hear it; `bot/silence.py` has the questions asked of it.

    All times are seconds of one monotonic clock.
    """

    began: float  # when the stream started
    unsaid: Unsaid = field(default_factory=Unsaid)
    opening: bool = True  # the bot's first words are not over
    bot_speaking: bool = False
    bot_heard_at: float = 0.0  # when the bot's last sound left
    contact_speaking: bool = False
    contact_heard_at: float = 0.0  # when the contact was last heard
    contact_wordless_since: float = 0.0  # when a voice began that has had no words so far; 0: there is none
    voice_asked_at: float = 0.0  # since when the voice owes sound; 0: it owes none
    model_asked_at: float = 0.0  # since when the model owes words; 0: it owes none
    _turn_began: float = 0.0  # when the bot's present turn began
    _latency_ms: int | None = None  # of the bot's last answer: from the contact's last sound to the bot's first

    # --- the bot ------------------------------------------------------------------------------------------------------

    def voice_asked(self, now: float) -> None:
        """Note that words are on their way to the voice, which owes sound from now on."""
        self.voice_asked_at = self.voice_asked_at or now

    def model_asked(self, now: float) -> None:
        """Note that the model is asked for an answer."""
        self.model_asked_at = now

    def model_writes(self, token: str, now: float) -> None:
        """Note a token of the model's answer. The voice gets each one as it comes."""
        self.model_asked_at = 0.0
        if self.unsaid.write(token):
            self.voice_asked(now)

    def model_ends(self) -> None:
        """Note that the model's answer is complete, or that it called a tool instead."""
        self.model_asked_at = 0.0
        self.unsaid.end_answer()

    def say(self, text: str, now: float) -> None:
        """Note a whole utterance that goes to the voice."""
        self.unsaid.add(text)
        self.voice_asked(now)

    def utterance_over(self) -> None:
        """Note that the voice has finished an utterance, or has given it up."""
        self.unsaid.end_utterance()
        if self.unsaid.is_empty:
            self.voice_asked_at = 0.0

    def bot_sounds(self, now: float) -> None:
        """Note that sound of the bot leaves."""
        if self.voice_asked_at and self.contact_heard_at > self.bot_heard_at:
            self._latency_ms = round((now - self.contact_heard_at) * 1000)
        self.bot_heard_at = now
        self.voice_asked_at = 0.0

    def bot_starts(self, now: float) -> None:
        """Note that the bot begins to be heard."""
        self.bot_speaking = True
        self._turn_began = self._turn_began or now

    def bot_stops(self) -> None:
        """Note that the bot is silent again."""
        self.bot_speaking = False
        self.opening = False

    def interrupted(self) -> None:
        """Note that all that was being said is cut off, and all that was being thought is forgotten."""
        self.unsaid.cut_off(thinking=bool(self.model_asked_at))
        self.voice_asked_at = self.model_asked_at = 0.0

    def turn_taken(self) -> tuple[float, int | None]:
        """Return when the bot's turn began, and its latency in ms if it was an answer. The next turn begins anew."""
        taken = self._turn_began, self._latency_ms
        self._turn_began, self._latency_ms = 0.0, None
        return taken

    # --- the contact --------------------------------------------------------------------------------------------------

    def contact_starts(self, now: float) -> None:
        """Note that the contact's voice begins to be heard."""
        self.contact_speaking = True
        self.contact_heard_at = now
        self.contact_wordless_since = self.contact_wordless_since or now

    def contact_stops(self, now: float) -> None:
        """Note that the contact's voice is silent again."""
        self.contact_speaking = False
        self.contact_heard_at = now

    def contact_words(self, now: float) -> None:
        """Note that the contact's words have been understood."""
        self.contact_heard_at = now
        self.contact_wordless_since = 0.0

    def expect_no_words(self) -> None:
        """Do not wait any longer for the words of the voice that was heard."""
        self.contact_wordless_since = 0.0
