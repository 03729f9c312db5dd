"""A campaign: a folder with one TOML file and a few templates, loaded into a model that refuses what it does not know."""

import difflib
import hashlib
import re
import tomllib
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from campaigns import numbers
from campaigns.call import Brief, Direction, Disposition, Model, Question, Script, Voice
from campaigns.contacts import Contact
from campaigns.templates import INSTRUCTIONS_LIMIT, SPOKEN_LIMIT, RenderError, columns_of, render, syntax_problem

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

FINAL: Final = frozenset(
    {Disposition.COMPLETED, Disposition.DO_NOT_CALL, Disposition.WRONG_NUMBER, Disposition.INVALID_NUMBER}
)
"""Dispositions after which nobody is rung again."""

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

DISCLOSURES: Final = {
    "en": ("automated", "virtual", "artificial", "ai", "assistant"),
    "de": ("automatisch", "automatisierte", "ki", "virtuelle", "assistent", "assistentin"),
    "es": ("automatizado", "automatizada", "automático", "automática", "ia", "virtual", "asistente"),
    "fr": ("automatisé", "automatisée", "automatique", "ia", "virtuel", "virtuelle", "assistant", "assistante"),
}
"""One of these words tells the person, in the first utterance, that no human is speaking (EU AI Act, art. 50(1))."""


class CampaignError(ValueError):
    """The campaign cannot be used. The message has a line per problem: file, key and reason."""


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]+)\s*([smhd])\s*", value)
    if match is None:
        # The model's own JSON has ISO 8601 durations, which pydantic reads.
        if value.startswith("P"):
            return value
        raise ValueError('write a number and a unit: "90s", "10m", "2h" or "1d"')
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _e164(value: str) -> str:
    try:
        return numbers.own(value)
    except numbers.BadNumber as error:
        raise ValueError(str(error)) from error


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(seconds=1), le=timedelta(days=30))]
OwnNumber = Annotated[str, AfterValidator(_e164)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CallingWindow(_Table):
    """The hours in which we may ring, in the contact's own zone."""

    start: time = time(9)
    end: time = time(20)
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start ({self.start:%H:%M}) must be before end ({self.end:%H:%M})")
        return self

    def includes_day(self, day: date) -> bool:
        """True if the window opens on this day at all."""
        return WEEKDAYS[day.weekday()] in self.weekdays


class Pacing(_Table):
    """How fast, and how many at once."""

    calls_per_second: float = Field(default=1.0, gt=0, le=1000)
    lines: int = Field(default=5, ge=1, le=10_000)
    weight: float = Field(default=1.0, gt=0)  # its share of the account's lines, against other campaigns


class CallRules(_Table):
    """What the carrier is told about each call."""

    ring_timeout_s: int = Field(default=30, ge=15, le=120)  # 15: shorter rings count as abandoned (47 CFR 64.1200)
    time_limit_s: int = Field(default=600, ge=30, le=14_400)
    machine_detection: bool = True


class Retry(_Table):
    """When a contact is rung again: for each disposition, the delay before the first retry, the second, and so on."""

    max_attempts: int = Field(default=3, ge=1, le=10)
    no_answer: tuple[Duration, ...] = (timedelta(hours=1), timedelta(hours=4))
    busy: tuple[Duration, ...] = (timedelta(minutes=10), timedelta(minutes=30))
    voicemail: tuple[Duration, ...] = (timedelta(hours=4),)
    callback: tuple[Duration, ...] = (timedelta(hours=2),)  # for when no time was agreed on
    rejected: tuple[Duration, ...] = ()
    canceled: tuple[Duration, ...] = ()
    failed: tuple[Duration, ...] = (timedelta(minutes=5), timedelta(minutes=30))
    unconfirmed: tuple[Duration, ...] = (timedelta(hours=1),)

    def delay_after(self, disposition: Disposition, attempts_made: int) -> timedelta | None:
        """Return how long to wait after the attempt of this number, or None for no further one."""
        if disposition in FINAL:
            return None
        delays: tuple[timedelta, ...] = getattr(self, disposition.value)
        return delays[attempts_made - 1] if 1 <= attempts_made <= len(delays) else None


class Templates(_Table):
    """The texts of the campaign's templates."""

    greeting: str
    instructions: str
    voicemail: str = ""
    inbound_greeting: str = (
        "Hello, this is the automated assistant of {{ campaign.business_name }}. Thank you for calling back. "
        "How can I help you?"
    )
    inbound_instructions: str = "The person rings back after we called them. Help with what the call was about.\n"

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self.model_dump().values())


class Campaign(_Table):
    """Everything that a campaign's folder says, its templates included: it needs no files once it is loaded."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")
    business_name: str = Field(min_length=1, max_length=100)
    callback_number: OwnNumber
    purpose: Literal["informational", "marketing"]
    language: str = Field(default="en", pattern=r"^[a-z]{2}$")
    default_region: str = Field(default="US", pattern=r"^[A-Z]{2}$")
    countries: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ()
    caller_ids: tuple[OwnNumber, ...] = ()
    calling_window: CallingWindow = CallingWindow()
    pacing: Pacing = Pacing()
    call: CallRules = CallRules()
    retry: Retry = Retry()
    answers: dict[str, Question] = Field(default_factory=dict)
    voice: Voice = Voice()
    model: Model = Model()
    templates: Templates

    @model_validator(mode="after")
    def _greeting_says_who_speaks(self) -> Self:
        if problem := next((f"{name}.j2: {p}" for name, p in self._template_problems()), None):
            raise ValueError(problem)
        return self

    def _template_problems(self) -> list[tuple[str, str]]:
        texts = self.templates.model_dump()
        problems = [(name, problem) for name, text in texts.items() if (problem := syntax_problem(text))]
        greeting = self.templates.greeting
        if self.business_name not in greeting and "campaign.business_name" not in greeting:
            problems.append(("greeting", f"the first words must name the business: {self.business_name}"))
        words = set(re.findall(r"\w+", greeting.lower()))
        if self.language in DISCLOSURES and not words.intersection(DISCLOSURES[self.language]):
            told = ", ".join(DISCLOSURES[self.language][:3])
            problems.append(
                ("greeting", f"the first words must say that this is an automated call (a word like {told})")
            )
        voicemail = self.templates.voicemail
        digits = re.sub(r"\D", "", voicemail)
        says_number = "campaign.callback_number" in voicemail or self.callback_number[-7:] in digits
        if voicemail.strip() and not says_number:
            problems.append(("voicemail", f"the message must say the number to call back: {self.callback_number}"))
        return problems

    @property
    def allowed_countries(self) -> tuple[str, ...]:
        """Countries whose numbers may be enlisted."""
        return self.countries or (self.default_region,)

    @property
    def required_columns(self) -> frozenset[str]:
        """The columns without which some template cannot be rendered."""
        return _columns(self.templates.texts)[0]

    @property
    def columns(self) -> frozenset[str]:
        """The columns that templates use, needed or not: all that a brief says of a contact."""
        needed, optional = _columns(self.templates.texts)
        return needed | optional

    @cached_property
    def version(self) -> str:
        """A short hash of the whole definition, kept with each attempt."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=6).hexdigest()

    def brief(self, contact: Contact, *, attempt_id: str, report_url: str, brief_url: str, now: datetime) -> Brief:
        """Render what the bot is told about one attempt; raises RenderError."""
        values = {**contact.columns, "campaign": self}
        return self._brief(
            contact,
            attempt_id=attempt_id,
            direction=Direction.OUTBOUND,
            greeting=self._spoken("greeting", values),
            instructions=self._instructions("instructions", values),
            voicemail=self._spoken("voicemail", values, may_be_empty=True),
            report_url=report_url,
            brief_url=brief_url,
            now=now,
        )

    def inbound_brief(
        self, contact: Contact, *, attempt_id: str, report_url: str, brief_url: str, now: datetime, called_at: str
    ) -> Brief:
        """Render what the bot is told when the contact rings back. `called_at` is when we rang, in their words."""
        values = {**contact.columns, "campaign": self, "called_at": called_at}
        both = (self._instructions(name, values) for name in ("inbound_instructions", "instructions"))
        return self._brief(
            contact,
            attempt_id=attempt_id,
            direction=Direction.INBOUND,
            greeting=self._spoken("inbound_greeting", values),
            instructions="\n\n".join(both),
            voicemail="",
            report_url=report_url,
            brief_url=brief_url,
            now=now,
        )

    def _brief(
        self,
        contact: Contact,
        *,
        attempt_id: str,
        direction: Direction,
        greeting: str,
        instructions: str,
        voicemail: str,
        report_url: str,
        brief_url: str,
        now: datetime,
    ) -> Brief:
        return Brief(
            attempt_id=attempt_id,
            campaign=self.name,
            direction=direction,
            greeting=greeting,
            contact={name: contact.columns[name] for name in sorted(self.columns) if name in contact.columns},
            voice=self.voice.model_copy(update={"language": self.language}),
            report_url=report_url,
            brief_url=brief_url,
            issued_at=int(now.timestamp()),
            script=Script(
                instructions=instructions, voicemail=voicemail, answers=tuple(self.answers.values()), model=self.model
            ),
        )

    def _spoken(self, name: str, values: dict[str, Any], *, may_be_empty: bool = False) -> str:
        text = render(f"{name}.j2", getattr(self.templates, name), values, limit=SPOKEN_LIMIT, spoken=True)
        if not text and not may_be_empty:
            raise RenderError(f"{name}.j2 comes to nothing for this contact: nobody may answer to silence")
        return text

    def _instructions(self, name: str, values: dict[str, Any]) -> str:
        source = getattr(self.templates, name)
        return render(f"{name}.j2", source, values, limit=INSTRUCTIONS_LIMIT, spoken=False)


@lru_cache(maxsize=64)
def _columns(texts: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    pairs = [columns_of(text) for text in texts]
    needed = frozenset[str]().union(*(pair[0] for pair in pairs))
    return needed, frozenset[str]().union(*(pair[1] for pair in pairs)) - needed


def load_campaign(folder: Path) -> Campaign:
    """Load the campaign in a folder; raises CampaignError with a line for each problem: file, key, reason."""
    toml = folder / "campaign.toml"
    try:
        table = tomllib.loads(toml.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise CampaignError(f"{toml}: there is no such file; a campaign is a folder with a campaign.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CampaignError(f"{toml}: {error}") from None
    for reserved in ("name", "templates"):
        if reserved in table:
            raise CampaignError(f"{toml}: {reserved}: this is taken from the folder; remove the key")
    answers: Any = table.get("answers")
    if isinstance(answers, dict):
        tables = cast("dict[str, Any]", answers)
        table["answers"] = {
            key: {"key": key, **value} if isinstance(value, dict) else value for key, value in tables.items()
        }
    table |= {"name": folder.resolve().name, "templates": _read_templates(folder)}
    try:
        return Campaign.model_validate(table)
    except ValidationError as error:
        problems = [_sentence(toml, problem) for problem in error.errors()]
        raise CampaignError("\n".join(problems)) from None


def _read_templates(folder: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, kept in Templates.model_fields.items():
        path = folder / f"{name}.j2"
        try:
            texts[name] = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            if kept.is_required():
                raise CampaignError(f"{path}: this template is missing; write what the bot is to say") from None
        except UnicodeDecodeError:
            raise CampaignError(f"{path}: this file is not UTF-8; save it as UTF-8") from None
    return texts


def _sentence(toml: Path, problem: ErrorDetails) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    reason = problem["msg"].removeprefix("Value error, ")
    if path == "name":
        return f"{toml.parent}: a campaign's folder is named with a-z, 0-9 and _, beginning with a letter"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), _known_keys(problem["loc"]), 1)
        reason = "there is no such key" + (f"; did you mean {near[0]}?" if near else "")
    elif problem["type"] == "missing":
        reason = "this key is missing"
    elif not path and ".j2: " in reason:
        return f"{toml.parent / reason}"
    return f"{toml}: {path + ': ' if path else ''}{reason[0].lower()}{reason[1:]}"


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Campaign
    for part in loc[:-1]:
        inner = model.model_fields.get(str(part))
        if inner is None or not isinstance(inner.annotation, type) or not issubclass(inner.annotation, BaseModel):
            return list(Question.model_fields)
        model = inner.annotation
    return list(model.model_fields)
