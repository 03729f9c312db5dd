"""A campaign's eval files: Pipecat's own scenarios, with three keys of ours that Pipecat's harness ignores.

The keys are `contact` (the columns of the contact's row), `called_at` (when we had called; the contact then rings back) and
`report` (what the bot's report must say).
"""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, cast
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
    """A scenario cannot be used. The message says which, and what to change."""


@dataclass(frozen=True)
class Scenario:
    """One conversation: the contact, what they say, and what must come of it."""

    campaign: Campaign
    script: EvalScriptScenario | EvalSimulationScenario
    contact: Mapping[str, str]
    called_at: str = ""  # when we had called, as a person would say it; empty: we call the contact
    report: Mapping[str, Any] = field(default_factory=dict[str, Any])  # what the report must say; empty: anything

    @property
    def name(self) -> str:
        """The scenario's full name, such as "patient_survey/is somebody else"."""
        return self.script.name

    def until_hung_up(self) -> EvalScriptScenario | EvalSimulationScenario:
        """Return the script with a last turn in which the person says nothing until the bot hangs up.

        Without it, the harness leaves as soon as it has seen the last event that it expects, and the bot reports a person
        who hung up.
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
        """Return the session's body for the bot: the signed parameters that a call would bring. Raises ScenarioError."""
        try:
            brief = self.brief(attempt_id, report_url, now)
        except RenderError as error:
            raise ScenarioError(f"{self.name}: {error}; add the column to the scenario's contact") from error
        return {"parameters": to_parameters(brief, secret)}

    def complaint(self, report: Report | None) -> str:
        """Return how the report differs from what the scenario expects; "" if it does not."""
        if report is None:
            return "no report came" if self.report else ""
        told = report.model_dump(mode="json")
        for name, wanted in self.report.items():
            given = told.get(name)
            if isinstance(given, dict) and isinstance(wanted, dict) and wanted:  # {} says that there must be nothing
                answers = cast("dict[str, Any]", given)
                given = {key: answers.get(key) for key in cast("dict[str, Any]", wanted)}
            if given != wanted:
                return f"the report's {name} is {given!r}, not {wanted!r}"
        return ""


def load_scenarios(folder: Path) -> Iterator[Scenario]:
    """Yield the scenarios of the campaign in a folder; raises ScenarioError."""
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
            contact: dict[str, Any] = {**(table.get("contact") or {}), **(entry.get("contact") or {})}
            yield Scenario(
                campaign=campaign,
                script=script,
                contact={column: str(value) for column, value in contact.items()},
                called_at=str(ours["called_at"] or ""),
                report=ours["report"] or {},
            )


def with_body(url: str, body: Mapping[str, Any]) -> str:
    """Return a bot's URL with a session's body in it, as Pipecat Cloud takes it."""
    packed = base64.b64encode(json.dumps(body).encode()).decode()
    return f"{url}{'&' if '?' in url else '?'}body={quote(packed, safe='')}"
