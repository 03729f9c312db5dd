"""The leave to dial: asked for shortly before the departure, and used in the moment of the POST."""

import logging
import secrets
from datetime import datetime, timedelta
from typing import Final

import redis

from worker.dialing import own_numbers
from worker.dialing.collaborators import Dialer
from worker.dialing.concluding import give_back
from worker.rules import caller_ids, do_not_call, retries, settlement
from worker.rules.may_ring import may_ring
from worker.rules.rule import Rule
from worker.rules.timing import EARLY_S, FARTHEST, LATE, POST_WITHIN_S
from worker.rules.verdict import Verdict, no
from worker.store.errors import UnknownAnswer
from worker.store.values import Begun, Case, Clock

log: Final = logging.getLogger(__name__)


class Leave:
    """One attempt's leave to be dialed at its departure. For one thread at a time."""

    def __init__(self, dialer: Dialer, case: Case, departure: datetime, *, from_us: bool = True) -> None:
        """Ask for nothing yet. `from_us`: the attempt needs one of our numbers to call from."""
        self.token, self.caller_id = secrets.token_hex(8), ""
        self.refused: Verdict | None = None  # why `given` said no
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
                give_back(self._dialer.store, case, "", self._no(Rule.PACE, until=begun.at))
                return False
            clock.sleep(max(0.0, begun.clock.until(begun.at, clock.monotonic()) - EARLY_S))
        assert begun.rule, "the store names the rule that refuses a dial"
        refused = self._no(begun.rule, now=self._dialer.store.now(), reason=begun.reason, until=begun.until)
        if refused.rule is Rule.GONE:
            log.info("%s is not ours to dial: %s", case.attempt_id, refused.reason)
            return False
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
            verdict = may_ring(self._case.facts, self._at)
            if not verdict.allowed:
                return self._refuse(verdict)
            now = clock.monotonic()
            if now - self._begun_at > POST_WITHIN_S:
                return self._refuse(self._no(Rule.STOOD_STILL))
            if self._clock.latest(now) - self._at <= LATE:
                return True
            try:
                begun = self._ask()
            except redis.RedisError:
                return self._refuse(self._no(Rule.STOOD_STILL, reason="the store was away just before the dial"))
            if not begun.dial:
                assert begun.rule, "an attempt that was begun is never told to wait"
                return self._refuse(self._no(begun.rule, reason=begun.reason, until=begun.until))

    def taken_at(self, left_at: float | None) -> datetime | None:
        """Return the latest instant by the store's clock at which the dial can have left; `left_at` is by ours (s)."""
        return self._clock.latest(left_at) if left_at and self._clock else None

    def _refuse(self, why: Verdict) -> bool:
        self.refused = why
        return False

    def _no(
        self, rule: Rule, *, now: datetime | None = None, reason: str = "", until: datetime | None = None
    ) -> Verdict:
        case = self._case
        return no(rule, case.campaign, case.place, now or self._at, reason=reason, until=until)

    def _ask(self) -> Begun:
        try:
            begun = self._begin()
        except UnknownAnswer as unknown:
            log.error("%s is not dialed: %s", self._case.attempt_id, unknown)  # noqa: TRY400 - the trace says nothing more
            return Begun(dial=False, rule=Rule.UNKNOWN_ANSWER, reason=str(unknown))
        if begun.dial and begun.at:
            self._at, self._clock, self.caller_id = begun.at, begun.clock, begun.caller_id
        return begun

    def _begin(self) -> Begun:
        case, settings = self._case, self._dialer.settings
        campaign = case.campaign
        return self._dialer.store.attempts.begin(
            case,
            self.token,
            lease=settlement.lease(campaign),
            first_look=settlement.FIRST_LOOK,
            account_interval=timedelta(seconds=1 / settings.calls_per_second),
            campaign_interval=timedelta(seconds=1 / campaign.pacing.calls_per_second),
            caps=retries.caps(campaign, case.place),
            record={
                "version": campaign.version,
                "checked": do_not_call.checked_against(campaign, case.place, case.registries),
            },
            pool=self._pool,
            limits=own_numbers.limits(settings),
            departure=self._departure,
        )
