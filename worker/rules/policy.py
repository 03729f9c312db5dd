"""The rules of dialing: whom, when, how often, and when again. Pure functions of their arguments.

A compliance officer can read this file from top to bottom; nothing else decides whether somebody's phone rings. How an
attempt ended is decided in settlement.py; what the law of each place says stands in law.toml.
Times are zone-aware datetimes, durations are timedeltas.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from campaigns import numbers
from campaigns.call import Disposition
from campaigns.campaign import Campaign
from campaigns.places import Place
from worker.rules.do_not_call import Listing, Registry, in_force
from worker.rules.law import CONSENTS, NO_LAW, Cap, Law, UnknownRegion, law_of, national_law, public_holidays
from worker.rules.settlement import Settled
from worker.rules.timing import LINGER

_SEARCH_DAYS: Final = 62
"""How far ahead an opening is searched: past any combination of weekdays, holidays and a blackout of some weeks."""

REGISTRY_AGE: Final = timedelta(days=31)
"""How old a copy of a national registry may be: 16 CFR 310.4(b)(3)(iv)."""

ASK_REGISTRY: Final = timedelta(hours=1)
"""When a contact that waits for a fresh copy is asked for again."""


# --- may we ring? -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a contact may be rung now. A refusal names its rule, and says when to ask again, if ever."""

    rule: str = ""
    reason: str = ""
    until: datetime | None = None  # None with a rule: never

    @property
    def allowed(self) -> bool:
        """True if no rule speaks against it."""
        return not self.rule


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the rules ask of a contact, as it is known at the moment of asking."""

    campaign: Campaign
    phone: str  # E.164
    place: Place
    columns: Mapping[str, str] = field(default_factory=dict[str, str])  # of its row
    campaign_state: str = "running"  # or "paused", "stopped"
    made: int = 0  # attempts of this campaign, begun before this one
    asked_back: bool = False  # the last time, they asked to be called again
    rung: Sequence[datetime] = ()  # when this number was rung lately, in any campaign
    listings: Sequence[Listing] = ()  # its entries on the do-not-call list
    registries: Mapping[str, Registry] = field(default_factory=dict[str, Registry])  # the lists that were imported


def may_ring(facts: Facts, now: datetime) -> Verdict:
    """Decide whether a contact may be rung at `now`: the first rule that says no is named.

    Asked before an attempt is begun, and again just before its POST. Docs: docs/rules.md.
    """
    return next((verdict for rule in _RULES if (verdict := rule(facts, now))), Verdict())


def _paused(facts: Facts, now: datetime) -> Verdict | None:
    """The operator's word holds at once: a paused campaign rings nobody, nor does one that was stopped."""
    if facts.campaign_state == "running":
        return None
    return Verdict(facts.campaign_state, f"the campaign is {facts.campaign_state}", now)


def _do_not_call(facts: Facts, now: datetime) -> Verdict | None:
    """Whoever is on the do-not-call list, for everything, this purpose or this campaign, is not rung any more."""
    campaign = facts.campaign
    listing = in_force(facts.listings, campaign.name, campaign.purpose, now)
    return Verdict("do_not_call", str(listing)) if listing else None


def _number_type(facts: Facts, _now: datetime) -> Verdict | None:
    """Emergency, toll-free, premium and such numbers may not be rung by an artificial voice (47 CFR 64.1200(a)(1))."""
    try:
        numbers.parse(facts.phone, facts.campaign.default_region, facts.campaign.allowed_countries)
    except numbers.BadNumber as bad:
        return Verdict("number_type", f"the number {bad}")
    return None


def _consent(facts: Facts, now: datetime) -> Verdict | None:
    """Where the law asks for consent, it is on record, and not too old."""
    problem = consent_problem(facts.campaign, facts.place, facts.columns, now)
    return Verdict("consent", problem) if problem else None


def _registry(facts: Facts, now: datetime) -> Verdict | None:
    """Where the law has a registry, we hold a copy of it that is fresh. Who waits for one is held, and not lost."""
    problem = registry_problem(facts.campaign, facts.place, facts.registries, now)
    return Verdict("registry", problem, now + ASK_REGISTRY) if problem else None


def _attempts(facts: Facts, _now: datetime) -> Verdict | None:
    """A contact is rung no more often than the campaign says; once more, if the last time they asked for it."""
    if facts.made < most_attempts(facts.campaign, asked_back=facts.asked_back):
        return None
    return Verdict("attempts", f"all {facts.made} attempts were made")


def most_attempts(campaign: Campaign, *, asked_back: bool) -> int:
    """Return how often one contact is rung by a campaign. Whoever always says "later" must not be rung for ever."""
    return campaign.retry.max_attempts + asked_back


def _number_limit(facts: Facts, now: datetime) -> Verdict | None:
    """A number is rung no more often than the law and the campaign say, whatever the campaigns that have it."""
    later = [(cap, until) for cap in caps(facts.campaign, facts.place) if (until := _over(cap, facts.rung, now))]
    if not later:
        return None
    cap, until = max(later, key=lambda one: one[1])
    opening = next_opening(facts.campaign, facts.place, until)
    return Verdict("number_limit", f"the number was rung {cap}, over all campaigns", opening or until)


def _over(cap: Cap, rung: Sequence[datetime], now: datetime) -> datetime | None:
    """Return when one more attempt is within the cap, or None if it is now."""
    within = sorted((at for at in rung if at > now - cap.period), reverse=True)
    return within[cap.attempts - 1] + cap.period if len(within) >= cap.attempts else None


def _zone_unknown(facts: Facts, _now: datetime) -> Verdict | None:
    """Where it is not known what the contact's clock says, it is not guessed."""
    if facts.place.zones:
        return None
    return Verdict("zone_unknown", "the contact's time zone is not known, and is not guessed: add a column timezone")


def _hours(facts: Facts, now: datetime) -> Verdict | None:
    """It must be a day and an hour for calls wherever the contact may be, by the campaign's window and by the law."""
    closed = next(
        (reason for zone in facts.place.zones if (reason := _closed_in(zone, facts.campaign, facts.place, now))), None
    )
    if closed is None:
        return None
    opening = next_opening(facts.campaign, facts.place, now)
    if opening is None:
        closed = (closed[0], f"{closed[1]}, and there is no time in {_SEARCH_DAYS} days at which it may be rung")
    return Verdict(*closed, opening)


_RULES: Final = (
    _paused, _do_not_call, _number_type, _consent, _registry, _attempts, _number_limit, _zone_unknown, _hours
)  # fmt: skip


# --- consent, registries, caps ----------------------------------------------------------------------------------------


def law(campaign: Campaign, place: Place) -> Law:
    """Return the strictest law that a call of this campaign may be under; none in a rehearsal, which rings nobody."""
    return NO_LAW if campaign.rehearsed else law_of(place.regions, campaign.purpose)


def caps(campaign: Campaign, place: Place) -> tuple[Cap, ...]:
    """Return how often one number may be rung: the law's caps, and the campaign's own, which can only be stricter."""
    own = None if campaign.rehearsed else campaign.retry.max_per_day  # a rehearsal's day takes minutes
    return law(campaign, place).caps + ((Cap(own, timedelta(days=1)),) if own else ())


def consent_problem(campaign: Campaign, place: Place, columns: Mapping[str, str], now: datetime) -> str:
    """Return what consent is lacking for a contact, as a sentence, or "".

    The row's own word counts before the operator's for all: who is on record with less is not rung.
    """
    needed = law(campaign, place).consent
    if needed == "none":
        return ""
    rules, said = campaign.consent, columns.get("consent_type", "").strip().lower()
    if said or not rules.attested_by:
        if said not in CONSENTS:
            return f"consent_type says {said or 'nothing'}: write none, express or written"
        if CONSENTS.index(said) < CONSENTS.index(needed):
            return f"consent is {said}, and {campaign.purpose} calls to {_where(place)} need {needed} consent"
        given, dated = columns.get("consent_at", "").strip(), "consent_at"
    else:
        given, dated = (rules.attested_at.isoformat() if rules.attested_at else ""), "attested_at"
    at = _day(given)
    if given and at is None:
        return f"{dated} is no date: write it as 2026-03-31"
    if rules.max_age_days and at is None:
        return f"{dated} is empty, and consent has an age limit"
    if rules.max_age_days and at and not timedelta(days=-1) < now - at <= timedelta(days=rules.max_age_days):
        return f"{dated} is not of the last {rules.max_age_days} days"
    return ""


def registry_problem(campaign: Campaign, place: Place, registries: Mapping[str, Registry], now: datetime) -> str:
    """Return why the copy of the registry that a call must be checked against will not do, as a sentence, or ""."""
    return _stale(law(campaign, place).registry, registries, now)


def registries_asked(campaign: Campaign) -> set[str]:
    """Return the names of the lists that calls of this campaign must be checked against."""
    laws = (national_law(country, campaign.purpose) for country in campaign.allowed_countries)
    return set() if campaign.rehearsed else {one.registry for one in laws if one.registry}


def checked_against(campaign: Campaign, place: Place, registries: Mapping[str, Registry]) -> str:
    """Return what an attempt's record says of the registry that its number was checked against; "" if none was asked."""
    name = law(campaign, place).registry
    return f"list {name} as of {registries[name].as_of}" if name in registries else ""


def _stale(name: str, registries: Mapping[str, Registry], now: datetime) -> str:
    if not name:
        return ""
    do = f"`dialout dnc import FILE --list {name} --as-of YYYY-MM-DD --scope marketing`"
    kept = registries.get(name)
    if kept is None:
        return f"the list {name} was never imported, and marketing calls must be checked against it: {do}"
    if now.date() - kept.as_of > REGISTRY_AGE:
        return f"the list {name} is as of {kept.as_of}, more than {REGISTRY_AGE.days} days ago: {do}"
    return ""


def _where(place: Place) -> str:
    return ", ".join(place.regions) or "an unknown country"


def _day(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def objections(campaign: Campaign, registries: Mapping[str, Registry] | None, now: datetime) -> list[str]:
    """Return why a campaign may not start, a sentence each; none: it may. `registries` None: the store was not asked."""
    found: list[str] = []
    window = campaign.calling_window
    for country in campaign.allowed_countries:
        national = national_law(country, campaign.purpose)
        start = max(hours[0] for hours in national.hours if hours)
        end = min(hours[1] for hours in national.hours if hours)
        if window.start < start or window.end > end:
            found.append(
                f"calling_window: {window.start:%H:%M} to {window.end:%H:%M} is wider than the law's {start:%H:%M} to "
                f"{end:%H:%M} ({country}): narrow it"
            )
        own = campaign.retry.max_per_day
        day = [cap.attempts for cap in national.caps if cap.period == timedelta(days=1)]
        if own and day and own > min(day):
            found.append(
                f"retry.max_per_day: {own} is more than the {min(day)} that the law allows ({country}): lower it"
            )
        if registries is not None and (stale := _stale(national.registry, registries, now)):
            found.append(stale)
    if isinstance(window.holidays, str):
        try:
            public_holidays(window.holidays, now.year)
        except UnknownRegion as unknown:
            found.append(f"calling_window.holidays: {unknown}; name another, or list the days in blackout")
    return found


def needs_consent_column(campaign: Campaign) -> bool:
    """True if the rows themselves must say that consent was given."""
    asked = any(national_law(country, campaign.purpose).consent != "none" for country in campaign.allowed_countries)
    return asked and not campaign.consent.attested_by and not campaign.rehearsed


# --- the hours --------------------------------------------------------------------------------------------------------


def next_opening(campaign: Campaign, place: Place, after: datetime) -> datetime | None:
    """Return the first instant from `after` on at which the contact may be rung as far as its clocks are concerned.

    A contact who may be in several zones may be in any of them, so all must be open. None: there is no such instant
    within two months, or no zone is known.
    """
    if not place.zones:
        return None
    instant = after.astimezone(UTC)
    limit = instant + timedelta(days=_SEARCH_DAYS)
    while instant <= limit:
        latest = max(_opening_in(zone, campaign, place, instant) for zone in place.zones)
        if latest <= instant:
            return instant
        instant = latest
    return None


def _opening_in(zone: str, campaign: Campaign, place: Place, after: datetime) -> datetime:
    """Return the first instant from `after` on at which one zone is open."""
    today = after.astimezone(ZoneInfo(zone)).date()
    for ahead in range(_SEARCH_DAYS + 2):
        span = _span(today + timedelta(days=ahead), zone, campaign, place)
        if span and after < span[1]:
            return max(after, span[0])
    return after + timedelta(days=_SEARCH_DAYS + 1)


def _closed_in(zone: str, campaign: Campaign, place: Place, now: datetime) -> tuple[str, str] | None:
    """Return the rule by which one zone is closed, and a sentence; None: it is open."""
    local = now.astimezone(ZoneInfo(zone))
    day = local.date()
    if off := _day_off(day, campaign, place):
        return off
    span = _span(day, zone, campaign, place)
    if span and span[0] <= now < span[1]:
        return None
    window, lawful = campaign.calling_window, law(campaign, place).hours[day.weekday()]
    if window.start <= local.time() < window.end and not (lawful and lawful[0] <= local.time() < lawful[1]):
        return (
            "legal_hours",
            f"outside the hours that the law of {_where(place)} allows: it is {local:%A %H:%M} in {zone}",
        )
    again = " for the second time today" if local.fold else ""
    return "calling_window", f"outside the calling window: it is {local:%H:%M} in {zone}{again}"


def _span(day: date, zone: str, campaign: Campaign, place: Place) -> tuple[datetime, datetime] | None:
    """Return from when until when a day is open in a zone, or None if it is not."""
    lawful = law(campaign, place).hours[day.weekday()]
    if lawful is None or _day_off(day, campaign, place):
        return None
    window = campaign.calling_window
    opens = max(_instants(day, max(window.start, lawful[0]), zone))
    closes = min(_instants(day, min(window.end, lawful[1]), zone))
    return (opens, closes) if opens < closes else None


def _day_off(day: date, campaign: Campaign, place: Place) -> tuple[str, str] | None:
    """Return the rule by which nobody is rung on a day, and a sentence; None: it is a day for calls."""
    window = campaign.calling_window
    if not window.includes_day(day):
        return "calling_window", f"{day:%A} is not among the calling window's weekdays"
    if day in window.blackout:
        return "blackout", f"{day} is a blackout date of the campaign"
    for region in _keeps_holidays(campaign, place):
        if holiday := _holiday(region, day):
            return "holiday", f"{day} is {holiday} in {region}"
    return None


def _keeps_holidays(campaign: Campaign, place: Place) -> tuple[str, ...]:
    asked = campaign.calling_window.holidays
    own = (asked,) if isinstance(asked, str) else place.regions if asked else ()
    return own + law(campaign, place).closed_on_holidays_of


def _holiday(region: str, day: date) -> str:
    try:
        return public_holidays(region, day.year).get(day, "")
    except UnknownRegion:  # a campaign that names one does not start; of a contact's own, nothing can be kept free
        return ""


def _instants(day: date, at: time, zone: str) -> tuple[datetime, datetime]:
    """Return the one instant that a clock shows a time at, twice; or, where it is set back, the two.

    A time that the clock skips has two readings an hour apart. In UTC, for comparisons are of instants.
    """
    local = datetime.combine(day, at, tzinfo=ZoneInfo(zone))
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)


# --- how many at once? ------------------------------------------------------------------------------------------------

BOT_WITHIN: Final = timedelta(seconds=2)
"""How soon after an answer a bot must be there: a call without one is abandoned then (47 CFR 64.1200(a)(7))."""

LUCK: Final = 3.0
"""For how many standard deviations of luck there must be bots: of a thousand half minutes at the limit, one is worse."""

_DOUBT: Final = 2.0
"""How many standard errors above the answers so far the answer rate is taken to be."""


def answer_rate(answered: int, rung_out: int) -> float:
    """Return the highest share of calls that may plausibly be answered, from those answered and those that rang out.

    1 where nothing is known: everybody answers until they are known not to. The upper bound of Wilson's interval. Calls
    that were busy, refused or invalid are in neither number: they are over before a bot could be missing.
    """
    calls = answered + rung_out
    if not calls:
        return 1.0
    share, doubt = answered / calls, _DOUBT**2 / calls
    spread = _DOUBT * math.sqrt(share * (1 - share) / calls + doubt / (4 * calls))
    return min(1.0, (share + doubt / 2 + spread) / (1 + doubt))


def answers_to_expect(ringing: Iterable[tuple[int, float]]) -> float:
    """Return how many answers there may plausibly be within a ring, of so many calls at each answer rate.

    Their mean and LUCK standard deviations, and never more than there are calls.
    """
    groups = list(ringing)
    mean = sum(calls * rate for calls, rate in groups)
    variance = sum(calls * rate * (1 - rate) for calls, rate in groups)
    return min(sum(calls for calls, _ in groups), mean + LUCK * math.sqrt(variance))


def may_ring_one_more(warm: int, taken: int, ringing: Sequence[tuple[int, float]], rate: float) -> bool:
    """Decide whether one more contact may be rung, so that nobody answers to silence.

    `warm` bots were counted, `taken` of them are on a call by now or are not warm again yet; `ringing` are the calls that
    are not answered yet, at their campaigns' answer rates; `rate` is that of the one more. The claim decides the same
    within its script (claim.lua): there, nobody can come in between.
    """
    return answers_to_expect([*ringing, (1, rate)]) <= warm - taken


# --- when again? ------------------------------------------------------------------------------------------------------


def next_attempt(
    campaign: Campaign, settled: Settled, attempts_made: int, place: Place, now: datetime
) -> datetime | None:
    """Return when the contact is to be rung again, or None if this was the last time.

    The only function that decides that somebody is rung again. `attempts_made` counts the one just settled. A call that
    the person asked for beats the list of delays, and comes on top of the campaign's `max_attempts`, once.
    """
    asked_back = settled.disposition is Disposition.CALLBACK
    if attempts_made >= most_attempts(campaign, asked_back=asked_back):
        return None
    if asked_back and settled.callback_at:
        return next_opening(campaign, place, max(settled.callback_at, now))
    delay = campaign.retry.delay_after(settled.disposition, attempts_made)
    return None if delay is None else next_opening(campaign, place, now + delay)


@dataclass(frozen=True, slots=True)
class Before:
    """How a contact stood when it rang us."""

    due: datetime | None = None  # an attempt was waiting
    disposition: Disposition | None = None
    reason: str = ""


_CAME_TO_NOTHING: Final = frozenset({Disposition.FAILED, Disposition.REJECTED, Disposition.UNCONFIRMED})


def after_inbound(settled: Settled, before: Before, now: datetime) -> tuple[Settled, datetime | None]:
    """Decide what follows when a contact has rung us: a talk withdraws the waiting attempt, anything less restores it."""
    if settled.disposition not in _CAME_TO_NOTHING:
        later = settled.callback_at if settled.disposition is Disposition.CALLBACK else None
        return settled, max(later, now) if later else None
    if before.due:
        return settled, max(before.due, now)
    if before.disposition:
        return replace(settled, disposition=before.disposition, reason=before.reason), None
    return settled, None


def lease(campaign: Campaign) -> timedelta:
    """How long an attempt may hold its line: as long as its call can last, and a little more."""
    return timedelta(seconds=campaign.call.ring_timeout_s + campaign.call.time_limit_s) + LINGER


def open_now(
    campaign: Campaign, places: Iterable[Place], registries: Mapping[str, Registry], now: datetime
) -> list[Place]:
    """Return those places in which contacts may be claimed at `now`: for the others nobody need be asked."""
    return [
        place for place in open_places(campaign, places, now) if not registry_problem(campaign, place, registries, now)
    ]


def open_places(campaign: Campaign, places: Iterable[Place], now: datetime) -> list[Place]:
    """Return those places where it is an hour for calls. Where that is not known, contacts are claimed to be refused."""
    return [place for place in places if not any(_closed_in(zone, campaign, place, now) for zone in place.zones)]


def in_zone_of(zones: Sequence[str], moment: datetime) -> datetime:
    """Return a moment as a contact in these zones would tell it: by the first of them, or by UTC."""
    return moment.astimezone(ZoneInfo(zones[0]) if zones else UTC)
