"""Turns a contact into what the carrier is told: the document that connects the call, and the order to place it.

Both the dial and the preflight of `dialout check` do this.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, TypedDict
from urllib.parse import quote

from campaigns.call import REPORTS_PATH, Brief
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from worker.settings import Settings
from worker.store.values import Case
from worker.telnyx import texml
from worker.telnyx.order import DialOrder

_PREFLIGHT_SECRET: Final = "not-a-secret"  # noqa: S105 - `check` only measures the documents that it signs


def order(case: Case, settings: Settings, now: datetime) -> DialOrder:
    """Return the order of an attempt, without the number to call from, which is known once the attempt is begun.

    Raises RenderError or DocumentTooLong if this contact's call cannot be put into words.
    """
    base, attempt = settings.public_url.rstrip("/"), quote(case.attempt_id, safe="")
    document = outbound_document(
        case.contact,
        case.zones,
        case.campaign,
        settings,
        attempt_id=case.attempt_id,
        now=now,
        message_left=case.message_left,
    )
    rules = case.campaign.call
    return DialOrder(
        to=case.phone,
        caller_id="",
        texml=document,
        status_url=f"{base}/telnyx/status?attempt={attempt}",
        amd_url=f"{base}/telnyx/amd?attempt={attempt}" if rules.machine_detection else None,
        ring_timeout_s=rules.ring_timeout_s,
        time_limit_s=rules.time_limit_s,
        record=rules.record,
    )


class Addresses(TypedDict):
    """The addresses of ours that the bot uses for one attempt."""

    report_url: str
    brief_url: str


def outbound_document(
    contact: Contact,
    zones: Sequence[str],
    campaign: Campaign,
    settings: Settings,
    *,
    attempt_id: str,
    now: datetime,
    message_left: bool = False,
) -> str:
    """Return the document of an attempt; raises RenderError or DocumentTooLong."""
    brief = campaign.brief(
        contact, zones, message_left=message_left, attempt_id=attempt_id, now=now, **addresses(settings, attempt_id)
    )
    return document(brief, campaign, settings)


def addresses(settings: Settings, attempt_id: str) -> Addresses:
    """Return where the bot sends its reports, and where it fetches the script that did not fit into the document."""
    base = settings.public_url.rstrip("/")
    return {"report_url": base + REPORTS_PATH, "brief_url": f"{base}/briefs/{quote(attempt_id, safe='')}"}


def document(brief: Brief, campaign: Campaign, settings: Settings) -> str:
    """Return the document that connects a call with the bot, and apologizes to the person if no bot comes."""
    return texml.connect_document(
        brief,
        settings.brief_secret.get_secret_value() or _PREFLIGHT_SECRET,
        stream_url=stream_url(settings),
        after=f"This is {campaign.business_name}. We are sorry: we could not talk with you just now. Goodbye.",
        document_limit=settings.document_limit,
        parameter_limit=settings.parameter_limit,
    )


def stream_url(settings: Settings) -> str:
    """Return the address of the WebSocket on which the carrier reaches the agent."""
    return texml.stream_url(
        region=settings.pipecat_region,
        agent=settings.pipecat_agent,
        organization=settings.pipecat_organization,
        override=settings.stream_url,
    )
