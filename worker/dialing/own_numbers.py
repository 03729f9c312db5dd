"""The numbers that we call from: which they are, whether they are ours, and which of them must rest."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from campaigns.campaign import Campaign
from worker.dialing.collaborators import Dialer
from worker.dialing.phone import Phone
from worker.rules import caller_ids
from worker.rules.timing import TEND_TICK
from worker.settings import Settings
from worker.store import Store
from worker.telnyx.refusals import CarrierError

log: Final = logging.getLogger(__name__)

UNKNOWN: Final = "Telnyx could not be asked whether the caller IDs are ours; they are used all the same: %s"
NOT_OURS: Final = "it is not one of this Telnyx account's numbers: correct CALLER_IDS or the campaign's caller_ids"


def pool_of(campaign: Campaign, settings: Settings) -> tuple[str, ...]:
    """Return the numbers that a campaign calls from: its own, or else those of the settings."""
    return campaign.caller_ids or settings.caller_ids


def all_numbers(store: Store, settings: Settings) -> list[str]:
    """Return the numbers that any campaign, or the settings, call from."""
    return sorted(
        {*settings.caller_ids}.union(*(store.campaigns.get(name)[0].caller_ids for name in store.campaigns.names()))
    )


def limits(settings: Settings) -> caller_ids.CallerIdLimits:
    """Return what every number that we call from has to keep to."""
    cool_down = timedelta(seconds=settings.caller_id_cool_down_s)
    return caller_ids.CallerIdLimits(settings.calls_per_caller_id_per_day, cool_down, settings.lines_per_caller_id)


def tend_when_due(dialer: Dialer) -> None:
    """Tend our numbers, once for all the beats that come together."""
    if dialer.store.tick("caller_ids", TEND_TICK):
        tend(dialer.store, dialer.phone, dialer.settings)


def tend(store: Store, phone: Phone, settings: Settings) -> None:
    """Let sick numbers rest, and ask the carrier now and then which numbers are ours."""
    pool, now = all_numbers(store, settings), store.now()
    numbers = store.own_numbers.read(pool, now)
    new = any(one.ours is None for one in numbers)
    if store.tick("ours", caller_ids.ASK_EVERY) or (new and store.tick("new", caller_ids.ASK_OF_NEW_EVERY)):
        try:
            for number in ask_whose(store, phone, pool):
                log.error("nobody is called from %s: %s", number, NOT_OURS)
        except CarrierError as error:
            log.warning(UNKNOWN, error)
    for one in numbers:
        if caller_ids.is_sick(one):
            store.own_numbers.rest(one.number, now + caller_ids.REST)
            log.error(
                "the caller ID %s rests for a day: %.0f %% of its last %s calls were answered, and %.0f %% of the calls "
                "before; ask the carrier whether it is marked as spam",
                one.number,
                100 * (one.answer_rate or 0),
                len(one.recent),
                100 * (one.past_rate or 0),
            )


def ask_whose(store: Store, phone: Phone, pool: Iterable[str]) -> list[str]:
    """Ask the carrier which of these numbers are ours, and record it; returns those that are not.

    Raises CarrierError if the carrier cannot be asked: then what was recorded stays, and a number of which nothing is
    recorded may call.
    """
    owned = phone.numbers()
    ours = {number: number in owned for number in pool}
    store.own_numbers.record_owned(ours)
    return sorted(number for number in ours if not ours[number])
