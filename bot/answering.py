"""What machines are answered with: a mailbox with a message after its tone, a call screen with our name and purpose."""

import asyncio
import time
from typing import Final, Protocol

from bot.conversation import Conversation
from bot.floor import Floor
from bot.machines import screen_says
from campaigns.call import Disposition

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
_TICK_S: Final = 0.05


class Talk(Protocol):
    """What the machines' side needs of the talk."""

    conversation: Conversation
    floor: Floor
    beep: asyncio.Event

    async def say(self, words: str) -> None: ...

    async def fall_silent(self) -> None: ...


async def leave_message(talk: Talk) -> None:
    """Wait for the mailbox's tone, or for its silence, leave the campaign's message, and hang up."""
    conversation = talk.conversation
    await talk.fall_silent()
    message = conversation.script.voicemail if conversation.script else ""
    if not message:
        conversation.conclude(Disposition.VOICEMAIL, "a mailbox answered; the campaign leaves no message", "")
        return
    for _ in range(_TRIES):
        if not (signal := await _signal(talk)):
            break
        if await _speak(talk, message, sure=signal == "its tone"):
            conversation.conclude(Disposition.VOICEMAIL, f"a mailbox answered; the message was left after {signal}", "")
            return
    conversation.conclude(Disposition.VOICEMAIL, "a mailbox answered, and never let us leave a message", "")


async def _signal(talk: Talk) -> str:
    """Wait until the mailbox records; returns what told it, or nothing."""
    floor = talk.floor
    until = time.monotonic() + GREETING_S
    while (now := time.monotonic()) < until:
        if talk.beep.is_set():
            return "its tone"
        if talk.conversation.impression.detected == "machine_ready":
            return "its tone, by the carrier's ear"
        heard = floor.contact_heard_at and not floor.contact_speaking
        if heard and now - floor.contact_heard_at > QUIET_S and not floor.bot_speaking:
            return "its silence"
        await asyncio.sleep(_TICK_S)
    return ""


async def _speak(talk: Talk, message: str, *, sure: bool) -> bool:
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


class Screen:
    """A call screen: told who is calling and why, then waited for until the person comes, or does not."""

    def __init__(self, talk: Talk) -> None:
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
