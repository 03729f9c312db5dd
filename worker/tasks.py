"""The tasks: fetch, ask the policy, store. A message is a claim check: delivered twice or never, it changes nothing."""

import logging
import math
import secrets
import time
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from celery.utils.log import get_task_logger

from campaigns.call import Disposition
from campaigns.templates import RenderError
from worker import briefing, ledger, policy, texml
from worker.app import carrier, store, task
from worker.carrier import AccountBlocked, CarrierBusy, CarrierError, DialOrder, DialRefused, DialUnconfirmed
from worker.policy import DialAnswer, Settled, Waiting
from worker.settings import Settings, load_settings
from worker.store import CampaignState, Case

log: Final[logging.Logger] = get_task_logger(__name__)

CLAIM_LEASE: Final = timedelta(seconds=30)
"""From the claim to the moment of dialing. If nobody dials within it, the attempt is given back."""

BUSY_DELAY: Final = timedelta(seconds=15)
"""How long a contact waits when the carrier is busy and does not say how long."""

_LONGEST_WAIT_S: Final = 3.0


@task
def claim_due() -> None:
    """Claim what may be rung now in each running campaign, and send it to be dialed."""
    settings = load_settings()
    now = store().now()
    lines = min(settings.lines, settings.warm_bots or settings.lines)
    for name in store().campaigns():
        campaign, state, _ = store().campaign(name)
        if state is CampaignState.STOPPED:
            _cancel_some(name)
        if state is not CampaignState.RUNNING:
            continue
        rate = min(campaign.pacing.calls_per_second, settings.calls_per_second)
        zone_sets = store().zone_sets(name)
        zones = {zone_set: zone_sets[zone_set] for zone_set in policy.open_now(campaign, zone_sets, now)}
        claimed = store().claim(campaign, zones, account_lines=lines, ahead=max(1, math.ceil(rate)), lease=CLAIM_LEASE)
        for attempt_id in claimed:
            place_call.delay(attempt_id)


@task
def place_call(attempt_id: str) -> None:
    """Dial one attempt, if it may still be dialed at this moment. At most one POST leaves, ever."""
    case = store().case(attempt_id)
    if case is None or case.begun:
        return
    now = store().now()
    verdict = policy.may_ring(case.campaign, case.zones, case.made, now)
    if not verdict.allowed:
        _give_back(case, "", verdict.rule, verdict.reason, verdict.until)
        return
    settings = load_settings()
    order, problem = _order(case, settings, now)
    token = secrets.token_hex(8)
    if not _begin(case, token, settings, order.caller_id if order else ""):
        return
    if order is None:
        _hear(attempt_id, DialAnswer(refused=Disposition.FAILED, reason=problem), token)
        return
    try:
        answer = DialAnswer(call_sid=carrier().dial(order))
    except DialRefused as refusal:
        answer = DialAnswer(refused=refusal.disposition, reason=str(refusal))
    except DialUnconfirmed as doubt:
        answer = DialAnswer(unconfirmed=True, reason=str(doubt))
    except CarrierBusy as busy:
        delay = timedelta(seconds=busy.retry_after_s) if busy.retry_after_s else BUSY_DELAY
        _give_back(case, token, "carrier_busy", str(busy), store().now() + delay)
        return
    except AccountBlocked as blocked:
        _give_back(case, token, "account_blocked", str(blocked), store().now())
        store().set_state(case.campaign.name, CampaignState.PAUSED, str(blocked))
        log.error(  # noqa: TRY400 - a refusal, not a fault of ours: the trace says nothing
            "campaign paused: %s", blocked, extra={"campaign": case.campaign.name}
        )
        return
    _hear(attempt_id, answer, token)


@task
def conclude(attempt_id: str) -> None:
    """Settle an attempt by what was heard of it, and record what follows for its contact."""
    for _ in range(5):
        case = store().case(attempt_id)
        if case is None:
            return
        now = store().now()
        if not case.begun:
            _give_back(case, "", "lease_ended", "claimed, but nobody dialed it in time", now)
            return
        decided = policy.settle(case.evidence, now)
        if isinstance(decided, Waiting):
            store().watch(attempt_id, decided.look_at)
            if decided.ask_carrier:
                reconcile.delay(attempt_id)
            return
        settled, following = _what_follows(case, decided, now)
        if store().conclude(case, settled, following) != "stale":
            log.info("concluded %s as %s", attempt_id, settled.disposition)
            _withdraw_elsewhere(case, settled)
            return


@task
def reconcile(attempt_id: str) -> None:
    """Ask the carrier about a dial that nobody has confirmed."""
    case = store().case(attempt_id)
    if case is None or not case.begun:
        return
    evidence = case.evidence
    try:
        calls = carrier().find(case.phone, evidence.begun_at)
    except CarrierError as error:
        log.warning("cannot reconcile %s: %s", attempt_id, error)
        store().watch(attempt_id, store().now() + policy.FIRST_LOOK)
        return
    for call in calls:
        store().witness(attempt_id, ledger.found(call))
    if not calls:
        store().witness(attempt_id, ledger.not_found())
    conclude.delay(attempt_id)


@task
def sweep() -> None:
    """Look at every attempt whose time has come: what no message told of is found here."""
    for attempt_id in store().to_look_at(store().now()):
        conclude(attempt_id)


def _order(case: Case, settings: Settings, now: datetime) -> tuple[DialOrder | None, str]:
    """Return what to tell the carrier, or why this contact's call cannot be put into words."""
    caller_ids = case.campaign.caller_ids or settings.caller_ids
    base, attempt = settings.public_url.rstrip("/"), quote(case.attempt_id, safe="")
    try:
        document = briefing.outbound_document(case.contact, case.campaign, settings, case.attempt_id, now)
    except (RenderError, texml.DocumentTooLong) as error:
        return None, str(error)
    rules = case.campaign.call
    order = DialOrder(
        to=case.phone,
        # Always the same for one contact: who rings back, or blocks us, knows one number.
        caller_id=caller_ids[sum(case.contact_id.encode()) % len(caller_ids)] if caller_ids else "",
        texml=document,
        status_url=f"{base}/telnyx/status?attempt={attempt}",
        amd_url=f"{base}/telnyx/amd?attempt={attempt}" if rules.machine_detection else None,
        ring_timeout_s=rules.ring_timeout_s,
        time_limit_s=rules.time_limit_s,
    )
    return order, ""


def _begin(case: Case, token: str, settings: Settings, caller_id: str) -> bool:
    """Write the attempt down as begun, waiting for the pace where need be; False if it is not ours to dial."""
    deadline = time.monotonic() + _LONGEST_WAIT_S
    while True:
        begun = store().begin(
            case,
            token,
            lease=policy.lease(case.campaign),
            first_look=policy.FIRST_LOOK,
            account_interval=timedelta(seconds=1 / settings.calls_per_second),
            campaign_interval=timedelta(seconds=1 / case.campaign.pacing.calls_per_second),
            record={"caller_id": caller_id, "version": case.campaign.version},
        )
        if begun.dial:
            return True
        if begun.wait_s and time.monotonic() + begun.wait_s < deadline:
            time.sleep(begun.wait_s)
            continue
        break
    match begun.why:
        case "do_not_call":
            _give_back(case, "", "do_not_call", "on the do-not-call list", None)
        case "paused":
            _give_back(case, "", "paused", "the campaign was paused", store().now())
        case "on_a_call":
            _give_back(case, "", "on_a_call", "this number is on another call of ours", store().now() + BUSY_DELAY)
        case "":
            _give_back(case, "", "pace", "the pace did not allow it", store().now())
        case _:
            log.info("%s is not ours to dial: %s", case.attempt_id, begun.why)
    return False


def _give_back(case: Case, token: str, rule: str, reason: str, due: datetime | None) -> None:
    """Postpone an attempt that was not dialed; `due` None: for good, the contact is refused."""
    if store().postpone(case, token, due or store().now(), rule, reason) and due is None:
        listed = Disposition.DO_NOT_CALL if rule == "do_not_call" else Disposition.CANCELED
        store().withdraw(case.contact_id, "refused", listed, reason)


def _hear(attempt_id: str, answer: DialAnswer, token: str) -> None:
    store().witness(attempt_id, ledger.dialed(answer), token=token)
    if answer.refused:
        conclude.delay(attempt_id)


def _what_follows(case: Case, decided: Settled, now: datetime) -> tuple[Settled, datetime | None]:
    if not case.inbound:
        return decided, policy.next_attempt(case.campaign, decided, case.made, case.zones, now)
    return policy.after_inbound(decided, case.before, now)


def _withdraw_elsewhere(case: Case, settled: Settled) -> None:
    if settled.disposition is Disposition.DO_NOT_CALL:
        store().add_do_not_call(case.phone, f"asked during {case.attempt_id}")


def _cancel_some(name: str) -> None:
    """Cancel waiting contacts of a stopped campaign, a batch a tick."""
    for contact_id in store().waiting(name, 200):
        store().withdraw(contact_id, "done", Disposition.CANCELED, "the campaign was stopped")
