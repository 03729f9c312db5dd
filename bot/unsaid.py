"""The bot's words that the contact has not heard yet. Pure: no pipeline, no clock."""


class Unsaid:
    """Words that wait to be heard, one list for each utterance, in the order in which they will be spoken.

    The model's answers come in tokens, everything else as whole utterances. The voice tells which words have been heard.
    """

    def __init__(self) -> None:
        self.rest = ""  # what an interruption cut off
        self.lost_thought = False  # an interruption stopped the model before its first word
        self._utterances: list[list[str]] = []
        self._given_up = ""  # the words that were left of the utterance that the voice ended last
        self._writing = False  # an answer of the model is not complete
        self._open_space = False  # the model's last token ended with a space

    def begin_answer(self) -> None:
        """Expect an answer of the model: its tokens follow."""
        self._writing = False

    def write(self, token: str) -> bool:
        """Add a token of the model's answer; True if it begins an utterance."""
        begins = not self._writing
        if begins:
            self._utterances.append([])
            self._writing = True
        words = self._utterances[-1]
        # Tokens split words: one that does not begin with a space continues the last word.
        pieces = token.split()
        if words and pieces and not token[0].isspace() and not self._open_space:
            words[-1] += pieces.pop(0)
        words += pieces
        self._open_space = token[-1:].isspace()
        return begins

    def end_answer(self) -> None:
        """Close the model's answer. It may have no words, if it only called a tool."""
        self._writing = False

    def add(self, text: str) -> None:
        """Add a whole utterance."""
        self._utterances.append(text.split())

    def heard(self, text: str) -> None:
        """Remove words that have been heard."""
        for _ in text.split():
            while len(self._utterances) > 1 and not self._utterances[0]:
                self._utterances.pop(0)
            if self._utterances and self._utterances[0]:
                self._utterances[0].pop(0)

    def end_utterance(self) -> None:
        """Remove an utterance that the voice has finished, or has given up with words left."""
        if self._utterances:
            self._given_up = " ".join(self._utterances.pop(0))

    def cut_off(self, *, thinking: bool) -> None:
        """Keep what an interruption cuts off as `rest`. `thinking`: the model had been asked, and had said nothing yet."""
        self.rest, self.lost_thought = self._left(), thinking
        self._given_up, self._writing = "", False
        self._utterances.clear()

    def drop_rest(self) -> None:
        """Do not resume what was cut off: the contact's turn gets an answer of its own."""
        self.rest, self.lost_thought = "", False

    @property
    def is_empty(self) -> bool:
        """True if no utterance waits to be heard."""
        return not self._utterances

    @property
    def words_left(self) -> int:
        """How many words wait to be heard."""
        return sum(map(len, self._utterances))

    @property
    def is_writing(self) -> bool:
        """True while the model adds to its answer."""
        return self._writing

    @property
    def pending(self) -> str:
        """All words that wait to be heard, or else those that the voice gave up."""
        return self._left() or self._given_up

    def _left(self) -> str:
        return " ".join(word for utterance in self._utterances for word in utterance)
