"""The contract between the dialer and the bot: the Brief that goes out, and the Report that comes back.

Both sides hold one secret. A brief travels as flat strings, the `<Parameter>`s of the TeXML document, and arrives in the
stream's `start` message. A report comes back over HTTP. Each is signed. So a stranger who finds the agent's open WebSocket
gets no contact's conversation, and a stranger who finds the callbacks server cannot write an outcome.

The bot's image holds this module and no other one of `campaigns`, so it needs pydantic and nothing else. It has more than
300 lines because both sides are easier to compare with a contract that stands in one file.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

BRIEF_TTL_S: Final = 900
"""The bot refuses an older brief. A call rings for at most 120 s, and waits in Telnyx's queue before that."""

CLOCK_SKEW_S: Final = 60
"""How far the other side's clock may be ahead of ours."""

CALLBACK_LIMIT: Final = timedelta(days=366)
"""A time to call again that is farther from the call than this is a mistake: of the model, or of its clock."""

SIGNATURE_HEADER: Final = "dialout-signature"

_PART = re.compile(r"(?P<name>.+)\.(?P<number>[1-9][0-9]*)")
_CONTACT = "contact_"


Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC))]
"""An instant that a working clock may show. Python cannot convert instants near year 1 or 9999 to every time zone."""


class Disposition(StrEnum):
    """How an attempt ended. The list is closed: every attempt ends in exactly one of these."""

    COMPLETED = "completed"  # the bot and the contact had their conversation
    CALLBACK = "callback"  # the person asked to be called at another time
    DO_NOT_CALL = "do_not_call"  # the person asked never to be called again, or was already on the do-not-call list
    WRONG_NUMBER = "wrong_number"  # somebody answered, but not our contact
    VOICEMAIL = "voicemail"  # a machine answered
    NO_ANSWER = "no_answer"  # it rang until the ring timeout
    BUSY = "busy"
    REJECTED = "rejected"  # the contact or their network declined the call
    INVALID_NUMBER = "invalid_number"  # the number reaches nobody, now or later
    CANCELED = "canceled"  # we took it back: the campaign was stopped, or we hung up before an answer
    FAILED = "failed"  # the fault is ours (account, network, bot), never the contact's
    UNCONFIRMED = "unconfirmed"  # we asked the carrier to dial and cannot learn whether it did


class Direction(StrEnum):
    """Who rang whom."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class BriefRefused(ValueError):
    """The parameters are no brief of ours, or too old: end the call before it costs anything at a provider."""


class MessageRefused(ValueError):
    """The body was not signed with our secret, or was signed too long ago: answer 403 and change nothing."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Question(_Frozen):
    """One answer to collect: what the bot asks, and what counts as an answer."""

    key: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    ask: str
    type: Literal["text", "integer", "yes_no", "choice"] = "text"
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None

    @model_validator(mode="after")
    def _choices_belong_to_choice(self) -> Self:
        if (self.type == "choice") != bool(self.choices):
            raise ValueError('choices go with type = "choice", and with no other type')
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum is larger than maximum")
        return self


class Voice(_Frozen):
    """How the bot sounds. An empty field means the bot's own default."""

    id: str = ""  # Cartesia's voice id
    model: str = ""
    language: str = "en"
    speed: float | None = Field(default=None, ge=0.6, le=1.5)  # Cartesia's range for sonic-3
    volume: float | None = Field(default=None, ge=0.5, le=2)
    emotion: str = ""
    fallback: str = ""  # the voice id that takes over if this one fails


Option = str | int | float | bool


class Model(_Frozen):
    """The language model that decides what to say. An empty field means the bot's own default."""

    name: str = ""
    temperature: float | None = Field(default=None, ge=0, le=2)
    fallback: str = ""  # the model that takes over if this one fails
    options: Mapping[str, Option] = Field(default_factory=dict)  # passed to OpenAI unchanged


class Listening(_Frozen):
    """How the bot hears, and when it takes its turn. Times are in seconds."""

    # What ends the contact's turn: the melody of their voice ("smart"), or a pause alone.
    turn_end: Literal["smart", "pause"] = "smart"
    # With "pause", the length of that pause. With "smart", how long the bot waits for the rest of an unfinished sentence.
    pause_s: float = Field(default=0.8, ge=0.2, le=3)
    voice_s: float = Field(default=0.2, ge=0.1, le=1)  # the bot stops after this much voice over its own
    opening: Literal["plays_on", "yields"] = "plays_on"  # what the greeting does when somebody says "hello?" over it
    patience_s: float = Field(default=5, ge=2, le=30)  # silence before "are you still there?", and again before the end
    model: str = ""  # Deepgram's; empty: the bot's own
    keyterms: tuple[str, ...] = ()  # words that Deepgram should expect, in addition to those of the contact's columns
    options: Mapping[str, Option] = Field(default_factory=dict)  # passed to Deepgram unchanged


class Hours(_Frozen):
    """When the contact may be called again, in their own zone. The bot accepts no other time for a call back."""

    zone: str  # IANA
    start: time
    end: time
    weekdays: tuple[int, ...]  # 0 is Monday


class Script(_Frozen):
    """The long part of a brief. It travels inside the brief if it fits; else the bot fetches it during the greeting."""

    instructions: str = ""
    voicemail: str = ""  # the message for a machine; empty: leave none
    screening: str = ""  # the answer to a call screen; empty: the greeting
    answers: tuple[Question, ...] = ()
    transfers: Mapping[str, str] = Field(default_factory=dict)  # name -> E.164: the people who may take over a call
    menus: Literal["hang_up", "press_keys"] = "hang_up"  # what the bot does about "press 1 for sales"
    hours: Hours | None = None
    time_limit_s: int = Field(default=540, ge=20)  # when the bot says goodbye, before the carrier cuts the call
    model: Model = Model()


class Brief(_Frozen):
    """Everything the bot is told about one attempt."""

    attempt_id: str
    campaign: str
    direction: Direction = Direction.OUTBOUND
    greeting: str  # the first words, rendered: the bot speaks them at once
    contact: Mapping[str, str] = Field(default_factory=dict)  # the columns that the templates use
    voice: Voice = Voice()
    listening: Listening = Listening()
    report_url: str
    brief_url: str = ""  # where the bot fetches the script, if it is not in this brief
    issued_at: int = Field(ge=0, lt=10**12)  # Unix seconds
    script: Script | None = None  # None: it is at brief_url


class Turn(_Frozen):
    """What one side says before the other one speaks."""

    role: Literal["bot", "contact"]
    text: str
    at_s: FiniteFloat  # when it began, in seconds since the start of the stream
    interrupted: bool = False
    latency_ms: int | None = None  # only for the bot's turns: from the contact's last sound to the bot's first


AnsweredBy = Literal["human", "voicemail", "screening", "fax", "menu", "nobody", "unknown"]
"""Who or what picked up, in the judgement of the bot together with the carrier's detection."""


class Joined(_Frozen):
    """The bot says that it is on the call. Until it has, we do not know that the person who answered hears anybody."""

    attempt_id: str
    call_sid: str = ""


class OptOut(_Frozen):
    """The person asks not to be called again. The bot sends it during the call, and it counts whatever the report says."""

    attempt_id: str  # empty: the bot had no brief, so the dialer asks the carrier who is on the call
    call_sid: str = ""
    reason: str = ""


class DetectionQuery(_Frozen):
    """The bot asks for the carrier's answering-machine detection. The dialer holds the answer back until there is news."""

    attempt_id: str
    known: str = ""  # what the bot has been told already: only something else is news


class DetectionAnswer(_Frozen):
    """What the carrier's detection has heard so far."""

    answered_by: Literal["human", "machine", "machine_ready", "fax", ""] = ""  # empty: it has heard nothing yet


class Report(_Frozen):
    """What came of a call. The bot sends it with the same `report_id` until the dialer acknowledges it."""

    report_id: str
    attempt_id: str
    disposition: Disposition
    reason: str = ""  # a sentence for the operator
    answers: Mapping[str, str | int | bool] = Field(default_factory=dict)
    transcript: tuple[Turn, ...] = ()
    call_sid: str = ""
    started_at: Moment
    ended_at: Moment
    callback_at: datetime | None = None  # it has a zone, or it is dropped
    first_audio_ms: int | None = None  # from receiving `start` to sending the first frame of the greeting
    ended_by: Literal["bot", "contact", "unknown"] = "unknown"
    answered_by: AnsweredBy = "unknown"
    message_left: bool = False  # a machine has the message, so later attempts need not leave it again
    usage: Mapping[str, float] = Field(default_factory=dict)  # such as "openai.prompt_tokens" or "deepgram.seconds"
    problems: tuple[str, ...] = ()  # what went wrong during the call, such as a script that could not be fetched

    @field_validator("callback_at")
    @classmethod
    def _only_a_plausible_time(cls, at: datetime | None, info: ValidationInfo) -> datetime | None:
        # The model may have made the time up. Without one, the campaign's own delay decides.
        ended = info.data.get("ended_at")
        return at if at and at.tzinfo and ended and abs(at - ended) <= CALLBACK_LIMIT else None


REPORTS_PATH: Final = "/reports"
"""The path of reports below the dialer's PUBLIC_URL. A brief holds the whole URL; a bot without a brief has a setting for it."""

JOINED_PATH: Final = "/joined"
"""The path, below a brief's `report_url`, to which the bot posts Joined."""

OPT_OUT_PATH: Final = "/opt-out"
"""The path, below `report_url`, to which the bot posts OptOut."""

DETECTION_PATH: Final = "/detection"
"""The path, below `report_url`, to which the bot posts DetectionQuery."""


# --- the brief on the wire --------------------------------------------------------------------------------------------


def to_parameters(brief: Brief, secret: str, *, parameter_limit: int = 500) -> dict[str, str]:
    """Flatten a brief into the named strings that travel as `<Parameter>`s, and sign them.

    Each value is the inside of a JSON string. So control characters and line breaks survive an XML attribute, and `{{`,
    which Telnyx would interpret, never appears. If name and value together have more than `parameter_limit` characters, the
    value is split over `name.1`, `name.2`, and so on.
    """
    wire = dict(_split(_flatten(brief), parameter_limit))
    wire["signature"] = _sign(secret, "brief", _canonical(wire))
    return wire


def from_parameters(parameters: Mapping[str, str], secret: str, now: float) -> Brief:
    """Read a brief back. Raises `BriefRefused` if it is unsigned, altered, cut or too old at `now` (Unix seconds)."""
    wire = dict(parameters)
    signature = wire.pop("signature", "")
    if not hmac.compare_digest(signature.encode(errors="replace"), _sign(secret, "brief", _canonical(wire)).encode()):
        raise BriefRefused(
            "the signature does not match the parameters: check that BRIEF_SECRET is the same on both sides"
        )
    try:
        brief = _unflatten(_join(wire))
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BriefRefused(f"the parameters are signed but are not a brief: {error}") from error
    age_s = now - brief.issued_at
    if not -CLOCK_SKEW_S <= age_s <= BRIEF_TTL_S:
        raise BriefRefused(f"the brief is {age_s:.0f} s old; it may be at most {BRIEF_TTL_S} s")
    return brief


def _flatten(brief: Brief) -> Iterator[tuple[str, str]]:
    yield "attempt_id", brief.attempt_id
    yield "campaign", brief.campaign
    yield "direction", brief.direction.value
    yield "greeting", brief.greeting
    for column, value in brief.contact.items():
        yield _CONTACT + column, value
    yield "voice", brief.voice.model_dump_json(exclude_defaults=True)
    yield "listening", brief.listening.model_dump_json(exclude_defaults=True)
    yield "report_url", brief.report_url
    yield "issued_at", str(brief.issued_at)
    if brief.script is None:
        yield "brief_url", brief.brief_url
        return
    yield "instructions", brief.script.instructions
    yield "voicemail", brief.script.voicemail
    yield "script", brief.script.model_dump_json(exclude={"instructions", "voicemail"}, exclude_defaults=True)


def _unflatten(flat: Mapping[str, str]) -> Brief:
    script = None
    if "instructions" in flat:
        texts = {name: flat[name] for name in ("instructions", "voicemail")}
        script = Script.model_validate_json(flat["script"]).model_copy(update=texts)
    return Brief(
        attempt_id=flat["attempt_id"],
        campaign=flat["campaign"],
        direction=Direction(flat["direction"]),
        greeting=flat["greeting"],
        contact={name.removeprefix(_CONTACT): text for name, text in flat.items() if name.startswith(_CONTACT)},
        voice=Voice.model_validate_json(flat["voice"]),
        listening=Listening.model_validate_json(flat["listening"]),
        report_url=flat["report_url"],
        brief_url=flat.get("brief_url", ""),
        issued_at=int(flat["issued_at"]),
        script=script,
    )


def _split(flat: Iterator[tuple[str, str]], limit: int) -> Iterator[tuple[str, str]]:
    for name, text in flat:
        value = _escape(text)
        if len(name) + len(value) <= limit:
            yield name, value
            continue
        room = limit - len(name) - len(".999")
        if room < 1:
            raise ValueError(f"the name {name!r} alone does not fit into a parameter of {limit} characters")
        for number, start in enumerate(range(0, len(value), room), 1):
            yield f"{name}.{number}", value[start : start + room]


def _join(wire: Mapping[str, str]) -> dict[str, str]:
    whole: dict[str, str] = {}
    parts: dict[str, dict[int, str]] = {}
    for name, value in wire.items():
        if part := _PART.fullmatch(name):
            parts.setdefault(part["name"], {})[int(part["number"])] = value
        else:
            whole[name] = value
    for name, pieces in parts.items():
        whole[name] = "".join(pieces[number] for number in sorted(pieces))
    return {name: _unescape(value) for name, value in whole.items()}


def _escape(text: str) -> str:
    # An XML attribute turns a line break into a space. U+FFFE, U+FFFF and lone surrogates make it unreadable.
    value = json.dumps(text, ensure_ascii=False)[1:-1].replace("{{", "{\\u007b")
    return re.sub("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]", lambda m: f"\\u{ord(m[0]):04x}", value)


def _unescape(value: str) -> str:
    return json.loads(f'"{value}"', strict=False)


def _canonical(wire: Mapping[str, str]) -> bytes:
    return json.dumps(sorted(wire.items())).encode()


# --- signed messages over HTTP ----------------------------------------------------------------------------------------


def sign_message(body: bytes, secret: str, *, purpose: str, now: float) -> str:
    """Return the value of the `dialout-signature` header for a body that is sent at `now` (Unix seconds).

    `purpose` is "report", "joined", "opt-out", "detection" or "script". A signature for one purpose is refused for another.
    """
    at = int(now)
    return f"t={at},v1={_sign(secret, purpose, str(at).encode() + b'.' + body)}"


def verify_message(body: bytes, header: str, secret: str, *, purpose: str, now: float, tolerance_s: int = 300) -> None:
    """Raise `MessageRefused` unless `sign_message` made `header` for this body, at most `tolerance_s` seconds ago."""
    match = re.fullmatch(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})", header)
    if match is None:
        raise MessageRefused(f"the {SIGNATURE_HEADER} header is missing, or does not have the form t=…,v1=…")
    if not hmac.compare_digest(match[2], _sign(secret, purpose, match[1].encode() + b"." + body)):
        raise MessageRefused("the signature does not match: check that BRIEF_SECRET is the same on both sides")
    if abs(now - int(match[1])) > tolerance_s:
        raise MessageRefused(f"the message was signed more than {tolerance_s} s ago, or its clock is wrong")


def _sign(secret: str, purpose: str, message: bytes) -> str:
    if not secret:
        raise ValueError("BRIEF_SECRET is empty: set the same long random string for the dialer and the bot")
    return hmac.new(secret.encode(), purpose.encode() + b"\n" + message, hashlib.sha256).hexdigest()
