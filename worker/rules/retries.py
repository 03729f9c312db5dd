"""Retries: how often a contact and a number may be rung, and when a contact is rung again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from campaigns.places import Place
from worker.rules.hours import next_opening
from worker.rules.law import Cap, law_for
from worker.rules.settlement import Settled

RUNG_KEPT: Final = timedelta(days=1)
"""How long it is remembered when a number was rung: at least as long as the caps of the next campaign that has the number may
look back. Where a cap is longer, the cap counts."""

_CAME_TO_NOTHING: Final = frozenset({Disposition.FAILED, Disposition.REJECTED, Disposition.UNCONFIRMED})
"""Endings of a call to us after which the contact still waits for what it waited for before."""


def next_attempt(
    campaign: Campaign, settled: Settled, attempts_made: int, place: Place, now: datetime
) -> datetime | None:
    """Return when the contact is to be rung again, or None if this was the last time.

    This is the only function that decides that somebody is rung again. `attempts_made` counts the attempt just settled. A
    call back that the person asked for comes at the time they named instead of after the campaign's delay, and comes on top
    of `max_attempts`, once.
    """
    asked_back = settled.disposition is Disposition.CALLBACK
    if attempts_made >= most_attempts(campaign, asked_back=asked_back):
        return None
    if asked_back and settled.callback_at:
        return next_opening(campaign, place, max(settled.callback_at, now))
    delay = campaign.retry.delay_after(settled.disposition, attempts_made)
    return None if delay is None else next_opening(campaign, place, now + delay)


def most_attempts(campaign: Campaign, *, asked_back: bool) -> int:
    """Return how often a campaign may ring one contact: one more if the person's last word was to call again.

    Only one more: a person who always says "later" must not be rung for ever.
    """
    return campaign.retry.max_attempts + asked_back


def caps(campaign: Campaign, place: Place) -> tuple[Cap, ...]:
    """Return how often one number may be rung over all campaigns: the law's caps, and the campaign's own stricter one."""
    own = None if campaign.rehearsed else campaign.retry.max_per_day  # a rehearsal's day takes minutes
    return law_for(campaign, place).caps + ((Cap(own, timedelta(days=1)),) if own else ())


def within_cap_from(cap: Cap, rung: Sequence[datetime], now: datetime) -> datetime | None:
    """Return from when one more attempt is within the cap, or None if it is so now. `rung` is when the number was rung."""
    within = sorted((at for at in rung if at > now - cap.period), reverse=True)
    return within[cap.attempts - 1] + cap.period if len(within) >= cap.attempts else None


@dataclass(frozen=True, slots=True)
class Before:
    """How a contact stood when it rang us."""

    due: datetime | None = None  # when the attempt that was waiting was due
    disposition: Disposition | None = None
    reason: str = ""


def after_inbound(settled: Settled, before: Before, now: datetime) -> tuple[Settled, datetime | None]:
    """Decide what follows when a contact has rung us, and when it is rung, if ever.

    A talk takes the place of the attempt that was waiting; a call that came to nothing puts that attempt back.
    """
    if settled.disposition not in _CAME_TO_NOTHING:
        later = settled.callback_at if settled.disposition is Disposition.CALLBACK else None
        return settled, max(later, now) if later else None
    if before.due:
        return settled, max(before.due, now)
    if before.disposition:
        return replace(settled, disposition=before.disposition, reason=before.reason), None
    return settled, None
