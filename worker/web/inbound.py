"""Finds out who rings us, and in the name of which business the bot answers.

The bot answers at any hour, and whether we may ring the caller or not.
"""

import logging
import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from threading import BoundedSemaphore
from typing import Final

from campaigns.call import Script
from campaigns.campaign import Campaign
from campaigns.templates import RenderError
from worker.dialing import briefing
from worker.dialing.collaborators import Dialer
from worker.rules.evidence import FoundCall
from worker.rules.hours import in_zone_of
from worker.rules.settlement import lease
from worker.rules.states import CampaignState
from worker.settings import Settings
from worker.store import Store
from worker.store.values import Caller, Case
from worker.telnyx import texml
from worker.telnyx.refusals import CarrierBusy

log: Final = logging.getLogger(__name__)

LATELY: Final = timedelta(hours=1)
"""How long ago a call to us may have begun when a bot without a brief tells us of it: it tries for ten minutes."""

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_SID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_=+-]{7,255}")
_CLOCKS_APART_S: Final = 60
"""Seconds by which the carrier's clock may be ahead of ours."""

_asking: Final = BoundedSemaphore(4)
"""How many threads may ask the carrier about callers at once: its limit on requests is for dialing."""


def document(store: Store, settings: Settings, form: Mapping[str, str]) -> str:
    """Return the document that connects a caller with the bot, and tells it all that we know of them."""
    call_sid, phone = form.get("CallSid", ""), form.get("From", "")
    briefed = None
    if call_sid:
        store.callers.call_began(call_sid)
        last = store.callers.last_attempt_to(phone)
        if last and (case := store.attempts.case(last)):
            briefed = _for_contact(store, settings, case, call_sid)
        elif campaign := _campaign_of(store, form.get("To", "")):
            briefed = _for_stranger(store, settings, campaign, phone, call_sid)
    return briefed or texml.static_document(briefing.stream_url(settings))


def script(store: Store, attempt_id: str) -> Script | None:
    """Return the long part of the brief of a call to us; None if there is no such call."""
    again = {"report_url": "", "brief_url": "", "now": store.now()}
    if caller := store.callers.get(attempt_id):
        return store.campaigns.get(caller.campaign)[0].unknown_brief(attempt_id=attempt_id, **again).script
    case = store.attempts.case(attempt_id)
    if case is None or not case.inbound:
        return None
    last = store.callers.last_attempt_to(case.phone)
    rung = store.attempts.case(last) if last else None
    called_at = _called_at(rung or case, store.now())
    brief = case.campaign.inbound_brief(case.contact, case.zones, attempt_id=attempt_id, called_at=called_at, **again)
    return brief.script


def caller_on(dialer: Dialer, call_sid: str) -> str:
    """Return the number of the person who rang us on a call that goes on or ended lately; "" if there is no such call.

    The bot had no brief, so it has the call's sid from a stream that anybody can open. Therefore only what the carrier
    says counts. Raises CarrierError if the carrier cannot tell now.
    """
    if not _SID.fullmatch(call_sid):
        return ""
    if not _asking.acquire(blocking=False):
        raise CarrierBusy("the carrier is being asked about other callers: ask again")
    try:
        call = dialer.phone.fetch(call_sid)
    finally:
        _asking.release()
    if call is None:
        raise CarrierBusy("the carrier does not know this call, or not yet: ask again")
    return (
        call.caller_id if call.call_sid == call_sid and rang_us(call, _our_numbers(dialer), dialer.store.now()) else ""
    )


def rang_us(call: FoundCall, ours: Collection[str], now: datetime) -> bool:
    """Tell whether the call is a recent one to a number of ours, from somebody who showed their number."""
    if not call.inbound or call.to not in ours or call.created_at is None or not _E164.fullmatch(call.caller_id):
        return False
    return -_CLOCKS_APART_S <= now.timestamp() - call.created_at <= LATELY.total_seconds()


def _our_numbers(dialer: Dialer) -> set[str]:
    store = dialer.store
    campaigns = [store.campaigns.get(name)[0] for name in store.campaigns.names()]
    return {*dialer.settings.caller_ids}.union(*({c.callback_number, *c.caller_ids} for c in campaigns))


def _for_contact(store: Store, settings: Settings, case: Case, call_sid: str) -> str | None:
    """Return the document for a contact who rings back, or None if what we know cannot be put into words."""
    now = store.now()
    attempt_id = store.callers.ring_back(case, call_sid, lease(case.campaign))
    try:
        brief = case.campaign.inbound_brief(
            case.contact,
            case.zones,
            called_at=_called_at(case, now),
            attempt_id=attempt_id,
            now=now,
            **briefing.addresses(settings, attempt_id),
        )
        return briefing.document(brief, case.campaign, settings)
    except (RenderError, texml.DocumentTooLong) as error:
        log.warning("%s rang us, and hears the greeting of no campaign: %s", attempt_id, error)
        return None


def _for_stranger(store: Store, settings: Settings, campaign: Campaign, phone: str, call_sid: str) -> str | None:
    """Return the document for a caller whom we never rang: they too can ask us never to ring them."""
    attempt_id = store.callers.meet(call_sid, Caller(phone if _E164.fullmatch(phone) else "", campaign.name))
    try:
        brief = campaign.unknown_brief(
            attempt_id=attempt_id, now=store.now(), **briefing.addresses(settings, attempt_id)
        )
        return briefing.document(brief, campaign, settings)
    except (RenderError, texml.DocumentTooLong) as error:
        log.warning("%s rang us, and hears the greeting of no campaign: %s", attempt_id, error)
        return None


def _campaign_of(store: Store, number: str) -> Campaign | None:
    """Return the newest running campaign whose number was rung, or, if it is no campaign's own, the newest of all.

    The latter only if all campaigns speak for one business: nobody is answered in another business's name.
    """
    known = [store.campaigns.get(name) for name in reversed(store.campaigns.names())]
    owners = [kept for kept in known if number in {kept[0].callback_number, *kept[0].caller_ids}]
    if not owners and len({campaign.business_name for campaign, _, _ in known}) > 1:
        return None
    return next((campaign for campaign, state, _ in owners or known if state is CampaignState.RUNNING), None)


def _called_at(case: Case, now: datetime) -> str:
    local = in_zone_of(case.zones, case.evidence.begun_at if case.begun else now)
    return f"{local:%-I:%M %p}"
