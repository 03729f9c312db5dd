"""The preflight of a file of contacts: everything is done as for a dial, but no phone rings."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, ContactsReader, RowError
from campaigns.places import Place, place_of
from campaigns.templates import RenderError
from worker.dialing import briefing, forecast
from worker.machine.batches import batches
from worker.rules.do_not_call import Listing, Registry
from worker.rules.may_ring import Facts, may_ring
from worker.rules.rule import Rule
from worker.rules.verdict import Verdict
from worker.settings import Settings
from worker.telnyx import texml

_BATCH: Final = 500

Lookup = Callable[[Sequence[str]], Sequence[tuple[tuple[Listing, ...], Sequence[datetime]]]]
"""Takes numbers; returns for each its entries on the do-not-call list, and when it was rung lately."""


@dataclass
class Found:
    """What `dialout check` found."""

    rows: int = 0
    open_now: int = 0
    fetched: int = 0  # briefs whose script does not fit into the document, and is fetched
    first_opening: datetime | None = None
    refused: Counter[str] = field(default_factory=Counter)  # column -> rows refused because of it
    rules: Counter[Rule] = field(default_factory=Counter)  # rule -> rows that it refuses for good
    held: Counter[Rule] = field(default_factory=Counter)  # rule -> contacts that it holds now
    places: Counter[Place] = field(default_factory=Counter)  # place -> contacts that will be rung

    @property
    def contacts(self) -> int:
        """How many contacts will be rung."""
        return self.places.total()

    def facts(self, campaign: Campaign, settings: Settings, now: datetime) -> dict[str, Any]:
        """Return what was found, and what the campaign will take, as JSON values: see docs/json.md."""
        lines = min(campaign.pacing.lines, settings.lines)
        means = forecast.Means(
            calls_per_second=min(campaign.pacing.calls_per_second, settings.calls_per_second),
            lines=lines,
            warm_bots=min(lines, settings.warm_bots or lines),
            answer_rate=settings.expected_answer_rate,
            talk_s=settings.expected_talk_s,
        )
        course = forecast.run(campaign, self.places, means, now)
        minutes = course.answers * means.talk_s / 60
        return {
            "campaign": campaign.name,
            "rows": self.rows,
            "contacts": self.contacts,
            "refused": sum(self.refused.values()),
            "refused_by_column": dict(self.refused),
            "refused_by_rule": dict(self.rules),
            "held_by_rule": dict(self.held),
            "open_now": self.open_now,
            "first_opening": self.first_opening.isoformat() if self.first_opening else None,
            "calls_per_second": means.calls_per_second,
            "lines": lines,
            "warm_bots": means.bots_needed,
            "shortest_s": round(self.contacts / means.calls_per_second),
            "scripts_by_url": self.fetched,
            "dials": course.dials,
            "answers": course.answers,
            "finish": course.finish.isoformat() if course.finish else None,
            "minutes": round(minutes),
            "cost": round(minutes * settings.price_per_minute, 2) if settings.price_per_minute else None,
        }


def examine(
    reader: ContactsReader,
    campaign: Campaign,
    settings: Settings,
    now: datetime,
    found: Found,
    *,
    lookup: Lookup | None = None,
    registries: Mapping[str, Registry] | None = None,
) -> Iterator[RowError]:
    """Try every row as if it were dialed now, and count into `found`; yields the rows that will not be rung.

    Without `lookup` and `registries`, the do-not-call list, the registries and the numbers' earlier calls are left out.
    """
    for batch in batches(reader, _BATCH):
        phones = [row.phone for row in batch if isinstance(row, Contact)]
        known = iter(lookup(phones) if lookup else [((), ())] * len(phones))
        for row in batch:
            found.rows += 1
            if isinstance(row, RowError):
                rule, error = Rule.ROW, row
            else:
                listings, rung = next(known)
                facts = Facts(
                    campaign,
                    row.phone,
                    place_of(row),
                    row.columns,
                    listings=listings,
                    rung=rung,
                    registries=registries or {},
                )
                problem = _problem(row, facts, settings, now, found, with_registries=registries is not None)
                if problem is None:
                    continue
                rule, column, reason = problem
                error = RowError(row.line, column, row.phone, reason, reader.header.row_of(row))
            found.refused[error.column or "row"] += 1
            found.rules[rule] += 1
            yield error


_COLUMNS: Final = {Rule.CONSENT: "consent_type"}
"""The column that a rule is about, if it is not the phone."""


def _problem(
    contact: Contact, facts: Facts, settings: Settings, now: datetime, found: Found, *, with_registries: bool
) -> tuple[Rule, str, str] | None:
    """Return the rule, the column and the reason for which a contact will not be rung; None if it will."""
    campaign, place = facts.campaign, facts.place
    try:
        document = briefing.outbound_document(
            contact, place.zones, campaign, settings, attempt_id="x" * 16 + "#1", now=now
        )
    except (RenderError, texml.DocumentTooLong) as error:
        return Rule.ROW, "", str(error)
    verdict = may_ring(facts, now)
    if verdict.rule is Rule.REGISTRY and not with_registries:
        verdict = Verdict()
    if verdict.rule and verdict.until is None:
        return verdict.rule, _COLUMNS.get(verdict.rule, "phone"), verdict.reason
    found.places[place] += 1
    found.fetched += "brief_url" in document
    if verdict.rule:
        found.held[verdict.rule] += 1
    else:
        found.open_now += 1
    opening = verdict.until or now
    found.first_opening = min(opening, found.first_opening or opening)
    return None
