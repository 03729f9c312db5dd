"""What the dialer is doing, in the text form that Prometheus reads: no names of people, no numbers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from worker.dialing import braking
from worker.rules import caller_ids, policy
from worker.rules.states import CampaignState
from worker.settings import Settings
from worker.store import Store
from worker.store.values import Status

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float]


def exposition(store: Store, settings: Settings) -> str:
    """Return all metrics."""
    return "".join(_lines(store, settings))


def _lines(store: Store, settings: Settings) -> Iterator[str]:
    held = store.pace.occupied(timedelta(seconds=settings.bot_rest_s))
    statuses = [store.reading.status(name) for name in store.campaigns.names()]
    now = store.now()
    yield from _metric("lines", "gauge", "Lines of the account.", [({}, settings.lines)])
    yield from _metric(
        "lines_busy",
        "gauge",
        "Lines on which there is a call, or one is about to be placed.",
        [({"direction": "outbound"}, held.lines), ({"direction": "inbound"}, held.inbound)],
    )
    yield from _metric("ringing", "gauge", "Outbound calls that are not answered yet.", [({}, held.ringing)])
    yield from _metric("bots_cooling", "gauge", "Bots used lately, and not warm again yet.", [({}, held.cooling)])
    if held.idle is not None:
        yield from _metric("bots_idle", "gauge", "Warm bots without a call, as last counted.", [({}, held.idle)])
    contacts = [
        ({"campaign": one.campaign, "state": state}, getattr(one, state))
        for one in statuses
        for state in ("due", "live", "done", "refused")
    ]
    yield from _metric("contacts", "gauge", "Contacts by state.", contacts)
    ended = [
        ({"campaign": one.campaign, "disposition": name}, count)
        for one in statuses
        for name, count in one.dispositions.items()
    ]
    yield from _metric("dispositions", "gauge", "Contacts that are done or refused, by disposition.", ended)
    rates = [({"campaign": one.campaign}, policy.answer_rate(one.answered, one.rung_out)) for one in statuses]
    yield from _metric("answer_rate_at_most", "gauge", "The highest plausible share of answers.", rates)
    silent = [({"campaign": one.campaign}, one.silent) for one in statuses]
    yield from _metric("silent_answers_total", "counter", "Calls answered without a bot within 2 s.", silent)
    yield from _of_brakes(store, settings, statuses, now)


def _of_brakes(store: Store, settings: Settings, statuses: Sequence[Status], now: datetime) -> Iterator[str]:
    counted = {one.campaign: store.brakes.counted(store.campaigns.get(one.campaign)[0], now) for one in statuses}
    running = [({"campaign": one.campaign}, one.state is CampaignState.RUNNING) for one in statuses]
    yield from _metric("running", "gauge", "1 while a campaign may ring.", running)
    held = [({"campaign": name, "rule": rule}, 1) for name in counted if (rule := store.brakes.holding(name)[0])]
    yield from _metric("held", "gauge", "1 while a brake holds a campaign until it is resumed.", held)
    attempts = [
        ({"campaign": name, "mark": mark}, count)
        for name, one in counted.items()
        for mark, count in sorted(one.totals.items())
    ]
    yield from _metric("attempts", "gauge", "Attempts that ended, by disposition and what else they were.", attempts)
    shares = [({"campaign": name}, one.abandoned_share) for name, one in counted.items()]
    yield from _metric("abandoned_share", "gauge", "Of people who answered in 30 days: heard no bot in 2 s.", shares)
    numbers = store.own_numbers.read(braking.all_caller_ids(store, settings), now)
    standing = Counter(caller_ids.state_of(one, braking.caller_id_limits(settings), now) for one in numbers)
    yield from _metric(
        "caller_ids",
        "gauge",
        "Numbers that we call from, by what keeps them from calling.",
        [({"state": state}, standing[state]) for state in caller_ids.NumberState],
    )


def _metric(name: str, kind: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP dialout_{name} {about}\n# TYPE dialout_{name} {kind}\n"
    for labels, value in samples:
        told = ",".join(f'{label}="{text}"' for label, text in labels.items())
        yield f"dialout_{name}{{{told}}} {value:g}\n" if told else f"dialout_{name} {value:g}\n"
