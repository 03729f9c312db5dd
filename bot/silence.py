"""Why nothing is heard on a call: who owes the next sound, and since when. Pure functions of the floor and of `now`.

All times are seconds of the floor's own monotonic clock.
"""

from typing import Final

from bot.floor import Floor

BROKEN_OFF_S: Final = 1.2
"""A voice that pauses for this long within an utterance has died: between sentences it pauses for half a second."""

VOICE_WITHIN_S: Final = 1.8
"""The voice owes its first sound this soon after the words. Cartesia's first byte comes within 0.2 s, rarely 0.6 s."""

MODEL_WITHIN_S: Final = 2.8
"""The model owes its first word this soon. The 99th percentile of first tokens is well below 2 s."""

WORDS_WITHIN_S: Final = 2.5
"""If no words have come this long after the contact stopped speaking, we have not understood them, or Deepgram is dead."""

DEAD_AIR_S: Final = 4.6
"""Nobody hears silence for longer than this, whatever the cause. The limit is six seconds: the apology takes a moment."""


def owed_since(floor: Floor) -> float:
    """Return since when the bot owes the next sound; 0 if it owes none."""
    return min(filter(None, (floor.voice_asked_at, floor.model_asked_at)), default=0.0)


def voice_is_late(floor: Floor, now: float, within_s: float = VOICE_WITHIN_S) -> bool:
    """Return True if the voice has been given words, and has owed their first sound for too long."""
    return bool(floor.voice_asked_at) and now - floor.voice_asked_at > within_s


def model_is_late(floor: Floor, now: float) -> bool:
    """Return True if the model has owed its first word for too long. While the bot says something else, it has time."""
    return bool(floor.model_asked_at) and now - max(floor.model_asked_at, floor.bot_heard_at) > MODEL_WITHIN_S


def voice_broke_off(floor: Floor, now: float) -> bool:
    """Return True if the voice has stopped with words left to say, though the contact did not interrupt it."""
    waits = owed_since(floor) or floor.contact_speaking or floor.unsaid.is_writing
    return floor.unsaid.words_left > 1 and not waits and now - floor.bot_heard_at > BROKEN_OFF_S


def words_are_missing(floor: Floor, now: float) -> bool:
    """Return True if the contact's voice was heard, and no words have come of it for too long."""
    ended = bool(floor.contact_wordless_since) and not floor.contact_speaking
    return ended and now - floor.contact_heard_at > WORDS_WITHIN_S


def contact_is_silent(floor: Floor, now: float, patience_s: float) -> bool:
    """Return True if it is the contact's turn, and neither side has been heard for `patience_s`."""
    return not owed_since(floor) and silent_s(floor, now) > patience_s


def is_dead_air(floor: Floor, now: float) -> bool:
    """Return True if the bot owes the next sound, and the contact has heard nothing for too long."""
    owed = owed_since(floor)
    return bool(owed) and now - max(owed, floor.bot_heard_at) > DEAD_AIR_S


def silent_s(floor: Floor, now: float) -> float:
    """Return for how long neither side has been heard."""
    if floor.contact_speaking:
        return 0.0
    return now - max(floor.began, floor.bot_heard_at, floor.contact_heard_at)


def contact_quiet_s(floor: Floor, now: float) -> float:
    """Return for how long the contact has been quiet after speaking; 0 while they speak, or if they never have."""
    return now - floor.contact_heard_at if floor.contact_heard_at and not floor.contact_speaking else 0.0


def bot_is_busy(floor: Floor) -> bool:
    """Return True while the bot speaks, or owes the next sound."""
    return bool(floor.bot_speaking or owed_since(floor))


def all_is_said(floor: Floor) -> bool:
    """Return True once the bot has been heard, and has nothing left to say."""
    return bool(floor.bot_heard_at) and not bot_is_busy(floor) and floor.unsaid.is_empty
