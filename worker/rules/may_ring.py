"""May we ring? Every rule that is asked about one contact, in the order in which they are asked.

What several workers could break together (pause, do-not-call, attempts per number, the canary, the pace, caller IDs) is asked
once more inside the Redis script that writes the attempt down (worker/store/lua/begin.lua).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from campaigns import numbers
from campaigns.campaign import Campaign
from campaigns.places import Place
from worker.rules import hours
from worker.rules.consent import consent_problem
from worker.rules.do_not_call import Listing, Registry, in_force, registry_problem
from worker.rules.retries import caps, most_attempts, within_cap_from
from worker.rules.rule import Rule
from worker.rules.states import CampaignState
from worker.rules.verdict import Verdict, no


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the rules ask about a contact, as it is known at the moment of asking."""

    campaign: Campaign
    phone: str  # E.164
    place: Place
    columns: Mapping[str, str] = field(default_factory=dict[str, str])  # of its row
    campaign_state: CampaignState = CampaignState.RUNNING
    made: int = 0  # attempts of this campaign that were begun before this one
    asked_back: bool = False  # the last attempt ended with the person asking to be called again
    rung: Sequence[datetime] = ()  # when this number was rung lately, in any campaign
    listings: Sequence[Listing] = ()  # its entries on the do-not-call list
    registries: Mapping[str, Registry] = field(default_factory=dict[str, Registry])  # the lists that were imported


def may_ring(facts: Facts, now: datetime) -> Verdict:
    """Decide whether a contact may be rung at `now`. The first rule that says no is named.

    Asked before an attempt is begun, and again just before its POST.
    """
    return next((verdict for rule in _RULES if (verdict := rule(facts, now))), Verdict())


def _no(rule: Rule, facts: Facts, now: datetime, reason: str = "", until: datetime | None = None) -> Verdict:
    return no(rule, facts.campaign, facts.place, now, reason=reason, until=until)


def _paused(facts: Facts, now: datetime) -> Verdict | None:
    """The operator's word holds at once: a campaign that is paused or stopped rings nobody."""
    if facts.campaign_state is CampaignState.RUNNING:
        return None
    return _no(Rule.STOPPED if facts.campaign_state is CampaignState.STOPPED else Rule.PAUSED, facts, now)


def _do_not_call(facts: Facts, now: datetime) -> Verdict | None:
    """A number that is on the do-not-call list, for everything, for this purpose or for this campaign, is not rung."""
    campaign = facts.campaign
    listing = in_force(facts.listings, campaign.name, campaign.purpose, now)
    return _no(Rule.DO_NOT_CALL, facts, now, str(listing)) if listing else None


def _number_type(facts: Facts, now: datetime) -> Verdict | None:
    """An artificial voice may not ring emergency, toll-free, premium and such numbers (47 CFR 64.1200(a)(1))."""
    try:
        numbers.parse(facts.phone, facts.campaign.default_region, facts.campaign.allowed_countries)
    except numbers.BadNumber as bad:
        return _no(Rule.NUMBER_TYPE, facts, now, f"the number {bad}")
    return None


def _consent(facts: Facts, now: datetime) -> Verdict | None:
    """Where the law asks for consent, it is on record and not too old."""
    problem = consent_problem(facts.campaign, facts.place, facts.columns, now)
    return _no(Rule.CONSENT, facts, now, problem) if problem else None


def _registry(facts: Facts, now: datetime) -> Verdict | None:
    """Where the law has a registry, we hold a fresh copy of it. A contact that waits for one is held, and not lost."""
    problem = registry_problem(facts.campaign, facts.place, facts.registries, now)
    return _no(Rule.REGISTRY, facts, now, problem) if problem else None


def _attempts(facts: Facts, now: datetime) -> Verdict | None:
    """A contact is rung as often as the campaign says, and once more if the last time the person asked for it."""
    if facts.made < most_attempts(facts.campaign, asked_back=facts.asked_back):
        return None
    return _no(Rule.ATTEMPTS, facts, now, f"all {facts.made} attempts were made")


def _number_limit(facts: Facts, now: datetime) -> Verdict | None:
    """A number is rung as often as the law and the campaign say, over all campaigns that have it."""
    found = [(cap, within_cap_from(cap, facts.rung, now)) for cap in caps(facts.campaign, facts.place)]
    later = [(cap, until) for cap, until in found if until]
    if not later:
        return None
    cap, until = max(later, key=lambda one: one[1])
    return _no(Rule.NUMBER_LIMIT, facts, now, f"the number was rung {cap}, over all campaigns", until)


def _zone_unknown(facts: Facts, now: datetime) -> Verdict | None:
    """Where nothing tells what time it is for the contact, the time is not guessed."""
    if facts.place.zones:
        return None
    reason = "the contact's time zone is not known, and is not guessed: add a column timezone"
    return _no(Rule.ZONE_UNKNOWN, facts, now, reason)


def _hours(facts: Facts, now: datetime) -> Verdict | None:
    """It must be a day and an hour for calls in every zone where the contact may be, by the campaign and by the law."""
    closed = hours.closed(facts.campaign, facts.place, now)
    if closed is None:
        return None
    rule, reason = closed
    verdict = _no(rule, facts, now, reason)
    if verdict.until:
        return verdict
    never = f"{reason}, and there is no time in {hours.SEARCH_DAYS} days at which it may be rung"
    return replace(verdict, reason=never)


_RULES: Final = (
    _paused, _do_not_call, _number_type, _consent, _registry, _attempts, _number_limit, _zone_unknown, _hours
)  # fmt: skip


def open_now(
    campaign: Campaign, places: Iterable[Place], registries: Mapping[str, Registry], now: datetime
) -> list[Place]:
    """Return the places whose contacts may be claimed at `now`; in the others, the rules would hold every contact."""
    return [
        place
        for place in hours.open_places(campaign, places, now)
        if not registry_problem(campaign, place, registries, now)
    ]
