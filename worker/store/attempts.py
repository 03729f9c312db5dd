"""Attempts in the record: one attempt's way from its claim to its conclusion."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from campaigns.places import read_label
from worker.rules import brakes, caller_ids
from worker.rules.do_not_call import Registry, read_listings, read_registries
from worker.rules.evidence import AnsweredBy
from worker.rules.law import Cap
from worker.rules.rule import Rule
from worker.rules.settlement import Settled
from worker.store.base import Database, NounStore, columns, known, pairs
from worker.store.campaigns import CampaignStore, state_of
from worker.store.constants import LOOK_AGAIN
from worker.store.errors import UnknownAnswer
from worker.store.keys import Subject, key, keys_of
from worker.store.scripts import (
    BEGIN,
    CONCLUDE,
    POSTPONE,
    READ_CASES,
    RECORD_ASKED,
    TAKE_UNSETTLED,
    WITNESS,
)
from worker.store.times import moment, ms
from worker.store.values import Begun, Case, Clock, Conclusion, Reception, contact_of
from worker.store.witnesses import Testimony

_DETECTIONS: Final = (AnsweredBy.FAX, AnsweredBy.MACHINE_READY, AnsweredBy.MACHINE, AnsweredBy.HUMAN)
"""The surest first: the detection says the surer word later in the call, when it has heard more."""

_NO_LIMITS: Final = caller_ids.Limits()
_MS: Final = timedelta(milliseconds=1)


class AttemptStore(NounStore):
    """What is kept about attempts."""

    def __init__(self, database: Database, campaigns: CampaignStore) -> None:
        super().__init__(database)
        self._campaigns = campaigns

    def live(self, campaign: str) -> list[str]:
        """Return the ids of a campaign's attempts that are claimed and not concluded."""
        return self._redis.zrange(key("live", campaign), 0, -1)  # type: ignore[return-value]

    def case(self, attempt_id: str) -> Case | None:
        """Return all that is known about an attempt, or None if there is no such contact."""
        return next(iter(self.cases([attempt_id])), None)

    def cases(self, attempt_ids: Sequence[str]) -> list[Case]:
        """Return all that is known about some attempts, without those whose contact does not exist.

        This takes one round trip, and another for each campaign definition that this process has not read yet.
        """
        keys = list[str]()
        for attempt_id in attempt_ids:
            keys += keys_of(READ_CASES.more_keys, _subject(attempt_id))
        now, lists, *found = self._run(READ_CASES, more_keys=keys)
        read_at, registries = moment(now), read_registries(pairs(lists))
        told = zip(attempt_ids, found, strict=True)
        return [self._case(attempt_id, one, read_at, registries) for attempt_id, one in told if one]

    def _case(self, attempt_id: str, told: list[Any], read_at: datetime, registries: Mapping[str, Registry]) -> Case:
        contact, attempt, version, state, label, listed, rung = told
        contact = pairs(contact)
        return Case(
            attempt_id=attempt_id,
            contact_id=contact_of(attempt_id),
            campaign=self._campaigns.definition(contact["campaign"], version),
            campaign_state=state_of(state),
            phone=contact["phone"],
            place=read_label(label),
            zone=contact["zone"],
            columns=columns(contact),
            made=int(contact.get("made", "0")),
            attempt=pairs(attempt),
            read_at=read_at,
            caller_id=contact.get("caller_id", ""),
            last=contact.get("disposition", ""),
            message_left="message_left" in contact,
            listings=read_listings(listed),
            rung=tuple(moment(at) for at in rung),
            registries=registries,
        )

    def begin(
        self,
        case: Case,
        token: str,
        *,
        lease: timedelta,
        first_look: timedelta,
        account_interval: timedelta,
        campaign_interval: timedelta,
        caps: Sequence[Cap] = (),
        record: Mapping[str, str],
        pool: Sequence[str] = (),
        limits: caller_ids.Limits = _NO_LIMITS,
        departure: datetime | None = None,
    ) -> Begun:
        """Record that a POST is about to be sent, if no rule refuses it; return when it leaves.

        Asked again with the same token, the answer is the same, or a later departure if the first was missed. `pool` holds
        the caller IDs in the order in which they are tried: the first that may call now is taken. `record` is kept with the
        attempt. Raises UnknownAnswer if a rule refuses it that this version does not know.
        """
        keys, days = list[str](), list[Any]()
        for number in pool:
            keys += [key("caller_id", number), key("lines_from", number)]
            began, ends = brakes.day_of(caller_ids.day_zone(number), case.read_at)
            days += BEGIN.more_ordered(own_number=number, day=ms(began), day_ends=ms(ends))
        asked_at = self._database.monotonic()
        told = self._run(
            BEGIN,
            case.subject,
            attempt_id=case.attempt_id,
            token=token,
            contact_id=case.contact_id,
            attempt_number=case.attempt_id.rpartition("#")[2],
            lease_ms=ms(lease),
            first_look_ms=ms(first_look),
            interval_ms=account_interval / _MS,
            campaign_interval_ms=campaign_interval / _MS,
            departure_ms=ms(departure) if departure else 0,
            limits_json=_limits(case, limits, caps),
            record_json=json.dumps([part for pair in record.items() for part in pair]),
            more_keys=keys,
            more_args=days,
        )
        return read_begun(told, asked_at, self._database.monotonic())

    def postpone(self, case: Case, token: str, due: datetime, rule: str, reason: str, *, slow_to: float = 1.0) -> bool:
        """Give an attempt back unspent, because nothing rang; False if it is not ours to give back.

        With `slow_to`, the time between all dials of the account doubles for a while, to at most so many times the usual.
        """
        given = self._run(
            POSTPONE,
            case.subject,
            attempt_id=case.attempt_id,
            token=token,
            due_ms=ms(due),
            rule=rule,
            reason=reason,
            slow_to=slow_to,
        )
        return given == 1

    def witness(
        self, attempt_id: str, testimony: Testimony, *, token: str = "", left_at: datetime | None = None
    ) -> Reception:
        """Record what a witness says about an attempt. The worker gives its token, and when its dial really left."""
        heard = self._run(
            WITNESS,
            _subject(attempt_id),
            attempt_id=attempt_id,
            kind=testimony.kind,
            what=testimony.text,
            is_over=int(testimony.call_is_over),
            token=token,
            can_wait=int(testimony.can_wait),
            bot=testimony.bot.value,
            left_ms=ms(left_at) if left_at else 0,
        )
        return known(Reception, heard, "reception of a witness's word")

    def answered_by(self, attempt_id: str) -> AnsweredBy | None:
        """Return what the carrier's answering-machine detection has heard, or None if it has said nothing yet."""
        heard: list[str | None] = self._redis.hmget(
            key("attempt", attempt_id), [f"heard:detected:{by}" for by in _DETECTIONS]
        )  # type: ignore[assignment]
        return next((by for by, word in zip(_DETECTIONS, heard, strict=True) if word), None)

    def record_asked(self, attempt_id: str, answer: str, detail: str = "") -> None:
        """Record that the carrier was asked about an attempt, and answered `found`, `not_found` or `no_answer`."""
        self._run(RECORD_ASKED, _subject(attempt_id), attempt_id=attempt_id, answer=answer, detail=detail)

    def conclude(
        self, case: Case, settled: Settled, next_due: datetime | None, marks: frozenset[str] = frozenset()
    ) -> Conclusion:
        """Record how an attempt ended and when its contact is rung again, if ever.

        `marks` are what the brakes count about it; without any, they do not count it.
        """
        picked_up = caller_ids.picked_up(marks)
        concluded = self._run(
            CONCLUDE,
            case.subject,
            attempt_id=case.attempt_id,
            revision=case.attempt["rev"],
            disposition=settled.disposition.value,
            reason=settled.reason,
            is_guess=int(settled.guess),
            next_id=case.next_id if next_due else "",
            next_due_ms=ms(next_due) if next_due else 0,
            phone=case.phone,
            answers=json.dumps(dict(settled.answers), ensure_ascii=False),
            contact_id=case.contact_id,
            duration_s="" if settled.duration_s is None else settled.duration_s,
            call_sid=case.evidence.call_sid,
            marks=brakes.write_marks(marks),
            picked_up="" if picked_up is None else int(picked_up),
            message_left=int(settled.message_left),
        )
        return known(Conclusion, concluded, "result of a conclusion")

    def look_again(self, attempt_id: str, at: datetime) -> None:
        """Look at an attempt again at this time, unless it was concluded meanwhile."""
        self._redis.zadd(key("watch"), {attempt_id: ms(at)}, xx=True)

    def take_unsettled(self, limit: int = 200, *, again_after: timedelta = LOOK_AGAIN) -> list[str]:
        """Take attempts that are not settled and are due for a look. No two callers get the same one.

        Each is due again `again_after` from now, in case this caller dies before it has looked.
        """
        return self._run(TAKE_UNSETTLED, limit=limit, again_after_ms=ms(again_after))

    def next_look(self) -> datetime | None:
        """Return when the first of the attempts that are not settled is due for a look."""
        first: list[tuple[str, float]] = self._redis.zrange(key("watch"), 0, 0, withscores=True)  # type: ignore[assignment]
        return moment(first[0][1]) if first else None


def read_begun(told: Sequence[Any], asked_at: float, told_at: float) -> Begun:
    """Read what begin.lua answers; raises UnknownAnswer. The times are when it was asked and told, by our monotonic clock."""
    verdict, *rest = told
    match verdict:
        case "dial":
            clock = Clock(moment(rest[0]), asked_at, told_at)
            return Begun(dial=True, at=moment(rest[1]), caller_id=rest[2] or "", clock=clock)
        case "wait":
            return Begun(dial=False, at=moment(rest[1]), clock=Clock(moment(rest[0]), asked_at, told_at))
        case "no":
            until = moment(rest[1]) if int(rest[1]) else None
            return Begun(dial=False, rule=known(Rule, rest[0], "rule"), until=until)
        case _:
            raise UnknownAnswer(verdict, "answer to a dial")


def _subject(attempt_id: str) -> Subject:
    return Subject(attempt_id=attempt_id, contact_id=contact_of(attempt_id))


def _limits(case: Case, limits: caller_ids.Limits, caps: Sequence[Cap]) -> str:
    """Return the limits that begin.lua holds a dial to, as JSON."""
    campaign = case.campaign
    return json.dumps(
        {
            "purpose": campaign.purpose,
            "name": campaign.name,
            "caps": [{"attempts": cap.attempts, "period": ms(cap.period)} for cap in caps],
            "canary": campaign.brakes.canary,
            "calls_per_day": campaign.pacing.calls_per_day,
            "day": ms(brakes.day_of(campaign.day_zone, case.read_at)[0]),
            "calls_per_caller_id": limits.calls_per_day,
            "lines_per_caller_id": limits.lines,
            "cool_down": ms(limits.cool_down),
        }
    )
