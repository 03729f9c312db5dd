"""Celery's tasks: each fetches, asks and stores by one function of `worker.dialing`, and sends what follows.

A message is a claim check: delivered twice or never, it changes nothing.
"""

from typing import Final

from worker.app import task
from worker.dialing import asking, bids, concluding, dial, own_numbers, warm_bots
from worker.dialing.collaborators import Dialer
from worker.rules.settlement import Step


@task
def claim_due(dialer: Dialer) -> None:
    """Claim what may be rung now, of all campaigns at once, and send it to be dialed."""
    for attempt_ids in bids.claim(dialer):
        place_call.delay(*attempt_ids)


@task
def place_call(dialer: Dialer, *attempt_ids: str) -> None:
    """Dial some attempts, and end when all of them are recorded: a warm shutdown waits for every POST under way."""
    dial.place(dialer, attempt_ids)


@task
def sweep(dialer: Dialer) -> None:
    """Look at every attempt whose time has come, and conclude it, or see to it that more is heard of it."""
    for step, attempt_id in concluding.sweep(dialer):
        _NEXT[step].delay(attempt_id)


@task
def reconcile(dialer: Dialer, attempt_id: str) -> None:
    """Ask the carrier what it knows of an attempt's call."""
    asking.reconcile(dialer, attempt_id)


@task
def hang_up(dialer: Dialer, attempt_id: str) -> None:
    """End a call as the last resort."""
    asking.hang_up(dialer, attempt_id)


@task
def count_bots(dialer: Dialer) -> None:
    """Ask Pipecat Cloud how many bots are warm and have nobody to talk to."""
    warm_bots.count(dialer)


@task
def tend_caller_ids(dialer: Dialer) -> None:
    """Look after the numbers that we call from: which of them are ours, and which must rest."""
    own_numbers.tend_when_due(dialer)


_NEXT: Final = {Step.ASK: reconcile, Step.HANG_UP: hang_up}
