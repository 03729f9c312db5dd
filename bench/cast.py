"""People made for measuring: each does one thing again and again, so that a few calls give many figures."""

from typing import Final

from sandbox.people import Person
from sandbox.telephone import Telephone

CHAT_S: Final = 60.0
"""How long a chatterer goes on."""


async def hears_first_word(phone: Telephone) -> None:
    """Say hello, hear the caller's voice, and hang up."""
    await phone.say("hello")
    if await phone.caller_speaks(15):
        await phone.pause(phone.random.uniform(0.4, 1.2))


async def asks(phone: Telephone) -> None:
    """Take turns: each of the questions when the caller has finished."""
    await phone.say("hello")
    for question in ("how_much", "are_you_robot", "how_much", "are_you_robot"):
        if not await phone.caller_finishes(15):
            break
        await phone.say(question)
    await phone.caller_finishes(10)
    await phone.say("goodbye")
    await phone.until_hung_up(4)


async def talks_over_answers(phone: Telephone) -> None:
    """Hear the greeting out, ask, and talk over each answer."""
    await phone.say("hello")
    if await phone.caller_finishes(20):
        await phone.say("how_much")
        for interruption in ("wait_who_is_this", "how_much", "wait_who_is_this"):
            await phone.pause(0.3)
            if not await phone.caller_speaks(10):
                break
            await phone.pause(phone.random.uniform(0.8, 1.8))
            await phone.say(interruption)
        await phone.caller_finishes(15)
        await phone.say("goodbye")
    await phone.until_hung_up(4)


async def talks_over_greeting(phone: Telephone) -> None:
    """Ask something in the middle of the greeting, then agree. The question's answer repeats nothing of the greeting."""
    if await phone.caller_speaks(15):
        await phone.pause(phone.random.uniform(1.0, 2.0))
        await phone.say("are_you_robot")
        await phone.caller_finishes(15)
        await phone.say("yes_confirm")
        await phone.caller_finishes(8)
        await phone.say("goodbye")
    await phone.until_hung_up(4)


async def says_hello_over_greeting(phone: Telephone) -> None:
    """Say hello a little late, as people do who were waiting for somebody to speak, then agree."""
    if await phone.caller_speaks(15):
        await phone.pause(phone.random.uniform(1.0, 2.0))
        await phone.say("hello")
        await phone.caller_finishes(15)
        await phone.say("yes_confirm")
        await phone.caller_finishes(8)
        await phone.say("goodbye")
    await phone.until_hung_up(4)


async def chatters(phone: Telephone) -> None:
    """Keep the conversation going for a minute, listening to each answer."""
    await phone.say("hello")
    left_s = CHAT_S
    while left_s > 0 and await phone.caller_finishes(10):
        question = phone.random.choice(["how_much", "are_you_robot", "wait_who_is_this"])
        await phone.say(question)
        left_s -= 8  # a question, its answer, and the pauses between
    await phone.say("goodbye")
    await phone.until_hung_up(4)


CAST: Final = {
    script.__name__: Person(script.__name__, script=script, rings_s=(0.2, 0.4))
    for script in (
        hears_first_word,
        asks,
        talks_over_answers,
        talks_over_greeting,
        says_hello_over_greeting,
        chatters,
    )
}
