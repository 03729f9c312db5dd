"""The loop of a fast rehearsal: it goes from one instant at which anything can happen to the next.

It calls what the tasks call, and takes the place of Celery's queues and of beat. Beat does not tick through the night:
its next beat is at the next instant at which it could find something to do.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from campaigns.campaign import Campaign
from worker.dialing import asking, bids, concluding, dial, own_numbers
from worker.dialing.collaborators import Dialer
from worker.rehearsal.fast.event_clock import EventClock
from worker.rehearsal.fast.network import FastNetwork
from worker.rules.hours import next_opening
from worker.rules.settlement import Step
from worker.rules.states import CampaignState
from worker.rules.timing import BEAT_S, TEND_BEAT_S
from worker.store.values import Status

_BEAT_MS: Final = round(1000 * BEAT_S)
_TEND_MS: Final = round(1000 * TEND_BEAT_S)

_QUEUE_S: Final = 0.002
"""Seconds for which a message is on its way."""

_LONGEST_NAP_S: Final = 600
"""Seconds. While contacts are due and none can be claimed, beats come less and less often, but at least this often."""

_CROWDED_MS: Final = 60_000
"""Milliseconds for which the loop takes it that contacts are due, once it has found some."""

_RUNS_OUT: Final = timedelta(hours=5)
"""How long after the last day calls may go on: the longest call that a campaign allows, and the time to settle it."""

_APPROVED_AFTER_S: Final = 300
"""Seconds after which the operator of the rehearsal lets a campaign go on that its brakes have stopped."""

_SHOWN_EVERY_S: Final = 0.2

_ON_REQUEST: Final = {Step.ASK: asking.reconcile, Step.HANG_UP: asking.hang_up}

Show = Callable[[Status, str], None]


class Loop:
    """Days of one campaign."""

    def __init__(
        self, dialer: Dialer, campaign: Campaign, network: FastNetwork, clock: EventClock, *, show: Show
    ) -> None:
        """`show` is told a few times a second how the campaign stands."""
        self.broken: Counter[str] = Counter()  # the tasks that raised an error, and which
        self.pauses: list[tuple[datetime, str]] = []  # when the campaign stopped by itself, and why
        self.approved_ms: int | None = None  # when an operator first let it go on
        self._dialer, self._campaign, self._network, self._clock = dialer, campaign, network, clock
        self._store = dialer.store
        self._show = show
        self._news = True  # something was done since the last beat: there may be more to do
        self._sent = self._done = False  # a message was sent; a task has ended
        self._resumes_at: datetime | None = None
        self._nap_s = 1.0
        self._crowded_until_ms = 0  # until then, it is taken that contacts are due and that no line is free
        self._next_beat_ms = self._next_tend_ms = clock.now_ms
        self._shown_at = 0.0

    def run(self, end: datetime) -> None:
        """Go on until nothing is left to do, or `end` has come and the last calls are over."""
        end_ms = round(end.timestamp() * 1000)
        last_ms = end_ms + round(_RUNS_OUT.total_seconds() * 1000)
        with _complaints(self.broken):
            while self._clock.now_ms < last_ms:
                beat_ms, event_ms = self._next_beat_ms, self._clock.next_ms
                if event_ms is not None and event_ms < beat_ms:
                    self._clock.step()
                    if self._take_sent() or self._done or self._network.take_news():
                        self._beat_soon()
                    continue
                self._clock.move_to(beat_ms)
                self._beat(claims=beat_ms < end_ms)
                if not self._plan(end_ms):
                    return

    def _beat(self, *, claims: bool) -> None:
        self._news = False
        if self._clock.now_ms >= self._next_tend_ms:
            self._next_tend_ms = self._clock.now_ms + _TEND_MS
            self._at_once("tend_caller_ids", partial(own_numbers.tend_when_due, self._dialer))
        if claims:
            self._at_once("claim_due", self._claim)
        self._at_once("sweep", self._sweep)
        self._done = False  # what these have sent is done later
        if self._take_sent():
            self._news = True

    def _claim(self) -> None:
        for attempt_ids in bids.claim(self._dialer):
            self._send("place_call", partial(dial.place, self._dialer, attempt_ids))

    def _sweep(self) -> None:
        for step, attempt_id in concluding.sweep(self._dialer):
            self._send(step.value, partial(_ON_REQUEST[step], self._dialer, attempt_id))

    def _at_once(self, task: str, action: Callable[[], None]) -> None:
        self._clock.now(partial(self._do, task, action))

    def _send(self, task: str, action: Callable[[], None]) -> None:
        self._sent = True
        self._clock.after(_QUEUE_S, partial(self._do, task, action))

    def _take_sent(self) -> bool:
        sent, self._sent = self._sent, False
        return sent

    def _do(self, task: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - as in a worker, it ends this task only; here it is a finding
            self.broken[f"{task} raised {type(error).__name__}: {error}"] += 1
        self._done = True

    def _plan(self, end_ms: int) -> bool:
        """Decide when the next beat comes; False if nothing is left to do."""
        now_ms = self._clock.now_ms
        if self._news:
            self._nap_s = 1.0
            self._next_beat_ms = now_ms + _BEAT_MS
            return True
        over = now_ms >= end_ms
        look = self._store.attempts.next_look()
        times = [_ms(look) if look else None, None if over else self._next_claim_ms()]
        soonest = min((at_ms for at_ms in times if at_ms is not None), default=self._clock.next_ms)
        self._next_beat_ms = max(_up(soonest or 0), now_ms + _BEAT_MS)
        if not over:
            self._next_beat_ms = min(self._next_beat_ms, _up(end_ms))
        return soonest is not None and (not over or bool(self._status().live))

    def _next_claim_ms(self) -> int | None:
        """Return when the next contact may be claimed, the end of a nap if some may be now, or None if none waits."""
        now_ms = self._clock.now_ms
        if now_ms >= self._crowded_until_ms:
            soonest = self._soonest_due()
            if soonest is None or _ms(soonest) > now_ms:
                return _ms(soonest) if soonest else None
            self._crowded_until_ms = now_ms + _CROWDED_MS
        self._nap_s = min(2 * self._nap_s, _LONGEST_NAP_S)
        return now_ms + round(1000 * self._nap_s)

    def _soonest_due(self) -> datetime | None:
        status, now = self._status(), self._store.now()
        if status.state is CampaignState.PAUSED:
            if self._resumes_at is None:
                self.pauses.append((now, status.why))
                self._resumes_at = now + timedelta(seconds=_APPROVED_AFTER_S)
                self._clock.after(_APPROVED_AFTER_S, self._resume)
            return self._resumes_at
        openings = (
            next_opening(self._campaign, place, max(first, now))
            for place, (_, first) in status.due_by_place.items()
            if first
        )
        return min((opening for opening in openings if opening), default=None)

    def _resume(self) -> None:
        self._resumes_at = None
        if self.approved_ms is None:
            self.approved_ms = self._clock.now_ms
        self._store.campaigns.set_state(self._campaign.name, CampaignState.RUNNING)

    def _beat_soon(self) -> None:
        self._news, self._done = True, False
        self._next_beat_ms = min(self._next_beat_ms, _up(self._clock.now_ms + 1))

    def _status(self) -> Status:
        status = self._store.reading.status(self._campaign.name)
        if time.monotonic() - self._shown_at > _SHOWN_EVERY_S:
            self._shown_at = time.monotonic()
            self._show(status, f"{self._store.now():%a %d %b %Y %H:%M} UTC, {len(self._network.posts):,} requests")
        return status


@contextmanager
def _complaints(broken: Counter[str]) -> Iterator[None]:
    """Count the errors that the dialer catches and logs: it goes on after each, and each is a finding all the same."""
    handler = _Complaints(broken)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


class _Complaints(logging.Handler):
    def __init__(self, broken: Counter[str]) -> None:
        super().__init__(logging.ERROR)
        self._broken = broken

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._broken[record.getMessage()] += 1


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _up(at_ms: int) -> int:
    """Round up to a beat."""
    return -(-at_ms // _BEAT_MS) * _BEAT_MS
