"""One call's conversation: what was said, what was learned, and how it ends. All that a call knows is kept here."""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, Literal

from bot.machines import Impression, Kind
from bot.phrases import phrases
from bot.settings import BotSettings
from campaigns.call import AnsweredBy, Brief, Disposition, Report, Script, Turn


class Conversation:
    """What happens on one call. The bot ends it with `conclude`, and only the first conclusion counts."""

    def __init__(self, brief: Brief | None, call_sid: str) -> None:
        self.brief, self.call_sid = brief, call_sid
        self.script: Script | None = brief.script if brief else None  # fetched later if the brief has only its URL
        self.phrases = phrases(self.language)
        self.impression = Impression()
        self.started_at = datetime.now(UTC)
        self.began = time.monotonic()
        self.turns: list[Turn] = []
        self.answers: dict[str, str | int | bool] = {}
        self.problems: list[str] = []
        self.callback_at: datetime | None = None
        self.disposition: Disposition | None = None
        self.reason = ""
        self.ended_by: Literal["bot", "contact", "unknown"] = "unknown"
        self.first_audio_ms: int | None = None
        self.contact_left = asyncio.Event()
        self.hung_up = False  # by us, and the carrier has confirmed that the call is over
        self.message_left = False  # on a machine
        self.handed_over = ""  # the name of the person whom the contact was connected with: the call goes on without us
        self.usage: dict[str, float] = {}
        self._say_goodbye: Callable[[str], Coroutine[Any, Any, None]] | None = None
        self._goodbye: asyncio.Task[None] | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the stream's start."""
        return round(time.monotonic() - self.began, 2)

    @property
    def concluded(self) -> bool:
        """True once it is decided how the call ends: the last words may still have to be said."""
        return self.disposition is not None

    @property
    def contact_has_spoken(self) -> bool:
        """True if the contact has said words."""
        return any(turn.role == "contact" for turn in self.turns)

    @property
    def language(self) -> str:
        """The language that the bot speaks."""
        return self.brief.voice.language if self.brief else "en"

    @property
    def fallback_voice(self) -> str:
        """The voice to continue with if the first one fails; "" for the same one."""
        return self.brief.voice.fallback if self.brief else ""

    @property
    def fallback_model(self) -> str:
        """The model to continue with if the first one fails; "" for the same one."""
        return self.script.model.fallback if self.script else ""

    def time_limit_s(self, settings: BotSettings) -> float:
        """Return the length at which the bot ends the call."""
        if self.brief is None:
            return settings.unbriefed_call_s
        return self.script.time_limit_s if self.script else settings.max_call_s

    def on_goodbye(self, say: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        """Register the function that speaks the last words, waits until they are heard, and hangs up."""
        self._say_goodbye = say

    def heard(self, text: str, began: datetime | None = None) -> None:
        """Add a turn of the contact. `began` is when they began to speak."""
        if text.strip():
            at_s = round((began - self.started_at).total_seconds(), 2) if began else self.seconds
            self._add(Turn(role="contact", text=text.strip(), at_s=max(0.0, at_s)))

    def said(self, text: str, *, began: float = 0.0, interrupted: bool = False, latency_ms: int | None = None) -> None:
        """Add a turn of the bot. `began` is when it began to speak, on the monotonic clock; 0: now."""
        if text.strip():
            at_s = round(began - self.began, 2) if began else self.seconds
            self._add(Turn(role="bot", text=text.strip(), at_s=at_s, interrupted=interrupted, latency_ms=latency_ms))

    def _add(self, turn: Turn) -> None:
        """Keep turns in the order in which they began. One that was talked over is complete only after the other has begun."""
        self.turns.append(turn)
        self.turns.sort(key=lambda turn: turn.at_s)

    def problem(self, text: str) -> None:
        """Add something that went wrong, and that the operator should know. The same text is added once."""
        if text not in self.problems:
            self.problems.append(text[:300])

    def conclude(self, disposition: Disposition, reason: str, goodbye: str | None = None) -> None:
        """End the call with this disposition and these last words; None: the usual ones. A second conclusion changes nothing."""
        if self.disposition is not None:
            return
        self.disposition, self.reason, self.ended_by = disposition, reason, "bot"
        words = self.phrases.goodbyes.get(disposition, "") if goodbye is None else goodbye
        if self._say_goodbye:
            # A task of its own: an interruption may cancel the tool that asked for the end, and must not cancel the end.
            self._goodbye = asyncio.create_task(self._say_goodbye(words))

    async def settled(self) -> None:
        """Wait until the last words are over, if there are any."""
        if self._goodbye:
            await asyncio.wait({self._goodbye}, timeout=15)

    def left(self) -> None:
        """Note that the contact hung up, or that the connection broke."""
        self.contact_left.set()
        if self.disposition is not None:
            return
        if self.handed_over:
            self.ended_by, self.disposition = "bot", Disposition.COMPLETED
            self.reason = f"handed over to {self.handed_over}"
            return
        self.ended_by = "contact"
        match self.impression.kind:
            case Kind.VOICEMAIL:
                self.disposition, self.reason = Disposition.VOICEMAIL, "a mailbox answered, and took no message"
            case Kind.MENU | Kind.FAX as kind:
                self.disposition, self.reason = Disposition.VOICEMAIL, f"a machine answered: a {kind}"
            case Kind.SCREENING:
                self.disposition, self.reason = Disposition.REJECTED, "a call screen did not put us through"
            case _ if self.contact_has_spoken:
                self.disposition, self.reason = Disposition.COMPLETED, "the contact hung up after talking with the bot"
            case _ if self.first_audio_ms is None:
                self.disposition, self.reason = Disposition.FAILED, "the contact hung up before the bot said anything"
            case _:
                self.disposition, self.reason = Disposition.REJECTED, "the contact hung up without a word"

    @property
    def _answered_by(self) -> AnsweredBy:
        """Who picked up, as far as we can tell."""
        kind = self.impression.kind
        if kind:
            return kind.value
        return "nobody" if self.disposition is Disposition.NO_ANSWER else "unknown"

    def report(self) -> Report:
        """Return what came of the call."""
        return Report(
            report_id=str(uuid.uuid4()),
            attempt_id=self.brief.attempt_id if self.brief else "",
            disposition=self.disposition or Disposition.FAILED,
            reason=self.reason or "the call ended before the bot could conclude it",
            answers=self.answers,
            callback_at=self.callback_at,
            transcript=tuple(self.turns[:500]),
            call_sid=self.call_sid,
            started_at=self.started_at,
            ended_at=datetime.now(UTC),
            first_audio_ms=self.first_audio_ms,
            ended_by=self.ended_by,
            answered_by=self._answered_by,
            message_left=self.message_left,
            usage=self.usage,
            problems=tuple(self.problems[:20]),
        )
