"""A claim for one campaign, as tests want it: of lines and pace there is enough, unless it is said."""

from datetime import timedelta

from campaigns.campaign import Campaign
from worker.store import Store
from worker.store.values import Bid, ClaimLimits


def bid(
    store: Store,
    campaign: Campaign,
    *,
    answer_rate: float = 1.0,
    calls_per_second: float = 1000,
    most: int | None = None,
) -> Bid:
    fast = campaign.pacing.model_copy(update={"calls_per_second": calls_per_second})
    places = list(store.campaigns.places(campaign.name).values())
    return Bid(campaign.model_copy(update={"pacing": fast}), places, campaign.pacing.lines, answer_rate, most)


def limits(
    *, lines: int = 100, ahead: int = 100, lease: timedelta = timedelta(seconds=30), **others: object
) -> ClaimLimits:
    """`ahead`: how many dials."""
    return ClaimLimits(lines, 1000, timedelta(milliseconds=ahead - 1), lease, **others)  # type: ignore[arg-type]


def claim(
    store: Store, campaign: Campaign, *, lines: int = 100, ahead: int = 100, most: int | None = None,
    lease: timedelta = timedelta(seconds=30),
) -> list[str]:  # fmt: skip
    bids = [bid(store, campaign, most=most)]
    return store.pace.claim(bids, limits(lines=lines, ahead=ahead, lease=lease)).get(campaign.name, [])
