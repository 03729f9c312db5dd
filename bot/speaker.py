"""What the parts of a talk need in order to speak, think and fall silent. `bot/saying.py` does it with the pipeline."""

from typing import Protocol


class Speaker(Protocol):
    """The bot's voice and thoughts, as the parts of a talk use them."""

    async def say(self, words: str) -> None:
        """Speak an utterance once what is being said is over. Does not wait until it is heard."""

    async def until_heard(self, last_words: str) -> bool:
        """Wait until everything up to these last words has been heard; False if the carrier does not say so in time."""
        ...

    async def play(self, sound: bytes) -> None:
        """Play a recording (16-bit samples at 8 kHz), which needs no provider, and wait until it has been heard."""

    async def fall_silent(self) -> None:
        """Drop everything that was to be said; returns once no more of it comes."""

    async def answer(self) -> None:
        """Have the model answer the contact's last turn anew: what it cut off is not resumed."""

    async def think(self) -> None:
        """Have the model say what comes next."""

    async def speak_with(self, voice: str) -> None:
        """Continue with another voice of Cartesia's."""

    async def think_with(self, model: str) -> None:
        """Continue with another model of OpenAI's."""
