"""What people do on the telephone: one script for each kind of person. They act on what they hear, and on nothing else."""

from typing import Final

from sandbox.telephone import Telephone

HELLOS: Final = ("hello", "hello_yes")
AGREEMENTS: Final = ("yes_confirm", "yes_works", "yes_interested")


async def talks(phone: Telephone) -> None:
    """Say hello, hear the caller out, agree, and say goodbye."""
    await phone.say("hello")
    await _agrees(phone, "yes_confirm")


async def _agrees(phone: Telephone, words: str = "") -> None:
    """Hear the caller out, agree with these words (or some of AGREEMENTS), and say goodbye."""
    if await phone.caller_finishes():
        await phone.say(words or phone.random.choice(AGREEMENTS))
        await phone.caller_finishes(8)
        await phone.say("goodbye")
    await phone.until_hung_up()


async def _asks_and_agrees(phone: Telephone, question: str, *answers: str) -> None:
    """Ask something, hear the answer, and reply with one of `answers` (or of AGREEMENTS)."""
    await phone.say(phone.random.choice(HELLOS))
    if await phone.caller_finishes():
        await phone.say(question)
        await phone.caller_finishes(10)
        await phone.say(phone.random.choice(answers or AGREEMENTS))
        await phone.caller_finishes(8)
        await phone.say("goodbye")
    await phone.until_hung_up()


async def interested(phone: Telephone) -> None:
    """Ask what it costs, then accept."""
    await _asks_and_agrees(phone, "how_much", "yes_interested")


async def asks_robot(phone: Telephone) -> None:
    """Ask whether this is a robot, then agree."""
    await _asks_and_agrees(phone, phone.random.choice(["are_you_robot", "robot_am_i"]))


async def declines(phone: Telephone) -> None:
    """Politely decline."""
    await phone.say("hello")
    await _agrees(phone, phone.random.choice(["no_thanks", "no_thanks", "not_now"]))


async def answers(phone: Telephone) -> None:
    """Answer the three questions of a survey: a score, a yes, a comment."""
    await phone.say("hello")
    for reply in (phone.random.choice(["score_eight", "score_three"]), "answer_yes", "comment_friendly"):
        if not await phone.caller_finishes():
            break
        await phone.say(reply)
    await phone.until_hung_up()


async def silent_then_talks(phone: Telephone) -> None:
    """Answer the telephone, and speak only after about four seconds."""
    await phone.pause(phone.random.uniform(3.8, 4.4))
    await phone.say(phone.random.choice(HELLOS))
    await _agrees(phone)


async def slow_talker(phone: Telephone) -> None:
    """Pause for half a second or more in the middle of a sentence."""
    await phone.say(phone.random.choice(HELLOS))
    if await phone.caller_finishes():
        sentences = [("slow_well", "slow_think", "slow_yes"), ("slow_so", "slow_whether", "slow_then")]
        for number, part in enumerate(phone.random.choice(sentences)):
            if number:
                await phone.pause(phone.random.uniform(0.5, 0.7))
            await phone.say(part)
        await phone.caller_finishes(8)
        await phone.say("goodbye")
    await phone.until_hung_up()


async def backchannels(phone: Telephone) -> None:
    """Say "mm-hm" while the caller speaks, as listeners do, then agree."""
    await phone.say(phone.random.choice(HELLOS))
    if await phone.caller_speaks():
        for _ in range(phone.random.choice([1, 2])):
            await phone.pause(phone.random.uniform(0.9, 1.6))
            await phone.say(phone.random.choice(["mm_hm", "uh_huh", "right"]))
    await _agrees(phone)


async def hello_over(phone: Telephone) -> None:
    """Say hello just after the caller has begun, then listen and agree."""
    if await phone.caller_speaks():
        await phone.pause(phone.random.uniform(0.3, 0.8))
        await phone.say(phone.random.choice(HELLOS))
    await _agrees(phone)


async def interrupts(phone: Telephone) -> None:
    """Talk over the greeting, then listen and agree."""
    await phone.say("hello")
    if await phone.caller_speaks():
        await phone.pause(phone.random.uniform(1.0, 1.6))
        await phone.say(phone.random.choice(["wait_who_is_this", "about_what"]))
        await phone.caller_finishes(10)
        await phone.say("yes_confirm")
        await phone.caller_finishes(8)
        await phone.say("goodbye")
    await phone.until_hung_up()


async def hangs_up(phone: Telephone) -> None:
    """Hang up a moment after the caller has begun, without a word."""
    if await phone.caller_speaks():
        await phone.pause(phone.random.uniform(0.5, 1.5))


async def hangs_up_mid(phone: Telephone) -> None:
    """Ask something, and hang up in the middle of the answer."""
    await phone.say(phone.random.choice(HELLOS))
    if await phone.caller_finishes():
        await phone.say(phone.random.choice(["how_much", "about_what"]))
        if await phone.caller_speaks():
            await phone.pause(phone.random.uniform(0.6, 1.5))


async def wrong_number(phone: Telephone) -> None:
    """Say that this is somebody else."""
    await phone.say("hello")
    if await phone.caller_finishes():
        await phone.say("wrong_number")
    await phone.until_hung_up()


async def opts_out(phone: Telephone) -> None:
    """Ask never to be called again."""
    await phone.say("hello")
    if await phone.caller_finishes():
        await phone.say("stop_calling")
    await phone.until_hung_up()


async def opts_out_rudely(phone: Telephone) -> None:
    """Cut in, and ask rudely never to be called again."""
    await phone.say(phone.random.choice(HELLOS))
    if await phone.caller_speaks():
        await phone.pause(phone.random.uniform(1.0, 3.0))
        await phone.say(phone.random.choice(["opt_out_ever", "opt_out_lose", "opt_out_sick"]))
    await phone.until_hung_up()


async def presses_9(phone: Telephone) -> None:
    """Press 9 to opt out, in the middle of the greeting."""
    if await phone.caller_speaks():
        await phone.pause(1.0)
        await phone.press("9")
    await phone.until_hung_up()


async def callback(phone: Telephone) -> None:
    """Ask to be called later."""
    await phone.say("hello")
    if await phone.caller_finishes():
        await phone.say("cannot_talk")
    await phone.until_hung_up()


async def wants_later(phone: Telephone) -> None:
    """Name a time to be called again; if the caller cannot call then, ask for any other time."""
    await phone.say(phone.random.choice(HELLOS))
    if await phone.caller_finishes():
        await phone.say(phone.random.choice(["later_tomorrow", "later_friday", "later_hours"]))
        if await phone.caller_finishes(10):
            await phone.say("cannot_talk")
    await phone.until_hung_up()


async def wants_person(phone: Telephone) -> None:
    """Ask for a real person, and wait; agree if the caller does not put them through."""
    await phone.say(phone.random.choice(HELLOS))
    if await phone.caller_finishes():
        await phone.say(phone.random.choice(["person_real", "person_desk", "person_through"]))
        if await phone.caller_finishes(10) and not phone.is_put_through:
            await phone.say("yes_confirm")
    await phone.until_hung_up()


async def silent(phone: Telephone) -> None:
    """Answer the telephone, and say nothing at all."""
    await phone.until_hung_up(patience=40)
