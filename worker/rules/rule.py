"""Every reason for which a phone does not ring: one closed enum, wherever the reason is enforced."""

from enum import StrEnum
from typing import Self


class Then(StrEnum):
    """What a rule does with the contact that it speaks against."""

    HOLD = "hold"  # the contact waits, and the rules are asked again later
    REFUSE = "refuse"  # this campaign never rings the contact


class Rule(StrEnum):
    """A named reason for which a phone does not ring now. The value is what the record, Lua and `--json` say."""

    sentence: str
    then: Then

    def __new__(cls, value: str, sentence: str, then: Then) -> Self:
        """Keep the sentence and the consequence with the member."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        member.then = then
        return member

    PAUSED = "paused", "the campaign is paused", Then.HOLD
    STOPPED = "stopped", "the campaign is stopped", Then.HOLD
    DO_NOT_CALL = "do_not_call", "the number is on the do-not-call list", Then.REFUSE
    NUMBER_TYPE = "number_type", "an artificial voice may not ring this type of number", Then.REFUSE
    CONSENT = "consent", "the consent that the law asks for is not on record", Then.REFUSE
    REGISTRY = "registry", "the copy of the national do-not-call registry is missing or too old", Then.HOLD
    ATTEMPTS = "attempts", "all attempts that the campaign allows were made", Then.REFUSE
    NUMBER_LIMIT = "number_limit", "the number was rung as often as it may be, over all campaigns", Then.HOLD
    ZONE_UNKNOWN = "zone_unknown", "the contact's time zone is not known", Then.REFUSE
    BLACKOUT = "blackout", "today is a blackout date of the campaign", Then.HOLD
    HOLIDAY = "holiday", "today is a public holiday where the contact is", Then.HOLD
    CALLING_WINDOW = "calling_window", "it is outside the campaign's calling window", Then.HOLD
    LEGAL_HOURS = "legal_hours", "it is outside the hours that the law allows", Then.HOLD
    ON_A_CALL = "on_a_call", "this number is on another call of ours", Then.HOLD
    CANARY = "canary", "the campaign's first attempts wait for the operator's approval", Then.HOLD
    CALLS_PER_DAY = "calls_per_day", "the campaign has made all its calls of the day", Then.HOLD
    CALLER_ID = "caller_id", "none of our numbers may call now", Then.HOLD
    PACE = "pace", "the pace does not allow another dial yet", Then.HOLD
    REHEARSED = (
        "rehearsed",
        "this campaign was rehearsed, and a rehearsal's contacts are never rung by Telnyx",
        Then.REFUSE,
    )
    ACCOUNT_BLOCKED = "account_blocked", "the carrier does not let this account dial", Then.HOLD
    CARRIER_BUSY = "carrier_busy", "the carrier is busy", Then.HOLD
    STOOD_STILL = "stood_still", "the worker stood still just before it dialed", Then.HOLD
    LEASE_ENDED = "lease_ended", "the attempt was claimed, and no worker dialed it in time", Then.HOLD
    GONE = "gone", "another worker dials this attempt, or its claim has ended", Then.HOLD
    UNKNOWN_ANSWER = "unknown_answer", "the store named a rule that this version of the dialer does not know", Then.HOLD
