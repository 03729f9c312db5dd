"""People made for measuring: each does one thing again and again, so that a few calls give many figures."""

from typing import Final

from sandbox.people import Line, Person

CHAT_S: Final = 60.0
"""How long a chatterer goes on."""


async def hears_first_word(line: Line) -> None:
    """Say hello, hear the caller's voice, and hang up."""
    await line.say("hello")
    if await line.caller_speaks(15):
        await line.pause(line.random.uniform(0.4, 1.2))


async def asks(line: Line) -> None:
    """Take turns: each of the questions when the caller has finished."""
    await line.say("hello")
    for question in ("how_much", "are_you_robot", "how_much", "are_you_robot"):
        if not await line.caller_finishes(15):
            break
        await line.say(question)
    await line.caller_finishes(10)
    await line.say("goodbye")
    await line.until_hung_up(4)


async def talks_over_answers(line: Line) -> None:
    """Hear the greeting out, ask, and talk over each answer."""
    await line.say("hello")
    if await line.caller_finishes(20):
        await line.say("how_much")
        for interruption in ("wait_who_is_this", "how_much", "wait_who_is_this"):
            await line.pause(0.3)
            if not await line.caller_speaks(10):
                break
            await line.pause(line.random.uniform(0.8, 1.8))
            await line.say(interruption)
        await line.caller_finishes(15)
        await line.say("goodbye")
    await line.until_hung_up(4)


async def talks_over_greeting(line: Line) -> None:
    """Ask something in the middle of the greeting, then agree. The question's answer repeats nothing of the greeting."""
    if await line.caller_speaks(15):
        await line.pause(line.random.uniform(1.0, 2.0))
        await line.say("are_you_robot")
        await line.caller_finishes(15)
        await line.say("yes_confirm")
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up(4)


async def says_hello_over_greeting(line: Line) -> None:
    """Say hello a little late, as people do who were waiting for somebody to speak, then agree."""
    if await line.caller_speaks(15):
        await line.pause(line.random.uniform(1.0, 2.0))
        await line.say("hello")
        await line.caller_finishes(15)
        await line.say("yes_confirm")
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up(4)


async def chatters(line: Line) -> None:
    """Keep the conversation going for a minute, listening to each answer."""
    await line.say("hello")
    left_s = CHAT_S
    while left_s > 0 and await line.caller_finishes(10):
        question = line.random.choice(["how_much", "are_you_robot", "wait_who_is_this"])
        await line.say(question)
        left_s -= 8  # a question, its answer, and the pauses between
    await line.say("goodbye")
    await line.until_hung_up(4)


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
