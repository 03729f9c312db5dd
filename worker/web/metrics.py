"""What the dialer is doing, for Prometheus: no names of people, no numbers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from worker.dialing import own_numbers
from worker.dialing.collaborators import Dialer
from worker.rules import caller_ids
from worker.rules.states import CampaignState, ContactState
from worker.rules.warm_bots import answer_rate
from worker.store.values import Status
from worker.web.body import WithDialer

router: Final = APIRouter()


@router.get("/metrics")
def metrics(dialer: WithDialer) -> Response:
    """Return all metrics. Anybody may ask: keep this route from the outside, as docs/going-live.md says."""
    registry = CollectorRegistry()
    registry.register(_Dialing(dialer))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class _Dialing:
    """A collector, which reads the store each time that Prometheus asks."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    def describe(self) -> Iterable[Metric]:
        """Part of a collector: the registry need not ask the store which metrics there are."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        store, settings = self._dialer.store, self._dialer.settings
        statuses = [store.reading.status(name) for name in store.campaigns.names()]
        yield from _of_lines(self._dialer)
        yield from _of_campaigns(statuses)
        yield from _of_brakes(self._dialer, statuses, store.now())
        numbers = store.own_numbers.read(own_numbers.all_numbers(store, settings), now := store.now())
        standing = Counter(caller_ids.state_of(one, own_numbers.limits(settings), now) for one in numbers)
        states = {(state.value,): standing[state] for state in caller_ids.NumberState}
        yield _gauge("caller_ids", "Numbers that we call from, by what keeps them from calling.", states, "state")


def _of_lines(dialer: Dialer) -> Iterator[Metric]:
    held = dialer.store.pace.occupied(timedelta(seconds=dialer.settings.bot_rest_s))
    busy = {("outbound",): held.lines, ("inbound",): held.inbound}
    yield _gauge("lines", "Lines of the account.", {(): dialer.settings.lines})
    yield _gauge("lines_busy", "Lines on which there is a call, or one is about to be placed.", busy, "direction")
    yield _gauge("ringing", "Outbound calls that are not answered yet.", {(): held.ringing})
    yield _gauge("bots_cooling", "Bots used lately, and not warm again yet.", {(): held.cooling})
    if held.idle is not None:
        yield _gauge("bots_idle", "Warm bots without a call, as last counted.", {(): held.idle})


def _of_campaigns(statuses: Sequence[Status]) -> Iterator[Metric]:
    contacts = {(one.campaign, state.value): getattr(one, state) for one in statuses for state in ContactState}
    yield _gauge("contacts", "Contacts by state.", contacts, "campaign", "state")
    ended = {(one.campaign, name): count for one in statuses for name, count in one.dispositions.items()}
    about = "Contacts that are done or refused, by disposition."
    yield _gauge("dispositions", about, ended, "campaign", "disposition")
    rates = {(one.campaign,): answer_rate(one.answered, one.rung_out) for one in statuses}
    yield _gauge("answer_rate_at_most", "The highest plausible share of answers.", rates, "campaign")
    silent = CounterMetricFamily(
        "dialout_silent_answers", "Calls answered without a bot within 2 s.", labels=["campaign"]
    )
    for one in statuses:
        silent.add_metric([one.campaign], one.silent)
    yield silent
    running = {(one.campaign,): one.state is CampaignState.RUNNING for one in statuses}
    yield _gauge("running", "1 while a campaign may ring.", running, "campaign")


def _of_brakes(dialer: Dialer, statuses: Sequence[Status], now: datetime) -> Iterator[Metric]:
    store = dialer.store
    counted = {one.campaign: store.brakes.counted(store.campaigns.get(one.campaign)[0], now) for one in statuses}
    held = {(name, rule): 1 for name in counted if (rule := store.brakes.holding(name)[0])}
    yield _gauge("held", "1 while a brake holds a campaign until it is resumed.", held, "campaign", "rule")
    attempts = {(name, mark): count for name, one in counted.items() for mark, count in sorted(one.totals.items())}
    about = "Attempts that ended, by disposition and what else they were."
    yield _gauge("attempts", about, attempts, "campaign", "mark")
    shares = {(name,): one.abandoned_share for name, one in counted.items()}
    about = "Share of the people who answered in 30 days that heard no bot within 2 s."
    yield _gauge("abandoned_share", about, shares, "campaign")


def _gauge(name: str, about: str, samples: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"dialout_{name}", about, labels=labels)
    for values, sample in samples.items():
        family.add_metric(values, sample)
    return family
