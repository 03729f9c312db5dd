"""A campaign: a folder with one TOML file and a few templates, loaded into a model that refuses what it does not know."""

import difflib
import hashlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, TypedDict, Unpack, cast
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from campaigns import numbers
from campaigns.call import Brief, Direction, Disposition, Hours, Listening, Model, Question, Script, Voice
from campaigns.contacts import Contact
from campaigns.disclosure import NOTICES, problems
from campaigns.templates import INSTRUCTIONS_LIMIT, SPOKEN_LIMIT, RenderError, Templates, columns_of, render

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

FINAL: Final = frozenset(
    {Disposition.COMPLETED, Disposition.DO_NOT_CALL, Disposition.WRONG_NUMBER, Disposition.INVALID_NUMBER}
)
"""Dispositions after which nobody is rung again."""

LAWFUL_ABANDONED: Final = 0.03
"""The share of answered telemarketing calls that may be abandoned in 30 days (47 CFR 64.1200(a)(7))."""

_GOODBYE_S: Final = 20
"""How long before the carrier cuts a call the bot says goodbye."""

_SHORTEST_TALK_S: Final = 20

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


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


def _transfer_name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", value):
        raise ValueError("name it with a-z, 0-9 and _, beginning with a letter")
    return value


def _zone(value: str) -> str:
    if value and value not in available_timezones():
        raise ValueError('name a time zone, such as "America/New_York"')
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(seconds=1), le=timedelta(days=30))]
Share = Annotated[float, Field(ge=0.01, le=1)]
OwnNumber = Annotated[str, AfterValidator(_e164)]
TransferName = Annotated[str, AfterValidator(_transfer_name)]


Region = Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
"""A country, or a state of one, as in ISO 3166: "GB", "US-FL"."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CallingWindow(_Table):
    """The hours in which we may ring, in the contact's own zone."""

    start: time = time(9)
    end: time = time(20)
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS
    holidays: bool | Region = True  # kept free: those of the contact's own place, none, or always those of one place
    blackout: tuple[date, ...] = ()  # days kept free besides, in the contact's own zone

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start ({self.start:%H:%M}) must be before end ({self.end:%H:%M})")
        return self

    def includes_day(self, day: date) -> bool:
        """True if the window opens on this day at all."""
        return WEEKDAYS[day.weekday()] in self.weekdays


class Consent(_Table):
    """Where the law asks for consent: that the operator has it of all contacts, and how old it may be.

    Without the operator's word, each row says so itself, in the columns `consent_type` (none, express or written),
    `consent_at`, `consent_source` and `consent_ref`.
    """

    attested_by: str = Field(default="", max_length=200)
    attested_at: date | None = None
    max_age_days: int = Field(default=0, ge=0, le=3650)  # 0: no limit

    @model_validator(mode="after")
    def _a_word_has_a_name_and_a_day(self) -> Self:
        if bool(self.attested_by) != bool(self.attested_at):
            raise ValueError(
                "attested_by and attested_at go together: who says that consent was given, and when they said it"
            )
        return self


class Pacing(_Table):
    """How fast, and how many at once."""

    calls_per_second: float = Field(default=1.0, gt=0, le=1000)
    lines: int = Field(default=5, ge=1, le=10_000)
    weight: float = Field(default=1.0, gt=0)  # its share of the dials, while several campaigns have contacts that wait
    calls_per_day: int = Field(default=0, ge=0)  # 0: as many as there are
    day_zone: Annotated[str, AfterValidator(_zone)] = ""  # whose midnight begins that day; empty: the callback number's


class Brakes(_Table):
    """When a campaign stops by itself and waits for the operator. Shares: more than this is too much; 1 is never too much."""

    canary: int = Field(default=10, ge=0, le=100)  # attempts after which it holds for approval; 0: it does not hold
    failed: Share = 0.3  # of attempts: failed or unconfirmed. That is our fault, never the contact's
    canceled: Share = 0.2  # of attempts: hung up by us before the answer. Telnyx charges more beyond it
    short: Share = 0.15  # of answered calls: over within 6 s. Telnyx charges more beyond it
    abandoned: Share = LAWFUL_ABANDONED  # of calls that people answered: no bot within 2 s


RELEASED: Final = Brakes(canary=0, failed=1, canceled=1, short=1, abandoned=1)
"""Brakes that never stop anything: for campaigns that ring nobody real."""


class CallRules(_Table):
    """What the carrier is told about each call."""

    ring_timeout_s: int = Field(default=30, ge=15, le=120)  # 15: shorter rings count as abandoned (47 CFR 64.1200)
    time_limit_s: int = Field(default=600, ge=30, le=14_400)
    machine_detection: bool = True
    menus: Literal["hang_up", "press_keys"] = "hang_up"  # what the bot does about "press 1 for sales"
    record: bool = False  # in stereo, by the carrier
    record_notice: str = Field(default="", max_length=200)  # empty: the language's own, if we have one


class Retry(_Table):
    """When a contact is rung again: for each disposition, the delay before the first retry, the second, and so on."""

    max_attempts: int = Field(default=3, ge=1, le=10)
    max_per_day: int | None = Field(
        default=None, ge=1
    )  # to one number, over all campaigns; None: as many as the law allows
    voicemail_again: bool = False  # leave the message on a machine again, though it was left before
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
        if (
            disposition is Disposition.CALLBACK and delays
        ):  # they asked for it: the last delay serves for all that follow
            attempts_made = min(attempts_made, len(delays))
        return delays[attempts_made - 1] if 1 <= attempts_made <= len(delays) else None


class _Rules(TypedDict):
    transfers: Mapping[str, str]
    menus: Literal["hang_up", "press_keys"]
    time_limit_s: int
    model: Model


class Addressed(TypedDict):
    """Of which attempt a brief is, and where the bot turns to about it."""

    attempt_id: str
    report_url: str
    brief_url: str
    now: datetime


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
    rehearsed: bool = False  # on a telephone network that rings nobody: the law is not asked. Never read from a folder

    @model_validator(mode="after")
    def _who_is_recorded_is_told(self) -> Self:
        if self.call.record and not self.record_notice:
            raise ValueError(f"call.record_notice: say in {self.language!r} that the call is recorded")
        return self

    @model_validator(mode="after")
    def _marketing_abandons_few(self) -> Self:
        if self.purpose == "marketing" and self.brakes.abandoned > LAWFUL_ABANDONED:
            raise ValueError(
                "brakes.abandoned: marketing calls may be abandoned in 3 % of cases at most: write 0.03 or less"
            )
        return self

    @property
    def record_notice(self) -> str:
        """What people are told of the recording; nothing if there is none."""
        own = " ".join(self.call.record_notice.split()) or NOTICES.get(self.language, "")
        return own if self.call.record else ""

    @property
    def day_zone(self) -> str:
        """The zone whose midnight begins a day of `calls_per_day`: UTC where the callback number does not tell."""
        zones = numbers.zones(self.callback_number)
        return self.pacing.day_zone or (zones[0] if len(zones) == 1 else "UTC")

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

    def brief(
        self, contact: Contact, zones: Sequence[str], *, message_left: bool = False, **addressed: Unpack[Addressed]
    ) -> Brief:
        """Render what the bot is told about one attempt; raises RenderError.

        `message_left`: an earlier attempt has left the message on a machine. It is left again only if the campaign says so.
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
        """Render what the bot is told when the contact rings back. `called_at` is when we rang, in their words."""
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
        """Render what the bot is told when someone rings whom we never rang: nothing of them, and no questions."""
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
            raise RenderError(f"{name}.j2 comes to nothing for this contact: nobody may answer to silence")
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
    if "rehearsed" in table:
        raise CampaignError(f"{toml}: rehearsed: only `dialout rehearse` sets this; remove the key")
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
        raise CampaignError("\n".join(_sentence(toml, problem) for problem in error.errors())) from None
    if unsaid := _unsaid(campaign):
        raise CampaignError("\n".join(str(folder / problem) for problem in unsaid))
    return campaign


def _unsaid(campaign: Campaign) -> list[str]:
    """Return what is wrong with the templates. Asked of folders only: what was enlisted once goes on as it is."""
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
                raise CampaignError(f"{path}: this template is missing; write what the bot is to say") from None
        except UnicodeDecodeError:
            raise CampaignError(f"{path}: this file is not UTF-8; save it as UTF-8") from None
    return texts


def _sentence(toml: Path, problem: ErrorDetails) -> str:
    path = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    reason = problem["msg"].removeprefix("Value error, ")
    if path == "name":
        return f"{toml.parent}: a campaign's folder is named with a-z, 0-9 and _, beginning with a letter"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), _known_keys(problem["loc"]), 1)
        reason = "there is no such key" + (f"; did you mean {near[0]}?" if near else "")
    elif problem["type"] == "missing":
        reason = "this key is missing"
    return f"{toml}: {path + ': ' if path else ''}{reason[0].lower()}{reason[1:]}"


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    model: type[BaseModel] = Campaign
    for part in loc[:-1]:
        inner = model.model_fields.get(str(part))
        if inner is None or not isinstance(inner.annotation, type) or not issubclass(inner.annotation, BaseModel):
            return list(Question.model_fields)
        model = inner.annotation
    return list(model.model_fields)
