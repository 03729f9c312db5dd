"""The contract between the dialer and the bot: the Brief that goes out, the Report that comes back.

Both sides hold one secret. The brief travels as flat strings, the `<Parameter>`s of the TeXML document, and arrives
in the stream's `start` message; the report comes back over HTTP. Each is signed, so that whoever finds the agent's
open WebSocket gets no contact's conversation, and whoever finds the callbacks server cannot write an outcome.

This module is one of the two files of ours in the bot's image. It needs pydantic and nothing else.
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
"""A brief older than this is refused: longer than any ring (120 s at most) plus the queue before it."""

CLOCK_SKEW_S: Final = 60
"""How far ahead of ours the other side's clock may be."""

CALLBACK_LIMIT: Final = timedelta(days=366)
"""Nobody who asks to be called again means a time farther from the call than this."""

SIGNATURE_HEADER: Final = "dialout-signature"

_PART = re.compile(r"(?P<name>.+)\.(?P<number>[1-9][0-9]*)")
_CONTACT = "contact_"


Moment = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC))]
"""What a clock may show: times beyond it cannot be reckoned with in every zone."""


class Disposition(StrEnum):
    """How an attempt ended. Closed: every attempt ends in exactly one of these."""

    COMPLETED = "completed"  # a conversation was had
    CALLBACK = "callback"  # the person asked to be called at another time
    DO_NOT_CALL = "do_not_call"  # the person asked never to be called again, or was on the list already
    WRONG_NUMBER = "wrong_number"  # somebody answered, but not our contact
    VOICEMAIL = "voicemail"  # a machine answered
    NO_ANSWER = "no_answer"  # it rang until the time was up
    BUSY = "busy"
    REJECTED = "rejected"  # the callee, or their network, declined
    INVALID_NUMBER = "invalid_number"  # nobody can be reached there, now or later
    CANCELED = "canceled"  # we took it back: stopped, or hung up before an answer
    FAILED = "failed"  # our fault (account, network, bot), never the contact's
    UNCONFIRMED = "unconfirmed"  # we asked the carrier to dial and cannot learn whether it did


class Direction(StrEnum):
    """Who rang whom."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class BriefRefused(ValueError):
    """The parameters are not a brief of ours, or not of now: end the call before a provider is asked for anything."""


class MessageRefused(ValueError):
    """The body was not signed with our secret, or too long ago: answer 403 and change nothing."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Question(_Frozen):
    """One answer to collect: what to ask, and what counts as an answer."""

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
    """How the bot sounds. Empty means the bot's own default."""

    id: str = ""  # Cartesia's voice id
    model: str = ""
    language: str = "en"
    speed: float | None = Field(default=None, ge=0.6, le=1.5)  # Cartesia's range for sonic-3
    volume: float | None = Field(default=None, ge=0.5, le=2)
    emotion: str = ""
    fallback: str = ""  # the voice to go on with if this one fails


Option = str | int | float | bool


class Model(_Frozen):
    """The language model that thinks. Empty means the bot's own default."""

    name: str = ""
    temperature: float | None = Field(default=None, ge=0, le=2)
    fallback: str = ""  # the model to go on with if this one fails
    options: Mapping[str, Option] = Field(default_factory=dict)  # passed on to OpenAI as they are


class Listening(_Frozen):
    """How the bot hears, and how turns are taken. Seconds."""

    turn_end: Literal["smart", "pause"] = "smart"  # a turn ends by the sound of the voice, or by a pause alone
    pause_s: float = Field(
        default=0.8, ge=0.2, le=3
    )  # that pause; with "smart", how long an open sentence is waited for
    voice_s: float = Field(default=0.2, ge=0.1, le=1)  # so much voice over the bot's stops it
    opening: Literal["plays_on", "yields"] = "plays_on"  # what the greeting does when somebody says "hello?" over it
    patience_s: float = Field(
        default=5, ge=2, le=30
    )  # of silence before "are you still there?", and again before the end
    model: str = ""  # Deepgram's; empty: the bot's own
    keyterms: tuple[str, ...] = ()  # words to expect, beside the contact's own
    options: Mapping[str, Option] = Field(default_factory=dict)  # passed on to Deepgram as they are


class Hours(_Frozen):
    """When the contact may be called again, in their own zone: what `call_back_later` is held against."""

    zone: str  # IANA
    start: time
    end: time
    weekdays: tuple[int, ...]  # 0 is Monday


class Script(_Frozen):
    """The long part of a brief: inline where it fits, else fetched from `brief_url` during the greeting."""

    instructions: str = ""
    voicemail: str = ""  # what to leave on a machine; empty: leave nothing
    screening: str = ""  # what to tell a call screen; empty: the greeting
    answers: tuple[Question, ...] = ()
    transfers: Mapping[str, str] = Field(default_factory=dict)  # name -> E.164: to whom a call may be handed over
    menus: Literal["hang_up", "press_keys"] = "hang_up"  # what to do about "press 1 for sales"
    hours: Hours | None = None
    time_limit_s: int = Field(default=540, ge=20)  # the bot says goodbye then: before the carrier cuts
    model: Model = Model()


class Brief(_Frozen):
    """Everything the bot is told about one attempt."""

    attempt_id: str
    campaign: str
    direction: Direction = Direction.OUTBOUND
    greeting: str  # the first words, rendered: spoken at once
    contact: Mapping[str, str] = Field(default_factory=dict)  # the columns that the templates use
    voice: Voice = Voice()
    listening: Listening = Listening()
    report_url: str
    brief_url: str = ""  # where the script is, if it is not here
    issued_at: int = Field(ge=0, lt=10**12)  # Unix seconds
    script: Script | None = None  # None: at brief_url


class Turn(_Frozen):
    """One side's uninterrupted say."""

    role: Literal["bot", "contact"]
    text: str
    at_s: FiniteFloat  # when it began, in seconds since the stream's start
    interrupted: bool = False
    latency_ms: int | None = None  # of the bot's: from the contact's last sound to its first


AnsweredBy = Literal["human", "voicemail", "screening", "fax", "menu", "nobody", "unknown"]
"""Who picked up, as the bot and the carrier's detection together see it."""


class Joined(_Frozen):
    """The bot says that it is on the call. Without it, whoever answered is listening to nobody."""

    attempt_id: str
    call_sid: str = ""


class OptOut(_Frozen):
    """The person asks not to be called again. Sent during the call: it is a fact at once, whatever the report says."""

    attempt_id: str  # empty: the bot had no brief, and the dialer asks the carrier who is on the call
    call_sid: str = ""
    reason: str = ""


class DetectionQuery(_Frozen):
    """The bot asks what the carrier's answering-machine detection has heard; the answer waits for it for a while."""

    attempt_id: str
    known: str = ""  # what it has been told already: answered when something else is known


class DetectionAnswer(_Frozen):
    """What it has heard so far."""

    answered_by: Literal["human", "machine", "machine_ready", "fax", ""] = ""  # empty: nothing yet


class Report(_Frozen):
    """What the bot says came of a call. Sent again with the same `report_id` until it is acknowledged."""

    report_id: str
    attempt_id: str
    disposition: Disposition
    reason: str = ""  # a sentence for the operator
    answers: Mapping[str, str | int | bool] = Field(default_factory=dict)
    transcript: tuple[Turn, ...] = ()
    call_sid: str = ""
    started_at: Moment
    ended_at: Moment
    callback_at: datetime | None = None  # with a zone, or it is left out
    first_audio_ms: int | None = None  # `start` received -> first frame of the greeting sent
    ended_by: Literal["bot", "contact", "unknown"] = "unknown"
    answered_by: AnsweredBy = "unknown"
    message_left: bool = False  # on a machine: it need not be left again
    usage: Mapping[str, float] = Field(
        default_factory=dict
    )  # "openai.prompt_tokens", "deepgram.seconds", … -> how many
    problems: tuple[str, ...] = ()  # what went wrong on the way, e.g. that the script could not be fetched

    @field_validator("callback_at")
    @classmethod
    def _only_what_can_be_meant(cls, at: datetime | None, info: ValidationInfo) -> datetime | None:
        # A model may have made it up. Without it, the campaign's own delay decides.
        ended = info.data.get("ended_at")
        return at if at and at.tzinfo and ended and abs(at - ended) <= CALLBACK_LIMIT else None


REPORTS_PATH: Final = "/reports"
"""Where, below the dialer's PUBLIC_URL, the bot reports. A brief says it in full; without one, the bot goes by its setting."""

JOINED_PATH: Final = "/joined"
"""Where, below a brief's `report_url`, the bot says that it is on the call."""

OPT_OUT_PATH: Final = "/opt-out"
"""Where it says that the person wants no more calls."""

DETECTION_PATH: Final = "/detection"
"""Where it asks who the carrier believes has answered."""


# --- the brief on the wire --------------------------------------------------------------------------------------------


def to_parameters(brief: Brief, secret: str, *, parameter_limit: int = 500) -> dict[str, str]:
    """Flatten a brief into the named strings that travel as `<Parameter>`s, signed.

    A value is the inside of a JSON string: control characters and line breaks survive an XML attribute, and `{{`, which
    Telnyx would interpret, never appears. A value whose name and text pass `parameter_limit` characters is split over
    `name.1`, `name.2`, …
    """
    wire = dict(_split(_flatten(brief), parameter_limit))
    wire["signature"] = _sign(secret, "brief", _canonical(wire))
    return wire


def from_parameters(parameters: Mapping[str, str], secret: str, now: float) -> Brief:
    """Read a brief back; raises `BriefRefused` if it is unsigned, altered, cut, or not of now (Unix seconds)."""
    wire = dict(parameters)
    signature = wire.pop("signature", "")
    if not hmac.compare_digest(signature.encode(errors="replace"), _sign(secret, "brief", _canonical(wire)).encode()):
        raise BriefRefused(
            "the signature does not fit the parameters: check that BRIEF_SECRET is the same on both sides"
        )
    try:
        brief = _unflatten(_join(wire))
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BriefRefused(f"the parameters are signed but are no brief: {error}") from error
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
        long = {name: flat[name] for name in ("instructions", "voicemail")}
        script = Script.model_validate_json(flat["script"]).model_copy(update=long)
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
    # XML attributes turn a line break into a space, and U+FFFE/U+FFFF and lone surrogates into a parse error.
    value = json.dumps(text, ensure_ascii=False)[1:-1].replace("{{", "{\\u007b")
    return re.sub("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]", lambda m: f"\\u{ord(m[0]):04x}", value)


def _unescape(value: str) -> str:
    return json.loads(f'"{value}"', strict=False)


def _canonical(wire: Mapping[str, str]) -> bytes:
    return json.dumps(sorted(wire.items())).encode()


# --- signed messages over HTTP ----------------------------------------------------------------------------------------


def sign_message(body: bytes, secret: str, *, purpose: str, now: float) -> str:
    """Return the value of the `dialout-signature` header for a body sent at `now` (Unix seconds).

    `purpose` ("report", "joined", "opt-out", "detection", "script") keeps a signature made for one door from opening another.
    """
    at = int(now)
    return f"t={at},v1={_sign(secret, purpose, str(at).encode() + b'.' + body)}"


def verify_message(body: bytes, header: str, secret: str, *, purpose: str, now: float, tolerance_s: int = 300) -> None:
    """Raise `MessageRefused` unless `header` is `sign_message`'s for this body, at most `tolerance_s` ago."""
    match = re.fullmatch(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})", header)
    if match is None:
        raise MessageRefused(f"the {SIGNATURE_HEADER} header is missing or not of the form t=…,v1=…")
    if not hmac.compare_digest(match[2], _sign(secret, purpose, match[1].encode() + b"." + body)):
        raise MessageRefused("the signature does not fit: check that BRIEF_SECRET is the same on both sides")
    if abs(now - int(match[1])) > tolerance_s:
        raise MessageRefused(f"the message was signed more than {tolerance_s} s ago, or its clock is wrong")


def _sign(secret: str, purpose: str, message: bytes) -> str:
    if not secret:
        raise ValueError("BRIEF_SECRET is empty: set the same long random string for the dialer and the bot")
    return hmac.new(secret.encode(), purpose.encode() + b"\n" + message, hashlib.sha256).hexdigest()
