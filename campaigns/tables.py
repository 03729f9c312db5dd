"""The tables of campaign.toml: one class for each, with its bounds and defaults. A key that is not here is refused."""

import difflib
import re
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import ErrorDetails

from campaigns import numbers
from campaigns.call import Disposition, Question

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

FINAL: Final = frozenset(
    {Disposition.COMPLETED, Disposition.DO_NOT_CALL, Disposition.WRONG_NUMBER, Disposition.INVALID_NUMBER}
)
"""Dispositions after which a contact is never rung again."""

LAWFUL_ABANDONED: Final = 0.03
"""The share of answered telemarketing calls that may be abandoned within 30 days (47 CFR 64.1200(a)(7))."""

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


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
        raise ValueError('this is not a time zone; write one such as "America/New_York"')
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration), Field(ge=timedelta(seconds=1), le=timedelta(days=30))]
Share = Annotated[float, Field(ge=0.01, le=1)]
OwnNumber = Annotated[str, AfterValidator(_e164)]
TransferName = Annotated[str, AfterValidator(_transfer_name)]

Region = Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")]
"""A country, or a state of one, as in ISO 3166: "GB", "US-FL"."""


class Table(BaseModel):
    """What all tables have in common: they never change, and they refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CallingWindow(Table):
    """The hours in which we may ring, in the contact's own zone."""

    start: time = time(9)
    end: time = time(20)
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = WEEKDAYS
    # On which public holidays nobody is rung. True: those of the contact's own place. A region: always its holidays.
    holidays: bool | Region = True
    blackout: tuple[date, ...] = ()  # more days on which nobody is rung, in the contact's own zone

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start ({self.start:%H:%M}) must be before end ({self.end:%H:%M})")
        return self

    def includes_day(self, day: date) -> bool:
        """Say whether the window opens on the weekday of this date."""
        return WEEKDAYS[day.weekday()] in self.weekdays


class Consent(Table):
    """The operator's word that all contacts agreed to be called, and how old their consent may be.

    If the operator gives no word, each row must show its own consent, in the columns `consent_type` (none, express or
    written), `consent_at`, `consent_source` and `consent_ref`.
    """

    attested_by: str = Field(default="", max_length=200)
    attested_at: date | None = None
    max_age_days: int = Field(default=0, ge=0, le=3650)  # 0: no limit

    @model_validator(mode="after")
    def _a_word_has_a_name_and_a_day(self) -> Self:
        if bool(self.attested_by) != bool(self.attested_at):
            raise ValueError(
                "write both attested_by and attested_at, or neither: who says that the contacts agreed, and since when"
            )
        return self


class Pacing(Table):
    """How fast the campaign dials, and how many calls it holds at once."""

    calls_per_second: float = Field(default=1.0, gt=0, le=1000)
    lines: int = Field(default=5, ge=1, le=10_000)
    weight: float = Field(
        default=1.0, gt=0
    )  # its share of the dials while several campaigns have contacts that are due
    calls_per_day: int = Field(default=0, ge=0)  # 0: no limit
    day_zone: Annotated[str, AfterValidator(_zone)] = ""  # whose midnight begins that day; empty: the callback number's


class Brakes(Table):
    """When a campaign pauses by itself and waits for the operator. It pauses above a share; at 1, it never does."""

    canary: int = Field(default=10, ge=0, le=100)  # it waits for approval after this many attempts; 0: it does not
    failed: Share = 0.3  # of attempts: failed or unconfirmed. That is our fault, never the contact's
    canceled: Share = 0.2  # of attempts: hung up by us before the answer. Above 0.2, Telnyx charges more
    short: Share = 0.15  # of answered calls: over within 6 s. Above 0.15, Telnyx charges more
    abandoned: Share = LAWFUL_ABANDONED  # of calls that people answered: the bot did not speak within 2 s


RELEASED: Final = Brakes(canary=0, failed=1, canceled=1, short=1, abandoned=1)
"""Brakes that never stop anything, for campaigns that ring nobody real."""


class CallRules(Table):
    """What the carrier is told about each call."""

    ring_timeout_s: int = Field(default=30, ge=15, le=120)  # a shorter ring counts as abandoned (47 CFR 64.1200)
    time_limit_s: int = Field(default=600, ge=30, le=14_400)
    machine_detection: bool = True
    menus: Literal["hang_up", "press_keys"] = "hang_up"  # what the bot does about "press 1 for sales"
    record: bool = False  # the carrier records the call in stereo
    record_notice: str = Field(default="", max_length=200)  # empty: our sentence for the language, if we have one


class Retry(Table):
    """When a contact is rung again: for each disposition, the delay before the first retry, the second, and so on."""

    max_attempts: int = Field(default=3, ge=1, le=10)
    max_per_day: int | None = Field(default=None, ge=1)  # to one number, over all campaigns; None: what the law allows
    voicemail_again: bool = False  # True: leave the message on a machine even if an earlier attempt has left it
    no_answer: tuple[Duration, ...] = (timedelta(hours=1), timedelta(hours=4))
    busy: tuple[Duration, ...] = (timedelta(minutes=10), timedelta(minutes=30))
    voicemail: tuple[Duration, ...] = (timedelta(hours=4),)
    callback: tuple[Duration, ...] = (timedelta(hours=2),)  # if the person named no time
    rejected: tuple[Duration, ...] = ()
    canceled: tuple[Duration, ...] = ()
    failed: tuple[Duration, ...] = (timedelta(minutes=5), timedelta(minutes=30))
    unconfirmed: tuple[Duration, ...] = (timedelta(hours=1),)

    def delay_after(self, disposition: Disposition, attempts_made: int) -> timedelta | None:
        """Return the wait after attempt number `attempts_made` (1 is the first), or None if there is no next one."""
        if disposition in FINAL:
            return None
        delays: tuple[timedelta, ...] = getattr(self, disposition.value)
        if disposition is Disposition.CALLBACK and delays:
            attempts_made = min(attempts_made, len(delays))  # the person asked for it, so the last delay serves again
        return delays[attempts_made - 1] if 1 <= attempts_made <= len(delays) else None


def sentence(toml: Path, model: type[BaseModel], problem: ErrorDetails) -> str:
    """Word one validation error of `model` for the operator: file, key and reason."""
    path = ".".join(str(part) for part in problem["loc"] if part != "[key]")
    reason = problem["msg"].removeprefix("Value error, ")
    if path == "name":
        return f"{toml.parent}: use only a-z, 0-9 and _ in the folder's name, and begin it with a letter"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(problem["loc"][-1]), _known_keys(model, problem["loc"]), 1)
        reason = "there is no such key" + (f"; did you mean {near[0]}?" if near else "")
    elif problem["type"] == "missing":
        reason = "this key is missing"
    return f"{toml}: {path + ': ' if path else ''}{reason[0].lower()}{reason[1:]}"


def _known_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    for part in loc[:-1]:
        inner = model.model_fields.get(str(part))
        if inner is None or not isinstance(inner.annotation, type) or not issubclass(inner.annotation, BaseModel):
            return list(Question.model_fields)  # the only keys that the operator names: [answers.NAME]
        model = inner.annotation
    return list(model.model_fields)
