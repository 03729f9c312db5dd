"""Someone rings us: who they are, and in whose name they are answered. At any hour, and whether we may ring them or not."""

import logging
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from campaigns.call import Script
from campaigns.campaign import Campaign
from campaigns.templates import RenderError
from worker import briefing, policy, texml
from worker.app import store
from worker.settings import load_settings
from worker.store import Caller, CampaignState, Case

log: Final = logging.getLogger(__name__)

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def document(form: Mapping[str, str]) -> str:
    """Return what connects a caller with the bot, and tells it all that we know of them."""
    call_sid, phone = form.get("CallSid", ""), form.get("From", "")
    briefed = None
    if call_sid:
        store().rings_us(call_sid)
        last = store().last_attempt_to(phone)
        if last and (case := store().case(last)):
            briefed = _for_contact(case, call_sid)
        elif campaign := _campaign_of(form.get("To", "")):
            briefed = _for_stranger(campaign, phone, call_sid)
    return briefed or texml.static_document(briefing.stream_url(load_settings()))


def script(attempt_id: str) -> Script | None:
    """Return the long part of the brief of a call to us; None if there is no such call."""
    again = {"report_url": "", "brief_url": "", "now": store().now()}
    if caller := store().caller(attempt_id):
        return store().campaign(caller.campaign)[0].unknown_brief(attempt_id=attempt_id, **again).script
    case = store().case(attempt_id)
    if case is None or not case.inbound:
        return None
    last = store().last_attempt_to(case.phone)
    rung = store().case(last) if last else None
    called_at = _called_at(rung or case, store().now())
    brief = case.campaign.inbound_brief(case.contact, case.zones, attempt_id=attempt_id, called_at=called_at, **again)
    return brief.script


def _for_contact(case: Case, call_sid: str) -> str | None:
    """Return the document for a contact who rings back, or None if what we know cannot be put into words."""
    settings, now = load_settings(), store().now()
    attempt_id = store().answer(case, call_sid, policy.lease(case.campaign))
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
        log.warning("%s rang us, and hears the house's greeting: %s", attempt_id, error)
        return None


def _for_stranger(campaign: Campaign, phone: str, call_sid: str) -> str | None:
    """Return the document for a caller whom we never rang: they too can ask us never to."""
    settings = load_settings()
    attempt_id = store().meet(call_sid, Caller(phone if _E164.fullmatch(phone) else "", campaign.name))
    try:
        brief = campaign.unknown_brief(
            attempt_id=attempt_id, now=store().now(), **briefing.addresses(settings, attempt_id)
        )
        return briefing.document(brief, campaign, settings)
    except (RenderError, texml.DocumentTooLong) as error:
        log.warning("%s rang us, and hears the house's greeting: %s", attempt_id, error)
        return None


def _campaign_of(number: str) -> Campaign | None:
    """Return the newest running campaign whose number was rung, or, if it is nobody's own, the newest of all.

    That only where all campaigns speak for one business: nobody is answered in another's name.
    """
    known = [store().campaign(name) for name in reversed(store().campaigns())]
    owners = [kept for kept in known if number in {kept[0].callback_number, *kept[0].caller_ids}]
    if not owners and len({campaign.business_name for campaign, _, _ in known}) > 1:
        return None
    return next((campaign for campaign, state, _ in owners or known if state is CampaignState.RUNNING), None)


def _called_at(case: Case, now: datetime) -> str:
    local = policy.in_zone_of(case.zones, case.evidence.begun_at if case.begun else now)
    return f"{local:%-I:%M %p}"
