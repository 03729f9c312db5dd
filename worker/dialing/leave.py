"""The leave to dial: asked for shortly before the departure, and used in the moment of the POST."""

import logging
import secrets
from datetime import datetime, timedelta
from typing import Final

import redis

from worker.dialing import own_numbers
from worker.dialing.concluding import NotNow, give_back
from worker.dialing.dialer import Dialer
from worker.rules import brakes, caller_ids, policy, settlement
from worker.rules.rule import Rule
from worker.rules.timing import BUSY_DELAY, EARLY_S, FARTHEST, LATE, POST_WITHIN_S
from worker.store.views import Begun, Case, Clock

log: Final = logging.getLogger(__name__)


class Leave:
    """One attempt's leave to be dialed at its departure. For one thread at a time."""

    def __init__(self, dialer: Dialer, case: Case, departure: datetime, *, from_us: bool = True) -> None:
        """Ask for nothing yet. `from_us`: the attempt needs one of our numbers to call from."""
        self.token, self.caller_id = secrets.token_hex(8), ""
        self.refused: NotNow | None = None  # why `given` said no
        self._dialer, self._case, self._departure = dialer, case, departure
        pool = own_numbers.pool_of(case.campaign, dialer.settings) if from_us else ()
        self._pool = caller_ids.in_order(pool, phone=case.phone, contact_id=case.contact_id, before=case.caller_id)
        self._at = departure
        self._clock: Clock | None = None
        self._begun_at = 0.0

    def begin(self) -> bool:
        """Record that the attempt is begun, or give it back; False if it is not to be dialed."""
        case, clock = self._case, self._dialer.clock
        patience = clock.monotonic() + FARTHEST.total_seconds()
        while True:
            begun = self._dialer.insist(self._ask)
            if begun.dial and begun.clock:
                self._begun_at = begun.clock.asked_at
                return True
            if not begun.at or not begun.clock:
                break
            if clock.monotonic() > patience:
                give_back(self._dialer.store, case, "", NotNow(Rule.PACE, Rule.PACE.sentence, begun.at))
                return False
            clock.sleep(max(0.0, begun.clock.until(begun.at, clock.monotonic()) - EARLY_S))
        rule = _rule_of(begun, case.attempt_id)
        if rule is Rule.GONE:
            log.info("%s is not ours to dial: %s", case.attempt_id, rule.sentence)
            return False
        refused = NotNow(rule, rule.sentence, when_again(rule, case, begun.until, self._dialer.store.now()))
        for token in ("", self.token):  # It may be begun all the same: the reply that said so may have been lost.
            give_back(self._dialer.store, case, token, refused)
        return False

    def given(self) -> bool:
        """Wait for the departure, and return whether the dial may leave now: what the carrier's fence asks.

        A dial that has missed its departure asks for another one. False: `refused` says why.
        """
        clock = self._dialer.clock
        while True:
            assert self._clock, "an attempt is begun before it leaves"
            clock.sleep(self._clock.until(self._at, clock.monotonic()))
            verdict = policy.may_ring(self._case.facts, self._at)
            if not verdict.allowed:
                return self._refuse(NotNow(verdict.rule, verdict.reason, verdict.until))
            now = clock.monotonic()
            if now - self._begun_at > POST_WITHIN_S:
                return self._refuse(NotNow(Rule.STOOD_STILL, Rule.STOOD_STILL.sentence, self._at))
            if self._clock.latest(now) - self._at <= LATE:
                return True
            try:
                begun = self._ask()
            except redis.RedisError:
                return self._refuse(NotNow(Rule.STOOD_STILL, "the store was away just before the dial", self._at))
            if not begun.dial:
                rule = _rule_of(begun, self._case.attempt_id)
                due = None if rule is Rule.DO_NOT_CALL else self._at
                return self._refuse(NotNow(rule, rule.sentence, due))

    def taken_at(self, left_at: float | None) -> datetime | None:
        """Return the latest instant by the store's clock at which the dial can have left; `left_at` is by ours (s)."""
        return self._clock.latest(left_at) if left_at and self._clock else None

    def _refuse(self, why: NotNow) -> bool:
        self.refused = why
        return False

    def _ask(self) -> Begun:
        case, settings = self._case, self._dialer.settings
        campaign = case.campaign
        begun = self._dialer.store.begin(
            case,
            self.token,
            lease=policy.lease(campaign),
            first_look=settlement.FIRST_LOOK,
            account_interval=timedelta(seconds=1 / settings.calls_per_second),
            campaign_interval=timedelta(seconds=1 / campaign.pacing.calls_per_second),
            caps=policy.caps(campaign, case.place),
            record={
                "version": campaign.version,
                "checked": policy.checked_against(campaign, case.place, case.registries),
            },
            pool=self._pool,
            limits=own_numbers.limits(settings),
            turn=self._departure,
        )
        if begun.dial and begun.at:
            self._at, self._clock, self.caller_id = begun.at, begun.clock, begun.caller_id
        return begun


def when_again(rule: Rule, case: Case, until: datetime | None, now: datetime) -> datetime | None:
    """Return when a contact that a rule of the store holds is due again; None: this campaign never rings it.

    `until` is when the rule lets it ring, if the store knows.
    """
    match rule:
        case Rule.DO_NOT_CALL:
            return None
        case Rule.PAUSED:
            return now
        case Rule.NUMBER_LIMIT:
            return policy.next_opening(case.campaign, case.place, until or now) or until
        case Rule.CALLS_PER_DAY:
            return until or brakes.day_of(case.campaign.day_zone, now)[1]
        case _:
            return until or now + BUSY_DELAY


def _rule_of(begun: Begun, attempt_id: str) -> Rule:
    try:
        return Rule(begun.why)
    except ValueError:
        sentence = "%s is not dialed: the store answers %r, a rule that is not known here"
        log.error(sentence, attempt_id, begun.why)  # noqa: TRY400 - the trace says nothing more
        return Rule.UNKNOWN_ANSWER
