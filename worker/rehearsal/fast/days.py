"""The loop of a fast rehearsal: from one instant to the next at which anything can happen.

Celery's messages go through its own queues, in this process's memory. Beat does not tick through the night: its next tick
is at the next instant at which it could find something to do.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from campaigns.campaign import Campaign
from worker.app import Collaborators, app, work_with
from worker.machine import stopwatch
from worker.machine.stopwatch import Stopwatch
from worker.rehearsal.fast.network import Network
from worker.rehearsal.fast.timeline import Timeline
from worker.rules import policy
from worker.rules.states import CampaignState
from worker.store import Store
from worker.store.values import Status

_BEAT_MS: Final = 250
"""How often beat ticks while there is something to do."""

_QUEUE_S: Final = 0.002
"""How long a message is on its way."""

_LONGEST_NAP_S: Final = 600
"""While contacts are due and none is claimed, beat looks less and less often, but so often at least."""

_CROWDED_MS: Final = 60_000
"""How long, once contacts have been found due, that is not asked again."""

_RUNS_OUT: Final = timedelta(hours=5)
"""How long after the last day calls may go on: the longest that a campaign allows, and what settles it."""

_APPROVED_AFTER_S: Final = 300
"""How long a campaign that its brakes have stopped waits for an operator, who lets it go on."""

_TEND_MS: Final = 5000
"""How often beat sends `tend_caller_ids` (celeryconfig.py)."""

_SHOWN_EVERY_S: Final = 0.2

Show = Callable[[Status, str], None]


class Days:
    """Days of one campaign."""

    def __init__(self, store: Store, campaign: Campaign, network: Network, timeline: Timeline, *, show: Show) -> None:
        """Let this process's tasks work on the timeline. `show` is told a few times a second how the campaign stands."""
        self.broken: Counter[str] = Counter()  # the tasks that raised an error, and which
        self.pauses: list[tuple[datetime, str]] = []  # when the campaign stopped by itself, and why
        self.approved_ms: int | None = None  # when an operator first let it go on
        self._store, self._campaign, self._network, self._timeline = store, campaign, network, timeline
        self._show = show
        self._news = True  # something was done since beat last looked: there may be more to do
        self._done = False  # a task has ended
        self._resumes_at: datetime | None = None
        self._nap_s = 1.0
        self._crowded_until_ms = 0  # until then, contacts are taken to be due for whom there is no line
        self._next_beat_ms = self._next_tend_ms = timeline.now_ms
        self._shown_at = 0.0
        work_with(_Collaborators(store, network))
        stopwatch.go_by(
            Stopwatch(lambda: timeline.now_ms / 1000, timeline.sleep, lambda action: timeline.after(0, action))
        )
        app.loader.import_default_modules()
        self._messages = _Messages()
        logging.getLogger().addHandler(_Complaints(self.broken))

    def run(self, end: datetime) -> None:
        """Go on until nothing is left to do, or `end` has come and the last calls are over."""
        end_ms = round(end.timestamp() * 1000)
        last_ms = end_ms + round(_RUNS_OUT.total_seconds() * 1000)
        while self._timeline.now_ms < last_ms:
            beat_ms, event_ms = self._next_beat_ms, self._timeline.next_ms
            if event_ms is not None and event_ms < beat_ms:
                self._timeline.step()
                if self._send() or self._done or self._network.take_news():
                    self._beat_soon()
                continue
            self._timeline.move_to(beat_ms)
            self._beat(claims=beat_ms < end_ms)
            if not self._plan(end_ms):
                return

    def _beat(self, *, claims: bool) -> None:
        self._news = self._done = False
        if self._timeline.now_ms >= self._next_tend_ms:
            self._next_tend_ms = self._timeline.now_ms + _TEND_MS
            self._timeline.now(lambda: self._run_task("worker.tasks.tend_caller_ids", []))
        if claims:
            self._timeline.now(lambda: self._run_task("worker.tasks.claim_due", []))
        self._timeline.now(lambda: self._run_task("worker.tasks.sweep", []))
        self._done = False  # by these; what they sent is done later
        if self._send():
            self._news = True

    def _plan(self, end_ms: int) -> bool:
        """Decide when beat ticks next; False if nothing is left to do."""
        now_ms = self._timeline.now_ms
        if self._news:
            self._nap_s = 1.0
            self._next_beat_ms = now_ms + _BEAT_MS
            return True
        over = now_ms >= end_ms
        look = self._store.attempts.next_look()
        times = [_ms(look) if look else None, None if over else self._next_claim_ms()]
        soonest = min((at_ms for at_ms in times if at_ms is not None), default=self._timeline.next_ms)
        self._next_beat_ms = max(_up(soonest or 0), now_ms + _BEAT_MS)
        if not over:
            self._next_beat_ms = min(self._next_beat_ms, _up(end_ms))
        return soonest is not None and (not over or bool(self._status().live))

    def _next_claim_ms(self) -> int | None:
        """Return when a contact may be claimed who now may not, or, if some may, after a nap."""
        now_ms = self._timeline.now_ms
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
                self._timeline.after(_APPROVED_AFTER_S, self._resume)
            return self._resumes_at
        openings = (
            policy.next_opening(self._campaign, place, max(first, now))
            for place, (_, first) in status.due_by_place.items()
            if first
        )
        return min((opening for opening in openings if opening), default=None)

    def _resume(self) -> None:
        self._resumes_at = None
        if self.approved_ms is None:
            self.approved_ms = self._timeline.now_ms
        self._store.campaigns.set_state(self._campaign.name, CampaignState.RUNNING)

    def _beat_soon(self) -> None:
        self._news, self._done = True, False
        self._next_beat_ms = min(self._next_beat_ms, _up(self._timeline.now_ms + 1))

    def _send(self) -> bool:
        """Send the messages that were queued on their way; True if there were any."""
        some = False
        for task, args in self._messages:
            self._timeline.after(_QUEUE_S, lambda task=task, args=args: self._run_task(task, args))
            some = True
        return some

    def _run_task(self, task: str, args: list[Any]) -> None:
        try:
            app.tasks[task](*args)
        except Exception as error:  # noqa: BLE001 - as in a worker, it ends this task and no other; here it is a finding
            self.broken[f"{task.rpartition('.')[2]} raised {type(error).__name__}: {error}"] += 1
        self._done = True

    def _status(self) -> Status:
        status = self._store.reading.status(self._campaign.name)
        if time.monotonic() - self._shown_at > _SHOWN_EVERY_S:
            self._shown_at = time.monotonic()
            self._show(status, f"{self._store.now():%a %d %b %Y %H:%M} UTC, {len(self._network.posts):,} requests")
        return status


class _Collaborators(Collaborators):
    def __init__(self, store: Store, carrier: Network) -> None:
        self.store, self.carrier, self.agents = store, carrier, None


class _Complaints(logging.Handler):
    """Errors that the tasks catch and log: they go on after it, and it is a finding all the same."""

    def __init__(self, broken: Counter[str]) -> None:
        super().__init__(logging.ERROR)
        self._broken = broken

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self._broken[record.getMessage()] += 1


class _Messages:
    """Celery's queues, in this process's memory."""

    def __init__(self) -> None:
        app.conf.update(broker_url="memory://", broker_transport_options={}, broker_use_ssl=False)
        channel = app.connection_for_read().default_channel
        self._queues = [queue(channel) for queue in app.amqp.queues.values()]
        for queue in self._queues:
            queue.declare()

    def __iter__(self) -> Iterator[tuple[str, list[Any]]]:
        """Take what was sent: the task's name and its arguments."""
        for queue in self._queues:
            while message := queue.get(no_ack=True):
                yield message.headers["task"], message.payload[0]


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _up(at_ms: int) -> int:
    """Round up to a tick of beat."""
    return -(-at_ms // _BEAT_MS) * _BEAT_MS
