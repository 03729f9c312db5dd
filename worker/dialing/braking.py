"""Braking: fetch what was counted, ask the brakes and the caller IDs, store what they decide."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from campaigns.campaign import Campaign
from worker.rules import brakes, caller_ids
from worker.settings import Settings
from worker.store import Store

if TYPE_CHECKING:
    from worker.telnyx.carrier import Carrier

log: Final = logging.getLogger(__name__)

_WARN_EVERY: Final = timedelta(hours=1)


def room(store: Store, campaign: Campaign, settings: Settings, now: datetime, *, within: timedelta) -> int | None:
    """Stop a running campaign if its brakes say so, and return how many attempts may be claimed now; None: any number.

    A claim of no more than can be dialed `within` from now keeps contacts from being taken and given back in vain. What
    may not be passed is not passed because of this, but because a dial begins in one script (begin.lua).
    """
    counted = store.brakes.counted(campaign, now)
    if stop := brakes.stop(campaign, counted):
        if store.brakes.pull(campaign.name, stop):
            expected = stop.rule == "canary"
            log.log(logging.WARNING if expected else logging.ERROR, "campaign %s paused: %s", campaign.name, stop.why)
        return 0
    if (warning := brakes.warning(campaign, counted)) and store.tick(f"warn_{campaign.name}", _WARN_EVERY):
        log.warning("campaign %s: %s", campaign.name, warning)
    pool = pool_of(campaign, settings)
    numbers = store.own_numbers.read(pool, now)
    free = caller_ids.room(numbers, caller_id_limits(settings), now, within=within) if pool else None
    return brakes.least(brakes.room(campaign, counted), free)


def pool_of(campaign: Campaign, settings: Settings) -> tuple[str, ...]:
    """Return the numbers that a campaign calls from: its own, or else the house's."""
    return campaign.caller_ids or settings.caller_ids


def caller_id_limits(settings: Settings) -> caller_ids.Limits:
    """Return what every number that we call from has to keep to."""
    cool_down = timedelta(seconds=settings.caller_id_cool_down_s)
    return caller_ids.Limits(settings.calls_per_caller_id_per_day, cool_down, settings.lines_per_caller_id)


def tend_caller_ids(store: Store, carrier: "Carrier", settings: Settings) -> None:
    """Let sick numbers rest, and ask the carrier now and then which are ours."""
    from worker.telnyx.carrier import CarrierError

    pool, now = all_caller_ids(store, settings), store.now()
    numbers = store.own_numbers.read(pool, now)
    new = any(one.ours is None for one in numbers)
    if store.tick("ours", caller_ids.ASK_EVERY) or (new and store.tick("new", caller_ids.ASK_OF_NEW_EVERY)):
        try:
            for number in ask_whose(store, carrier, pool):
                log.error("nobody is called from %s: %s", number, NOT_OURS)
        except CarrierError as error:
            log.warning(UNKNOWN, error)
    for one in numbers:
        if caller_ids.is_sick(one):
            store.own_numbers.rest(one.number, now + caller_ids.REST)
            log.error(
                "the caller ID %s rests for a day: of its last %s calls, %.0f %% were answered, of those before, %.0f %%; "
                "ask the carrier whether it is marked as spam",
                one.number,
                len(one.recent),
                100 * (one.answer_rate or 0),
                100 * (one.past_rate or 0),
            )


def ask_whose(store: Store, carrier: "Carrier", pool: Iterable[str]) -> list[str]:
    """Ask the carrier which numbers are ours, and keep it; returns those that are not.

    Raises CarrierError if it cannot be asked: then what is known stays, and a number of which nothing is known may call.
    """
    owned = carrier.numbers()
    ours = {number: number in owned for number in pool}
    store.own_numbers.record_owned(ours)
    return sorted(number for number in ours if not ours[number])


UNKNOWN: Final = "whether the caller IDs are ours is not known, and they are used: %s"
NOT_OURS: Final = "it is no number of this Telnyx account: correct CALLER_IDS or the campaign's caller_ids"


def all_caller_ids(store: Store, settings: Settings) -> list[str]:
    """Return the numbers that some campaign, or the settings, call from."""
    return sorted(
        {*settings.caller_ids}.union(*(store.campaigns.get(name)[0].caller_ids for name in store.campaigns.names()))
    )
