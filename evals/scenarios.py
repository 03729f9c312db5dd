"""What is in a campaign's evals: Pipecat's own scenarios, and beside them the contact that each is held with.

Pipecat's harness passes over the keys that are ours: `contact` (columns, as in a row of contacts), `called_at` (the
contact rings back) and `report` (what the bot's report must say).
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import yaml
from pipecat.evals.scenario import EvalScenarioFile, EvalSimulationScenario
from pipecat.evals.script import EvalExpectation, EvalScriptScenario, EvalScriptTurn

from campaigns.call import Brief, Report, to_parameters
from campaigns.campaign import Addressed, Campaign, CampaignError, load_campaign
from campaigns.contacts import Contact
from campaigns.templates import RenderError

_ZONES: Final = ("America/New_York",)
_NOBODYS_NUMBER: Final = "+12125550199"
_HANG_UP_MS: Final = 20_000
_OURS: Final = ("contact", "called_at", "report")


class ScenarioError(ValueError):
    """The scenarios cannot be read. The message says which, and what to change."""


@dataclass(frozen=True)
class Scenario:
    """One conversation: who is called, what they say, and what is to come of it."""

    campaign: Campaign
    script: EvalScriptScenario | EvalSimulationScenario
    contact: Mapping[str, str]
    called_at: str = ""  # in the contact's words; empty: we call them
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The campaign's name and the scenario's."""
        return self.script.name

    def until_hung_up(self) -> EvalScriptScenario | EvalSimulationScenario:
        """Return the script with a person in it who stays on the line, once all is said, until the bot hangs up.

        Without them, the harness leaves as soon as it has seen the last thing that is expected, and the report is that
        of somebody who hung up.
        """
        if not self.report or not isinstance(self.script, EvalScriptScenario):
            return self.script
        stay = EvalExpectation(event="function_call", absent=True, within_ms=_HANG_UP_MS)
        return replace(self.script, turns=[*self.script.turns, EvalScriptTurn(user=None, expect=[stay])])

    def brief(self, attempt_id: str, report_url: str, now: datetime) -> Brief:
        """Render the brief of this conversation; raises RenderError."""
        contact = Contact(_NOBODYS_NUMBER, self.contact, line=0)
        addressed = Addressed(attempt_id=attempt_id, report_url=report_url, brief_url="", now=now)
        if self.called_at:
            return self.campaign.inbound_brief(contact, _ZONES, called_at=self.called_at, **addressed)
        return self.campaign.brief(contact, _ZONES, **addressed)

    def body(self, attempt_id: str, report_url: str, now: datetime, secret: str) -> dict[str, Any]:
        """Return the session's body for the bot: the brief, signed, as Telnyx would have brought it."""
        try:
            brief = self.brief(attempt_id, report_url, now)
        except RenderError as error:
            raise ScenarioError(f"{self.name}: {error}; add the column to the scenario's contact") from error
        return {"parameters": to_parameters(brief, secret)}

    def complaint(self, report: Report | None) -> str:
        """Return how the report differs from what was to come of the conversation, or nothing."""
        if report is None:
            return "no report came" if self.report else ""
        told = report.model_dump(mode="json")
        for name, wanted in self.report.items():
            given = told.get(name)
            if isinstance(given, dict) and isinstance(wanted, dict) and wanted:  # {}: there is to be nothing
                given = {key: given.get(key) for key in wanted}
            if given != wanted:
                return f"the report's {name} is {given!r}, not {wanted!r}"
        return ""


def load_scenarios(folder: Path) -> Iterator[Scenario]:
    """Load the scenarios of the campaign in a folder; raises ScenarioError."""
    try:
        campaign = load_campaign(folder)
    except CampaignError as error:
        raise ScenarioError(str(error)) from error
    files = sorted((folder / "evals").glob("*.yaml"))
    if not files:
        raise ScenarioError(f"{folder / 'evals'}: there are no scenarios; see docs/evals.md")
    for path in files:
        try:
            scripts = EvalScenarioFile.load(path)
            table = yaml.safe_load(path.read_text("utf-8"))
        except (ValueError, OSError, yaml.YAMLError) as error:
            raise ScenarioError(str(error)) from error
        for script, entry in zip(scripts, table["scenarios"], strict=True):
            ours = {key: entry.get(key, table.get(key)) for key in _OURS}
            contact = {**(table.get("contact") or {}), **(entry.get("contact") or {})}
            yield Scenario(
                campaign=campaign,
                script=script,
                contact={column: str(value) for column, value in contact.items()},
                called_at=str(ours["called_at"] or ""),
                report=ours["report"] or {},
            )


def with_body(url: str, body: Mapping[str, Any]) -> str:
    """Return the socket's address with a session's body, as Pipecat Cloud takes it."""
    packed = base64.b64encode(json.dumps(body).encode()).decode()
    return f"{url}{'&' if '?' in url else '?'}body={quote(packed, safe='')}"
