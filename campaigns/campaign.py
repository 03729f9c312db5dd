"""A campaign: a folder with campaign.toml and a few templates. Loading refuses what it does not know, and says where it is."""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypedDict, Unpack, cast

from pydantic import Field, ValidationError, model_validator

from campaigns import numbers
from campaigns.call import Brief, Direction, Hours, Listening, Model, Question, Script, Voice
from campaigns.contacts import Contact
from campaigns.disclosure import NOTICES, problems
from campaigns.tables import (
    LAWFUL_ABANDONED,
    WEEKDAYS,
    Brakes,
    CallingWindow,
    CallRules,
    Consent,
    OwnNumber,
    Pacing,
    Retry,
    Table,
    TransferName,
    sentence,
)
from campaigns.templates import INSTRUCTIONS_LIMIT, SPOKEN_LIMIT, RenderError, Templates, columns_of, render

_GOODBYE_S: Final = 20
"""The bot says goodbye this long before the carrier cuts the call."""

_SHORTEST_TALK_S: Final = 20
"""The shortest time limit that a bot accepts (`Script.time_limit_s`)."""


class CampaignError(ValueError):
    """The campaign cannot be used. The message has one sentence for each problem: file, key and reason."""


class _Rules(TypedDict):
    transfers: Mapping[str, str]
    menus: Literal["hang_up", "press_keys"]
    time_limit_s: int
    model: Model


class Addressed(TypedDict):
    """The attempt that a brief is for, the URLs that the bot needs for it, and the time of writing."""

    attempt_id: str
    report_url: str
    brief_url: str
    now: datetime


class Campaign(Table):
    """Everything that a campaign's folder says, with its templates. Once loaded, it needs no files."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    business_name: str = Field(min_length=1, max_length=100)
    callback_number: OwnNumber
    purpose: Literal["informational", "marketing"]
    language: str = Field(default="en", pattern=r"^[a-z]{2}$")
    default_region: str = Field(default="US", pattern=r"^[A-Z]{2}$")
    countries: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ()
    caller_ids: tuple[OwnNumber, ...] = ()
    calling_window: CallingWindow = CallingWindow()
    consent: Consent = Consent()
    pacing: Pacing = Pacing()
    call: CallRules = CallRules()
    retry: Retry = Retry()
    brakes: Brakes = Brakes()
    answers: dict[str, Question] = Field(default_factory=dict)
    voice: Voice = Voice()
    model: Model = Model()
    listening: Listening = Listening()
    transfers: dict[TransferName, OwnNumber] = Field(default_factory=dict)
    templates: Templates
    # Only `dialout rehearse` sets this. Its telephone network rings nobody, so no law is applied.
    rehearsed: bool = False

    @model_validator(mode="after")
    def _a_recorded_person_is_told(self) -> Self:
        if self.call.record and not self.record_notice:
            raise ValueError(f"call.record_notice: say in {self.language!r} that the call is recorded")
        return self

    @model_validator(mode="after")
    def _marketing_abandons_few(self) -> Self:
        if self.purpose == "marketing" and self.brakes.abandoned > LAWFUL_ABANDONED:
            raise ValueError("brakes.abandoned: at most 3 % of marketing calls may be abandoned: write 0.03 or less")
        return self

    @property
    def record_notice(self) -> str:
        """The sentence that tells people about the recording; empty if there is no recording."""
        own = " ".join(self.call.record_notice.split()) or NOTICES.get(self.language, "")
        return own if self.call.record else ""

    @property
    def day_zone(self) -> str:
        """The time zone whose midnight begins a day of `calls_per_day`. It is UTC if the callback number has no one zone."""
        zones = numbers.zones(self.callback_number)
        return self.pacing.day_zone or (zones[0] if len(zones) == 1 else "UTC")

    @property
    def allowed_countries(self) -> tuple[str, ...]:
        """The countries whose numbers may be enlisted (ISO 3166, two letters)."""
        return self.countries or (self.default_region,)

    @property
    def required_columns(self) -> frozenset[str]:
        """The columns that some template cannot be rendered without."""
        return _columns(self.templates.texts)[0]

    @property
    def columns(self) -> frozenset[str]:
        """All columns that templates use, needed or optional. A brief holds these of a contact's columns, and no others."""
        needed, optional = _columns(self.templates.texts)
        return needed | optional

    @cached_property
    def version(self) -> str:
        """A short hash of the whole definition. Each attempt keeps it."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=6).hexdigest()

    def brief(
        self, contact: Contact, zones: Sequence[str], *, message_left: bool = False, **addressed: Unpack[Addressed]
    ) -> Brief:
        """Render the brief of one attempt; raises RenderError.

        `message_left` says that an earlier attempt left the message on a machine. The bot then leaves it again only if the
        campaign has `retry.voicemail_again`.
        """
        values = {**contact.columns, "campaign": self}
        silent = message_left and not self.retry.voicemail_again
        script = Script(
            instructions=self._instructions("instructions", values),
            voicemail="" if silent else self._spoken("voicemail", values, may_be_empty=True),
            screening=self._spoken("screening", values, may_be_empty=True),
            hours=self._hours(zones),
            answers=tuple(self.answers.values()),
            **self._rules,
        )
        return self._brief(Direction.OUTBOUND, "greeting", values, script, **addressed)

    def inbound_brief(
        self, contact: Contact, zones: Sequence[str], *, called_at: str, **addressed: Unpack[Addressed]
    ) -> Brief:
        """Render the brief for a contact who rings back. `called_at` says when we rang, as a person would say it."""
        values = {**contact.columns, "campaign": self, "called_at": called_at}
        both = (self._instructions(name, values) for name in ("inbound_instructions", "instructions"))
        script = Script(
            instructions="\n\n".join(both),
            hours=self._hours(zones),
            answers=tuple(self.answers.values()),
            **self._rules,
        )
        return self._brief(Direction.INBOUND, "inbound_greeting", values, script, **addressed)

    def unknown_brief(self, **addressed: Unpack[Addressed]) -> Brief:
        """Render the brief for a stranger who rings us. It names no contact and asks no questions."""
        values = {"campaign": self}
        script = Script(instructions=self._instructions("unknown_instructions", values), **self._rules)
        return self._brief(Direction.INBOUND, "unknown_greeting", values, script, **addressed)

    def _brief(
        self,
        direction: Direction,
        greeting: str,
        values: Mapping[str, Any],
        script: Script,
        **addressed: Unpack[Addressed],
    ) -> Brief:
        first_words = self._spoken(greeting, values)
        if self.record_notice not in first_words:
            first_words = f"{first_words} {self.record_notice}"
        return Brief(
            attempt_id=addressed["attempt_id"],
            campaign=self.name,
            direction=direction,
            greeting=first_words,
            contact={name: values[name] for name in sorted(self.columns) if name in values},
            voice=self.voice.model_copy(update={"language": self.language}),
            listening=self.listening,
            report_url=addressed["report_url"],
            brief_url=addressed["brief_url"],
            issued_at=int(addressed["now"].timestamp()),
            script=script,
        )

    @property
    def _rules(self) -> _Rules:
        return {
            "transfers": self.transfers,
            "menus": self.call.menus,
            "time_limit_s": max(_SHORTEST_TALK_S, self.call.time_limit_s - _GOODBYE_S),
            "model": self.model,
        }

    def _hours(self, zones: Sequence[str]) -> Hours | None:
        if not zones:
            return None
        window = self.calling_window
        days = tuple(WEEKDAYS.index(day) for day in window.weekdays)
        return Hours(zone=zones[0], start=window.start, end=window.end, weekdays=days)

    def _spoken(self, name: str, values: Mapping[str, Any], *, may_be_empty: bool = False) -> str:
        text = render(f"{name}.j2", getattr(self.templates, name), values, limit=SPOKEN_LIMIT, spoken=True)
        if not text and not may_be_empty:
            raise RenderError(f"{name}.j2 is empty for this contact: a person who answers must hear something")
        return text

    def _instructions(self, name: str, values: Mapping[str, Any]) -> str:
        source = getattr(self.templates, name)
        return render(f"{name}.j2", source, values, limit=INSTRUCTIONS_LIMIT, spoken=False)


@lru_cache(maxsize=64)
def _columns(texts: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    pairs = [columns_of(text) for text in texts]
    needed = frozenset[str]().union(*(pair[0] for pair in pairs))
    return needed, frozenset[str]().union(*(pair[1] for pair in pairs)) - needed


def load_campaign(folder: Path) -> Campaign:
    """Load the campaign in a folder; raises CampaignError with one sentence for each problem: file, key, reason."""
    toml = folder / "campaign.toml"
    try:
        table = tomllib.loads(toml.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CampaignError(
            f"{toml}: there is no such file; a campaign is a folder that holds a campaign.toml"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CampaignError(f"{toml}: {error}") from None
    for reserved in ("name", "templates"):
        if reserved in table:
            raise CampaignError(f"{toml}: {reserved}: the folder itself says this; remove the key")
    if "rehearsed" in table:
        raise CampaignError(f"{toml}: rehearsed: only `dialout rehearse` may set this; remove the key")
    voice: Any = table.get("voice")
    if isinstance(voice, dict) and "language" in voice:
        raise CampaignError(f"{toml}: voice.language: the voice speaks the campaign's language; remove the key")
    answers: Any = table.get("answers")
    if isinstance(answers, dict):
        tables = cast("dict[str, Any]", answers)
        table["answers"] = {
            key: {"key": key, **value} if isinstance(value, dict) else value for key, value in tables.items()
        }
    table |= {"name": folder.resolve().name, "templates": _read_templates(folder)}
    try:
        campaign = Campaign.model_validate(table)
    except ValidationError as error:
        raise CampaignError("\n".join(sentence(toml, Campaign, problem) for problem in error.errors())) from None
    if unsaid := _unsaid(campaign):
        raise CampaignError("\n".join(str(folder / problem) for problem in unsaid))
    return campaign


def _unsaid(campaign: Campaign) -> list[str]:
    """Return what is wrong with the templates. Only folders are checked: a campaign in the store goes on as it was enlisted."""
    found = problems(
        campaign.templates,
        language=campaign.language,
        business_name=campaign.business_name,
        callback_number=campaign.callback_number,
    )
    if not found:
        try:
            campaign.unknown_brief(attempt_id="", report_url="", brief_url="", now=datetime(2026, 1, 1, tzinfo=UTC))
        except RenderError as error:
            found = [str(error)]
    return found


def _read_templates(folder: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, kept in Templates.model_fields.items():
        path = folder / f"{name}.j2"
        try:
            texts[name] = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            if kept.is_required():
                raise CampaignError(f"{path}: this template is missing; write in it what the bot says") from None
        except UnicodeDecodeError:
            raise CampaignError(f"{path}: this file is not UTF-8; save it as UTF-8") from None
    return texts
