"""Who has answered, and what machines are answered with: a mailbox with a message, a screen with our name and purpose."""

import asyncio
import time
from typing import TYPE_CHECKING, Final

from bot import dialer
from bot.machines import Kind, is_backchannel, screen_says
from campaigns.call import Brief, Disposition

if TYPE_CHECKING:
    from bot.talk import Talk

DETECTION_S: Final = 60.0
"""How long the carrier's detection is asked about: it decides within 30 s of the answer."""

QUIET_S: Final = 1.8
"""A mailbox that has been quiet for so long records: longer than the pauses within a greeting."""

SCREEN_QUIET_S: Final = 0.7
"""A call screen that has been quiet for so long waits for our answer."""

GREETING_S: Final = 45.0
"""The longest greeting that is waited for. They last 10 s, rarely 30."""

SCREEN_S: Final = 40.0
"""How long a screen may keep us waiting for the person."""

TALKED_OVER_S: Final = 0.8
"""So much voice over our message means that the greeting was not over."""

_TRIES: Final = 3
_TONE: Final = "its tone"
_BY_THE_CARRIER: Final = "its tone, by the carrier's ear"
_TICK_S: Final = 0.05


class Answering:
    """Finds out who is there, and acts on it as soon as it is clear."""

    def __init__(self, talk: "Talk") -> None:
        self._talk = talk
        self.beep = asyncio.Event()
        self.machine = False  # nobody's turn begins: a mailbox is listened to, or a fax or a menu let go
        self.screen: Screen | None = None

    @property
    def attends(self) -> bool:
        """True while turns are taken: not with a mailbox, and not during the last words."""
        return not self.machine and self._talk.conversation.disposition is None

    def on_tone(self, tone: str) -> None:
        """There was a beep, or a fax whistles."""
        if tone == "fax":
            self._talk.conversation.impression.fax_tone = True
        else:
            self.beep.set()
            self._talk.conversation.impression.beeped = True
        self._recognize()

    def on_words(self, text: str, final: bool) -> None:  # noqa: FBT001 - the ear calls it by position
        """Something was said, or is being said."""
        impression = self._talk.conversation.impression
        if final:
            impression.hear(text)
        else:
            impression.so_far = text
        self._recognize()

    async def ask_detection(self, brief: Brief) -> None:
        """Have the carrier's detection tell what it hears, while that may matter."""
        secret = self._talk.settings.brief_secret.get_secret_value()
        impression = self._talk.conversation.impression
        until = time.monotonic() + DETECTION_S
        while time.monotonic() < until and impression.detected not in {"human", "machine_ready", "fax"}:
            if told := await dialer.ask_detection(brief, impression.detected, secret):
                impression.detected = told
                self._recognize()
            else:
                await asyncio.sleep(1)

    def _recognize(self) -> None:
        """Act on what has become clear about who is there."""
        conversation = self._talk.conversation
        if not self.attends:
            return
        match conversation.impression.kind:
            case Kind.VOICEMAIL if self.screen is None:
                self.machine = True
                self._talk.beside(leave_message(self._talk))
            case Kind.FAX | Kind.MENU as kind if kind is Kind.FAX or not self._presses_keys:
                self.machine = True
                conversation.conclude(Disposition.VOICEMAIL, f"a machine answered: a {kind}", "")
            case Kind.SCREENING if self.screen is None:
                self.screen = Screen(self._talk)
                self._talk.beside(self.screen.tell())
            case _:
                pass

    @property
    def _presses_keys(self) -> bool:
        script = self._talk.conversation.script
        return bool(script and script.menus == "press_keys")

    async def takes_over(self, text: str) -> bool:
        """True if a turn is not the model's to answer."""
        talk, floor = self._talk, self._talk.floor
        if not self.attends:
            return True
        if self.screen is None:
            if floor.opening and floor.bot_speaking and not is_backchannel(text):
                talk.beside(self._yield_the_floor())
                return True
            return False
        if self.screen.person_speaks(text):
            self.screen = None
            talk.conversation.impression.put_through()
            brief = talk.conversation.brief
            await talk.say(brief.greeting if brief else "")
        return True

    async def _yield_the_floor(self) -> None:
        """The greeting plays on over a "hello?", but not over somebody who has really said something."""
        await self._talk.fall_silent()
        await self._talk.answer()


# --- a mailbox --------------------------------------------------------------------------------------------------------


async def leave_message(talk: "Talk") -> None:
    """Wait for the mailbox's tone, or for its silence, leave the campaign's message, and hang up."""
    conversation = talk.conversation
    await talk.fall_silent()
    message = conversation.script.voicemail if conversation.script else ""
    if not message:
        conversation.conclude(Disposition.VOICEMAIL, "a mailbox answered; the campaign leaves no message", "")
        return
    told = set[str]()
    for _ in range(_TRIES):
        if not (signal := await _signal(talk, told)):
            break
        told.add(signal)
        if await _speak(talk, message, sure=signal == _TONE):
            conversation.message_left = True
            conversation.conclude(Disposition.VOICEMAIL, f"a mailbox answered; the message was left after {signal}", "")
            return
    conversation.conclude(Disposition.VOICEMAIL, "a mailbox answered, and never let us leave a message", "")


async def _signal(talk: "Talk", told: set[str]) -> str:
    """Wait until the mailbox records; returns what told it, or nothing. The carrier is believed once."""
    floor = talk.floor
    until = time.monotonic() + GREETING_S
    while (now := time.monotonic()) < until:
        if talk.answering.beep.is_set():
            return _TONE
        if talk.conversation.impression.detected == "machine_ready" and _BY_THE_CARRIER not in told:
            return _BY_THE_CARRIER
        heard = floor.contact_heard_at and not floor.contact_speaking
        if heard and now - floor.contact_heard_at > QUIET_S and not floor.bot_speaking:
            return "its silence"
        await asyncio.sleep(_TICK_S)
    return ""


async def _speak(talk: "Talk", message: str, *, sure: bool) -> bool:
    """Leave the message; False if the mailbox went on speaking meanwhile."""
    floor = talk.floor
    await talk.say(message)
    began = 0.0
    until = time.monotonic() + 10 + len(message) / 8
    while time.monotonic() < until:
        await asyncio.sleep(_TICK_S)
        if floor.contact_speaking and not sure:
            began = began or time.monotonic()
            if time.monotonic() - began > TALKED_OVER_S:
                await talk.fall_silent()
                return False
        else:
            began = 0.0
        if floor.bot_heard_at and not floor.bot_speaking and not floor.owed_since and not floor.to_say:
            return True
    return True


# --- a call screen ----------------------------------------------------------------------------------------------------


class Screen:
    """A call screen: told who is calling and why, then waited for until the person comes, or does not."""

    def __init__(self, talk: "Talk") -> None:
        self._talk = talk
        self._since = time.monotonic()
        self._told = False

    async def tell(self) -> None:
        """Say our name and purpose once the screen has asked."""
        floor = self._talk.floor
        await self._talk.fall_silent()
        while floor.contact_speaking or time.monotonic() - floor.contact_heard_at < SCREEN_QUIET_S:  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S)
        conversation = self._talk.conversation
        script, brief = conversation.script, conversation.brief
        words = (script.screening if script else "") or (brief.greeting if brief else "")
        self._told = True
        await self._talk.say(words)

    def person_speaks(self, text: str) -> bool:
        """Take in what was said since; True if it is a person at last."""
        if not self._told:
            return False
        answer = screen_says(text)
        if answer == "no":
            self._talk.conversation.conclude(Disposition.REJECTED, "a call screen did not put us through", "")
        return answer == "person"

    @property
    def overdue(self) -> bool:
        """True once it has kept us waiting for too long."""
        return time.monotonic() - self._since > SCREEN_S
