"""Who picked up the call: a person, or which kind of machine. As soon as that is clear, the bot acts on it."""

import asyncio
import time
from typing import Final

from bot.call_screen import CallScreen
from bot.conversation import Conversation
from bot.dialer_client import DialerClient
from bot.floor import Floor
from bot.machines import Kind, is_backchannel
from bot.mailbox import Mailbox
from bot.side_tasks import SideTasks
from bot.speaker import Speaker
from campaigns.call import Disposition

DETECTION_S: Final = 60.0
"""How long we ask what the carrier's detection says: it decides within 30 s of the answer."""


class Callee:
    """The person or machine at the other end. What they say and sound like tells which, and the bot acts on it."""

    def __init__(
        self, conversation: Conversation, floor: Floor, speaker: Speaker, dialer: DialerClient, side_tasks: SideTasks
    ) -> None:
        self._conversation, self._floor, self._speaker = conversation, floor, speaker
        self._dialer, self._side_tasks = dialer, side_tasks
        self._impression = conversation.impression
        self.is_machine = False  # no turn is taken: we listen to a mailbox, or hang up on a fax or a menu
        self.screen: CallScreen | None = None

    @property
    def takes_turns(self) -> bool:
        """True while the contact's turns are answered: not with a mailbox, and not during the last words."""
        return not self.is_machine and not self._conversation.concluded

    def on_tone(self, tone: str) -> None:
        """Take in a beep, or the whistle of a fax."""
        if tone == "fax":
            self._impression.fax_tone = True
        else:
            self._impression.beeped = True
        self._recognize()

    def on_words(self, text: str, final: bool) -> None:  # noqa: FBT001 - the ear calls it by position
        """Take in words; `final` is False while they may still change."""
        if final:
            self._impression.hear(text)
        else:
            self._impression.so_far = text
        self._recognize()

    async def ask_detection(self) -> None:
        """Ask what the carrier's detection hears, for as long as that may matter."""
        until = time.monotonic() + DETECTION_S
        while time.monotonic() < until and self._impression.detected not in {"human", "machine_ready", "fax"}:
            if detected := await self._dialer.ask_detection(self._impression.detected):
                self._impression.detected = detected
                self._recognize()
            else:
                await asyncio.sleep(1)

    def _recognize(self) -> None:
        """Act on it if it has become clear who picked up."""
        if not self.takes_turns:
            return
        match self._impression.kind:
            case Kind.VOICEMAIL if self.screen is None:
                self.is_machine = True
                mailbox = Mailbox(self._conversation, self._floor, self._speaker)
                self._side_tasks.start(mailbox.leave_message())
            case Kind.FAX | Kind.MENU as kind if kind is Kind.FAX or not self._presses_keys:
                self.is_machine = True
                self._conversation.conclude(Disposition.VOICEMAIL, f"a machine answered: a {kind}", "")
            case Kind.SCREENING if self.screen is None:
                self.screen = CallScreen(self._conversation, self._floor, self._speaker)
                self._side_tasks.start(self.screen.tell())
            case _:
                pass

    @property
    def _presses_keys(self) -> bool:
        script = self._conversation.script
        return bool(script and script.menus == "press_keys")

    async def takes_over(self, text: str) -> bool:
        """Return True if the model is not to answer this turn, because we have answered it, or it needs no answer."""
        if not self.takes_turns:
            return True
        if self.screen is None:
            if self._floor.opening and self._floor.bot_speaking and not is_backchannel(text):
                self._side_tasks.start(self._yield_the_floor())
                return True
            return False
        if self.screen.hear(text):
            self.screen = None
            self._impression.put_through()
            brief = self._conversation.brief
            await self._speaker.say(brief.greeting if brief else "")
        return True

    async def _yield_the_floor(self) -> None:
        """Stop the greeting, and answer. It plays on over a "hello?", but not over somebody who says something."""
        await self._speaker.fall_silent()
        await self._speaker.answer()
