"""The verdict: what a rule's no means for a contact, and when the rule is asked again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from campaigns.campaign import Campaign
from campaigns.places import Place
from worker.rules.hours import day_of, next_opening
from worker.rules.rule import Again, Rule
from worker.rules.timing import SOON

AN_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a contact may be rung now. A no has its rule, a sentence, and the moment to ask again."""

    rule: Rule | None = None
    reason: str = ""
    until: datetime | None = None  # None with a rule: never

    @property
    def allowed(self) -> bool:
        """True if no rule speaks against it."""
        return self.rule is None


def no(
    rule: Rule, campaign: Campaign, place: Place, now: datetime, *, reason: str = "", until: datetime | None = None
) -> Verdict:
    """Return the verdict of a rule that says no; `until` as in `asked_again`."""
    return Verdict(rule, reason or rule.sentence, asked_again(rule, campaign, place, now, until=until))


def asked_again(
    rule: Rule, campaign: Campaign, place: Place, now: datetime, *, until: datetime | None = None
) -> datetime | None:
    """Return when a rule that said no is to be asked again; None: never, the contact is refused.

    `until` is when the reason ends, if the rule said so with its no: the cap of a number, the rest of a caller ID, the delay
    that the carrier asked for.
    """
    match rule.again:
        case Again.NEVER:
            return None
        case Again.AT_ONCE:
            return now
        case Again.SOON:
            return until or now + SOON
        case Again.IN_AN_HOUR:
            return now + AN_HOUR
        case Again.NEXT_DAY:
            return day_of(campaign.day_zone, now)[1]
        case Again.NEXT_OPENING:
            return next_opening(campaign, place, now)
        case Again.AFTER_CAP:
            ends = until or now
            return next_opening(campaign, place, ends) or ends
        case _:
            assert_never(rule.again)
