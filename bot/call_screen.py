"""A call screen has picked up: tell it who is calling and why, then wait for the person, who may not come."""

import asyncio
import time
from typing import Final

from bot import silence
from bot.conversation import Conversation
from bot.floor import Floor
from bot.machines import screen_says
from bot.speaker import Speaker
from campaigns.call import Disposition

SCREEN_QUIET_S: Final = 0.7
"""A call screen that has been quiet for this long waits for our answer."""

SCREEN_S: Final = 40.0
"""How long a screen may let us wait for the person."""

_TICK_S: Final = 0.05


class CallScreen:
    """The call screen that one call has reached."""

    def __init__(self, conversation: Conversation, floor: Floor, speaker: Speaker) -> None:
        self._conversation, self._floor, self._speaker = conversation, floor, speaker
        self._since = time.monotonic()
        self._told = False

    async def tell(self) -> None:
        """Say our name and purpose once the screen has asked for them."""
        await self._speaker.fall_silent()
        while silence.contact_quiet_s(self._floor, time.monotonic()) < SCREEN_QUIET_S:  # noqa: ASYNC110
            await asyncio.sleep(_TICK_S)
        script, brief = self._conversation.script, self._conversation.brief
        words = (script.screening if script else "") or (brief.greeting if brief else "")
        self._told = True
        await self._speaker.say(words)

    def hear(self, text: str) -> bool:
        """Take in what was said; True if it is a person at last. If the screen refuses us, the call ends."""
        if not self._told:
            return False
        answer = screen_says(text)
        if answer == "no":
            self._conversation.conclude(Disposition.REJECTED, "a call screen did not put us through", "")
        return answer == "person"

    @property
    def is_overdue(self) -> bool:
        """True once the screen has let us wait for too long."""
        return time.monotonic() - self._since > SCREEN_S
