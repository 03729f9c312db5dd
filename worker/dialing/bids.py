"""The claim, and what each campaign bids for: lines, open places, and how many attempts."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from worker.dialing import own_numbers
from worker.dialing.apart import apart
from worker.dialing.collaborators import Dialer
from worker.rules import brakes, caller_ids
from worker.rules.may_ring import open_now
from worker.rules.rule import Rule
from worker.rules.states import CampaignState, ContactState
from worker.rules.timing import AHEAD, CLAIM_LEASE, TICK, TOGETHER, slowest
from worker.rules.warm_bots import answer_rate
from worker.settings import Settings
from worker.store import Store
from worker.store.values import Bid, ClaimLimits, UnderWay

log: Final = logging.getLogger(__name__)

_WARN_EVERY: Final = timedelta(hours=1)
_CANCELED_AT_ONCE: Final = 200
"""Waiting contacts of a stopped campaign that one beat cancels: few enough not to delay the claim."""


def claim(dialer: Dialer) -> Iterator[list[str]]:
    """Claim what may be dialed now, of all campaigns at once; yields the attempts' ids, as many as one message has."""
    store, settings = dialer.store, dialer.settings
    if not store.tick("claim", TICK):
        return
    now = store.now()
    bids = [
        bid
        for found in store.campaigns.under_way()
        if (bid := apart(partial(_bid, store, settings, found, now), _FAILED, found.name, instead=lambda _: None))
    ]
    for claimed in store.pace.claim(bids, _limits(settings)).values():
        for start in range(0, len(claimed), TOGETHER):
            yield claimed[start : start + TOGETHER]


_FAILED: Final = "nothing of %s can be claimed; the other campaigns go on"


def _bid(store: Store, settings: Settings, found: UnderWay, now: datetime) -> Bid | None:
    """Return a campaign's bid.

    A campaign that may not ring still bids while it has calls, because they hold lines and bots.

    None: it has no calls, and may place none.
    """
    ringing = found.state is CampaignState.RUNNING
    if found.state is CampaignState.STOPPED:
        _cancel_some(store, found.name)
    if not ringing and not found.live:
        return None
    campaign, places = store.campaigns.definition(found.name, found.version), found.places
    lines = settings.lines_per_caller_id * len(own_numbers.pool_of(campaign, settings)) or settings.lines
    open_places = open_now(campaign, places, found.registries, now) if ringing else []
    return Bid(
        campaign=campaign,
        open_places=[places[one] for one in open_places],
        lines=min(campaign.pacing.lines, lines),
        answer_rate=answer_rate(found.answered, found.rung_out),
        most=room(store, campaign, settings, now, within=CLAIM_LEASE) if ringing else 0,
    )


def room(store: Store, campaign: Campaign, settings: Settings, now: datetime, *, within: timedelta) -> int | None:
    """Stop a running campaign if its brakes say so, and return how many attempts may be claimed now; None: any number.

    Claiming no more than can be dialed `within` from now keeps contacts from being claimed and given back in vain. It
    is no fence: what may not be passed is not passed because a dial begins in one script (begin.lua).
    """
    counted = store.brakes.counted(campaign, now)
    if stop := brakes.stop(campaign, counted):
        if store.brakes.pull(campaign.name, stop):
            level = logging.WARNING if stop.rule == Rule.CANARY else logging.ERROR  # every campaign has a canary
            log.log(level, "campaign %s paused: %s", campaign.name, stop.why)
        return 0
    if (warning := brakes.warning(campaign, counted)) and store.tick(f"warn_{campaign.name}", _WARN_EVERY):
        log.warning("campaign %s: %s", campaign.name, warning)
    pool = own_numbers.pool_of(campaign, settings)
    numbers = store.own_numbers.read(pool, now)
    free = caller_ids.room(numbers, own_numbers.limits(settings), now, within=within) if pool else None
    return brakes.least(brakes.room(campaign, counted), free)


def _limits(settings: Settings) -> ClaimLimits:
    return ClaimLimits(
        lines=settings.lines,
        lines_for_inbound=settings.lines_for_inbound,
        calls_per_second=settings.calls_per_second,
        warm_bots=settings.bots_at_once,
        bot_rest=timedelta(seconds=settings.bot_rest_s),
        ahead=AHEAD,
        lease=CLAIM_LEASE,
        slow_to=slowest(settings.calls_per_second),
    )


def _cancel_some(store: Store, name: str) -> None:
    for contact_id in store.contacts.waiting(name, _CANCELED_AT_ONCE):
        store.contacts.withdraw(contact_id, ContactState.DONE, Disposition.CANCELED, "the campaign was stopped")
