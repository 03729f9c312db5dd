"""Turns what the model says that a contact answered into the type that the campaign's question asks for."""

import re
from typing import Final

from campaigns.call import Question

_YES: Final = frozenset({"yes", "y", "true", "1", "yeah", "yep", "sure", "of course", "correct"})
_NO: Final = frozenset({"no", "n", "false", "0", "nope", "not really"})
_LONGEST: Final = 1_000  # characters of a text; the rest is cut off


class BadAnswer(ValueError):
    """The value does not answer the question. The message tells the model which value would."""


def parse_answer(question: Question, value: object) -> str | int | bool:
    """Return the answer: a bool for yes_no, an int for integer, else text. Raises BadAnswer."""
    text = str(value).strip()
    if not text:
        raise BadAnswer("the value is empty; ask again")
    match question.type:
        case "yes_no":
            return _yes_or_no(text)
        case "integer":
            return _integer(question, text)
        case "choice":
            by_name = {choice.lower(): choice for choice in question.choices}
            if text.lower() not in by_name:
                raise BadAnswer(f"the value must be one of: {', '.join(question.choices)}")
            return by_name[text.lower()]
        case "text":
            return text[:_LONGEST]


def _yes_or_no(text: str) -> bool:
    word = text.lower().strip(" .!")
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise BadAnswer('the value must be "yes" or "no"')


def _integer(question: Question, text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,9}", text):
        raise BadAnswer("the value must be a whole number, in digits")
    number = int(text)
    low, high = question.minimum, question.maximum
    if (low is not None and number < low) or (high is not None and number > high):
        raise BadAnswer(f"the value must be from {low} to {high}")
    return number
