"""What people do on the telephone. Each script is a kind of person; they go by what they hear, and read no minds."""

import random
from collections.abc import Awaitable, Callable
from typing import Final, Protocol


class Line(Protocol):
    """A telephone as the person who holds it knows it."""

    random: random.Random

    @property
    def is_put_through(self) -> bool:
        """True once the caller has connected them with somebody else."""
        ...

    async def say(self, name: str) -> None:
        """Speak, and return when it has been spoken."""

    async def pause(self, seconds: float) -> None:
        """Wait."""

    async def caller_speaks(self, within: float = 12.0) -> bool:
        """Wait until the caller's voice is heard; False if it is not within so many seconds."""
        ...

    async def caller_finishes(self, within: float = 30.0) -> bool:
        """Wait until the caller has spoken and then been quiet for a moment; False if they never spoke."""
        ...

    async def press(self, digit: str) -> None:
        """Press a key."""

    async def until_hung_up(self, patience: float = 12.0) -> None:
        """Stay until the caller hangs up, or until they have been silent for too long."""


Script = Callable[[Line], Awaitable[None]]


HELLOS: Final = ("hello", "hello_yes")
AGREEMENTS: Final = ("yes_confirm", "yes_works", "yes_interested")


async def talks(line: Line) -> None:
    """Say hello, hear the caller out, agree, and say goodbye."""
    await line.say("hello")
    await _agrees(line, "yes_confirm")


async def _agrees(line: Line, words: str = "") -> None:
    """Hear the caller out, agree, and say goodbye."""
    if await line.caller_finishes():
        await line.say(words or line.random.choice(AGREEMENTS))
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up()


async def _asks_and_agrees(line: Line, question: str, *answers: str) -> None:
    """Ask something, hear the answer, and say one of these."""
    await line.say(line.random.choice(HELLOS))
    if await line.caller_finishes():
        await line.say(question)
        await line.caller_finishes(10)
        await line.say(line.random.choice(answers or AGREEMENTS))
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up()


async def interested(line: Line) -> None:
    """Ask what it costs, then like it."""
    await _asks_and_agrees(line, "how_much", "yes_interested")


async def asks_robot(line: Line) -> None:
    """Ask whether this is a robot, then agree."""
    await _asks_and_agrees(line, line.random.choice(["are_you_robot", "robot_am_i"]))


async def declines(line: Line) -> None:
    """Politely decline."""
    await line.say("hello")
    await _agrees(line, line.random.choice(["no_thanks", "no_thanks", "not_now"]))


async def answers(line: Line) -> None:
    """Answer a survey's three questions: a score, a yes or no, a comment."""
    await line.say("hello")
    for reply in (line.random.choice(["score_eight", "score_three"]), "answer_yes", "comment_friendly"):
        if not await line.caller_finishes():
            break
        await line.say(reply)
    await line.until_hung_up()


async def silent_then_talks(line: Line) -> None:
    """Answer, and find their voice after four seconds."""
    await line.pause(line.random.uniform(3.8, 4.4))
    await line.say(line.random.choice(HELLOS))
    await _agrees(line)


async def slow_talker(line: Line) -> None:
    """Think in mid-sentence: half a second, or somewhat more."""
    await line.say(line.random.choice(HELLOS))
    if await line.caller_finishes():
        sentences = [("slow_well", "slow_think", "slow_yes"), ("slow_so", "slow_whether", "slow_then")]
        for number, part in enumerate(line.random.choice(sentences)):
            if number:
                await line.pause(line.random.uniform(0.5, 0.7))
            await line.say(part)
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up()


async def backchannels(line: Line) -> None:
    """Say "mm-hm" while the caller speaks, as one does, then agree."""
    await line.say(line.random.choice(HELLOS))
    if await line.caller_speaks():
        for _ in range(line.random.choice([1, 2])):
            await line.pause(line.random.uniform(0.9, 1.6))
            await line.say(line.random.choice(["mm_hm", "uh_huh", "right"]))
    await _agrees(line)


async def hello_over(line: Line) -> None:
    """Say hello just when the caller has begun, then listen and agree."""
    if await line.caller_speaks():
        await line.pause(line.random.uniform(0.3, 0.8))
        await line.say(line.random.choice(HELLOS))
    await _agrees(line)


async def interrupts(line: Line) -> None:
    """Talk over the greeting, then listen and agree."""
    await line.say("hello")
    if await line.caller_speaks():
        await line.pause(line.random.uniform(1.0, 1.6))
        await line.say(line.random.choice(["wait_who_is_this", "about_what"]))
        await line.caller_finishes(10)
        await line.say("yes_confirm")
        await line.caller_finishes(8)
        await line.say("goodbye")
    await line.until_hung_up()


async def hangs_up(line: Line) -> None:
    """Hang up as soon as it sounds like a machine."""
    if await line.caller_speaks():
        await line.pause(line.random.uniform(0.5, 1.5))


async def hangs_up_mid(line: Line) -> None:
    """Ask something, and hang up in the middle of the answer."""
    await line.say(line.random.choice(HELLOS))
    if await line.caller_finishes():
        await line.say(line.random.choice(["how_much", "about_what"]))
        if await line.caller_speaks():
            await line.pause(line.random.uniform(0.6, 1.5))


async def wrong_number(line: Line) -> None:
    """Say that this is somebody else."""
    await line.say("hello")
    if await line.caller_finishes():
        await line.say("wrong_number")
    await line.until_hung_up()


async def opts_out(line: Line) -> None:
    """Ask never to be called again."""
    await line.say("hello")
    if await line.caller_finishes():
        await line.say("stop_calling")
    await line.until_hung_up()


async def opts_out_rudely(line: Line) -> None:
    """Cut in, and never want to be called again."""
    await line.say(line.random.choice(HELLOS))
    if await line.caller_speaks():
        await line.pause(line.random.uniform(1.0, 3.0))
        await line.say(line.random.choice(["opt_out_ever", "opt_out_lose", "opt_out_sick"]))
    await line.until_hung_up()


async def presses_9(line: Line) -> None:
    """Opt out by key, in the middle of the greeting."""
    if await line.caller_speaks():
        await line.pause(1.0)
        await line.press("9")
    await line.until_hung_up()


async def callback(line: Line) -> None:
    """Ask to be called later."""
    await line.say("hello")
    if await line.caller_finishes():
        await line.say("cannot_talk")
    await line.until_hung_up()


async def wants_later(line: Line) -> None:
    """Name a time to be called again; if that does not suit, any will do."""
    await line.say(line.random.choice(HELLOS))
    if await line.caller_finishes():
        await line.say(line.random.choice(["later_tomorrow", "later_friday", "later_hours"]))
        if await line.caller_finishes(10):
            await line.say("cannot_talk")
    await line.until_hung_up()


async def wants_person(line: Line) -> None:
    """Ask for a real person, and wait for them."""
    await line.say(line.random.choice(HELLOS))
    if await line.caller_finishes():
        await line.say(line.random.choice(["person_real", "person_desk", "person_through"]))
        if await line.caller_finishes(10) and not line.is_put_through:
            await line.say("yes_confirm")
    await line.until_hung_up()


async def silent(line: Line) -> None:
    """Answer, and say nothing at all."""
    await line.until_hung_up(patience=40)


# --- machines ---------------------------------------------------------------------------------------------------------


async def voicemail(line: Line) -> None:
    """A machine: its greeting, its tone, and then the tape runs until the caller has been quiet for a while."""
    await _takes_message(line, line.random.choice(["voicemail_greeting", "voicemail_network"]))


async def voicemail_long(line: Line) -> None:
    """A machine whose greeting takes twelve seconds."""
    await _takes_message(line, "voicemail_long")


async def _takes_message(line: Line, greeting: str) -> None:
    await line.pause(line.random.uniform(0.3, 0.7))
    await line.say(greeting)
    await line.pause(line.random.uniform(0.3, 0.8))
    await line.say(line.random.choice(["beep", "beep_low"]))
    await line.until_hung_up(patience=5)


async def voicemail_no_beep(line: Line) -> None:
    """A machine that records without a tone."""
    await line.pause(line.random.uniform(0.3, 0.7))
    await line.say("voicemail_nobody")
    await line.until_hung_up(patience=8)


async def voicemail_full(line: Line) -> None:
    """A machine that takes no message, and hangs up."""
    await line.pause(line.random.uniform(0.3, 0.7))
    await line.say("voicemail_full")
    await line.pause(0.5)


async def menu(line: Line) -> None:
    """A company's menu: said twice, then it hangs up."""
    for _ in range(2):
        await line.pause(line.random.uniform(0.3, 0.6))
        await line.say("menu")
        await line.pause(line.random.uniform(3.5, 4.5))


async def screening(line: Line) -> None:
    """A call screen asks who is calling; then the person comes on."""
    if await _screens(line):
        await line.say(line.random.choice(["screening_connect", "screening_stay"]))
        await line.pause(line.random.uniform(1.0, 2.5))
        await talks(line)


async def screening_rejects(line: Line) -> None:
    """A call screen asks who is calling; the person does not want to talk to them."""
    if await _screens(line):
        await line.pause(line.random.uniform(1.0, 3.0))
        await line.say("screening_no")
        await line.pause(0.5)


async def _screens(line: Line) -> bool:
    """Ask for name and purpose, as the network, Google or Apple does; False if the caller tells nothing."""
    await line.say(line.random.choice(["screening", "screening_google", "screening_apple"]))
    return await line.caller_finishes()


async def fax(line: Line) -> None:
    """Whistle as a fax does that answers, or that calls, and give up."""
    tone, gap = line.random.choice([("fax_answer", 2.0), ("fax_answer", 2.0), ("fax_tone", 3.0)])
    for _ in range(3):
        await line.say(tone)
        await line.pause(gap)
