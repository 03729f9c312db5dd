"""What answers besides people: voicemail, menus, call screens, faxes. One script for each."""

from sandbox.scripts import talks
from sandbox.telephone import Telephone


async def voicemail(phone: Telephone) -> None:
    """Play a greeting and a tone, then record until the caller has been quiet for five seconds."""
    await _takes_message(phone, phone.random.choice(["voicemail_greeting", "voicemail_network"]))


async def voicemail_long(phone: Telephone) -> None:
    """Play a greeting of twelve seconds and a tone, then record."""
    await _takes_message(phone, "voicemail_long")


async def _takes_message(phone: Telephone, greeting: str) -> None:
    await phone.pause(phone.random.uniform(0.3, 0.7))
    await phone.say(greeting)
    await phone.pause(phone.random.uniform(0.3, 0.8))
    await phone.say(phone.random.choice(["beep", "beep_low"]))
    await phone.until_hung_up(patience=5)


async def voicemail_no_beep(phone: Telephone) -> None:
    """Play a greeting without a tone, then record."""
    await phone.pause(phone.random.uniform(0.3, 0.7))
    await phone.say("voicemail_nobody")
    await phone.until_hung_up(patience=8)


async def voicemail_full(phone: Telephone) -> None:
    """Say that the mailbox is full, and hang up."""
    await phone.pause(phone.random.uniform(0.3, 0.7))
    await phone.say("voicemail_full")
    await phone.pause(0.5)


async def menu(phone: Telephone) -> None:
    """Say a company's menu twice, and hang up."""
    for _ in range(2):
        await phone.pause(phone.random.uniform(0.3, 0.6))
        await phone.say("menu")
        await phone.pause(phone.random.uniform(3.5, 4.5))


async def screening(phone: Telephone) -> None:
    """Ask who is calling, as a call screen does; then the person takes the call."""
    if await _screens(phone):
        await phone.say(phone.random.choice(["screening_connect", "screening_stay"]))
        await phone.pause(phone.random.uniform(1.0, 2.5))
        await talks(phone)


async def screening_rejects(phone: Telephone) -> None:
    """Ask who is calling, as a call screen does; then the person declines the call."""
    if await _screens(phone):
        await phone.pause(phone.random.uniform(1.0, 3.0))
        await phone.say("screening_no")
        await phone.pause(0.5)


async def _screens(phone: Telephone) -> bool:
    """Ask for name and purpose, as the network, Google or Apple does; False if the caller says nothing."""
    await phone.say(phone.random.choice(["screening", "screening_google", "screening_apple"]))
    return await phone.caller_finishes()


async def fax(phone: Telephone) -> None:
    """Send the tones of a fax that answers, or of one that calls, three times; then hang up."""
    tone, gap = phone.random.choice([("fax_answer", 2.0), ("fax_answer", 2.0), ("fax_tone", 3.0)])
    for _ in range(3):
        await phone.say(tone)
        await phone.pause(gap)
