"""The rules: every reason for which a phone does not ring now, in one closed enum, wherever the reason is enforced.

To add a rule: add a member here and a row to the table in docs/rules.md, and enforce it where the member says. Tests hold the
enum, the store's scripts and the table together. A campaign that stops by itself is another matter: see brakes.py.
"""

from enum import Flag, StrEnum, auto
from typing import Self


class Then(StrEnum):
    """What a rule does with the contact that it speaks against."""

    HOLD = "hold"  # the contact waits, and the rules are asked again later
    REFUSE = "refuse"  # this campaign never rings the contact


class Again(StrEnum):
    """When a rule that said no is asked again. `verdict.asked_again` computes the moment."""

    NEVER = "never"  # the contact is refused
    AT_ONCE = "at once"  # the reason is over by itself, or something else holds the contact meanwhile, such as a pause
    SOON = "soon"  # at the moment that came with the answer; if none came, after timing.SOON (5 s)
    IN_AN_HOUR = "in an hour"
    NEXT_DAY = "the next day"  # when the campaign's next day begins, in its day_zone
    NEXT_OPENING = "the next opening"  # never, if there is none within hours.SEARCH_DAYS
    AFTER_CAP = "after the cap"  # at the first opening after the number may be rung once more


class Where(Flag):
    """Where a rule is enforced."""

    ADMISSION = auto()  # `check` and `enqueue`: before the contact waits at all
    MAY_RING = auto()  # Python's may_ring: before an attempt is begun, and again just before its POST
    CLAIM = auto()  # claim.lua, and what Python lets it look at. The contact is not touched, and nothing is recorded
    BEGIN = auto()  # begin.lua: in the moment in which the attempt is written down
    TASK = auto()  # the tasks around the POST


_ADMISSION, _MAY_RING, _CLAIM, _BEGIN, _TASK = Where


class Rule(StrEnum):
    """A named reason for which a phone does not ring now. The value is what the record, Lua and `--json` say."""

    sentence: str  # what an operator reads where nothing more exact is known
    again: Again
    where: Where

    def __new__(cls, value: str, sentence: str, again: Again, where: Where) -> Self:
        """Keep with the member what belongs to it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence, member.again, member.where = sentence, again, where
        return member

    @property
    def then(self) -> Then:
        """What it does with the contact."""
        return Then.REFUSE if self.again is Again.NEVER else Then.HOLD

    # fmt: off
    # The operator's word.
    PAUSED = "paused", "the campaign is paused", Again.AT_ONCE, _MAY_RING | _CLAIM | _BEGIN
    STOPPED = "stopped", "the campaign is stopped", Again.AT_ONCE, _MAY_RING | _CLAIM
    REHEARSED = "rehearsed", "this campaign was rehearsed, and the contacts of a rehearsal are never rung by Telnyx", Again.NEVER, _TASK

    # Whether this contact may be rung at all.
    ROW = "row", "the row cannot be read, or its call cannot be put into words", Again.NEVER, _ADMISSION
    DO_NOT_CALL = "do_not_call", "the number is on the do-not-call list", Again.NEVER, _ADMISSION | _MAY_RING | _BEGIN
    NUMBER_TYPE = "number_type", "an artificial voice may not ring this type of number", Again.NEVER, _ADMISSION | _MAY_RING
    CONSENT = "consent", "the consent that the law asks for is not on record", Again.NEVER, _ADMISSION | _MAY_RING
    REGISTRY = "registry", "our copy of the national do-not-call registry is missing or too old", Again.IN_AN_HOUR, _ADMISSION | _MAY_RING | _CLAIM
    ATTEMPTS = "attempts", "all attempts that the campaign allows were made", Again.NEVER, _MAY_RING
    NUMBER_LIMIT = "number_limit", "the number was rung as often as it may be, over all campaigns", Again.AFTER_CAP, _MAY_RING | _BEGIN

    # What time it is where the contact is.
    ZONE_UNKNOWN = "zone_unknown", "the contact's time zone is not known", Again.NEVER, _ADMISSION | _MAY_RING
    BLACKOUT = "blackout", "today is a blackout date of the campaign", Again.NEXT_OPENING, _MAY_RING | _CLAIM
    HOLIDAY = "holiday", "today is a public holiday where the contact is", Again.NEXT_OPENING, _MAY_RING | _CLAIM
    CALLING_WINDOW = "calling_window", "it is outside the campaign's calling window", Again.NEXT_OPENING, _ADMISSION | _MAY_RING | _CLAIM
    LEGAL_HOURS = "legal_hours", "it is outside the hours that the law allows", Again.NEXT_OPENING, _MAY_RING | _CLAIM

    # Whose turn it is, and what there is to ring with.
    DUE = "due", "its next attempt is due later", Again.SOON, _CLAIM
    ON_A_CALL = "on_a_call", "this number is on another call of ours", Again.SOON, _BEGIN
    LINE = "line", "no line is free", Again.AT_ONCE, _CLAIM
    WARM_BOT = "warm_bot", "no warm bot is free", Again.AT_ONCE, _CLAIM
    PACE = "pace", "the pace does not allow another dial yet", Again.SOON, _CLAIM | _TASK
    CANARY = "canary", "the campaign's first attempts wait for the operator's approval", Again.SOON, _CLAIM | _BEGIN
    CALLS_PER_DAY = "calls_per_day", "the campaign has made all its calls of the day", Again.NEXT_DAY, _CLAIM | _BEGIN
    CALLER_ID = "caller_id", "none of our numbers may call now", Again.SOON, _CLAIM | _BEGIN

    # What goes wrong on the way to the POST.
    ACCOUNT_BLOCKED = "account_blocked", "the carrier does not let this account dial", Again.AT_ONCE, _TASK
    CARRIER_BUSY = "carrier_busy", "the carrier is busy", Again.SOON, _TASK
    STOOD_STILL = "stood_still", "the worker stood still just before it dialed", Again.AT_ONCE, _TASK
    LEASE_ENDED = "lease_ended", "the attempt was claimed, and no worker dialed it in time", Again.AT_ONCE, _TASK
    GONE = "gone", "another worker dials this attempt, or its claim has ended", Again.AT_ONCE, _BEGIN
    UNKNOWN_ANSWER = "unknown_answer", "the store named a rule that this version of the dialer does not know", Again.SOON, _TASK
    # fmt: on
