"""The conversation's timing: the first word, being talked over, and replies."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.analysis import BargeIn, percentile, spread, was_heard
from bench.calls import GREETING, GREETING_S, VOICE, Call, Ring, place_all
from bench.result import Result, Row, Size
from bench.stage import LLM_MS, OURS, RIVAL, STT_MS, TTS_MS, Stage

FIRST_WORD_MEDIAN_MS: Final = TTS_MS + 100
FIRST_WORD_P99_MS: Final = TTS_MS + 250
BARGE_IN_MEDIAN_MS: Final = 350
INJECTED_MS: Final = TTS_MS + LLM_MS + STT_MS
REPLY_MEDIAN_MS: Final = INJECTED_MS + 500
NEARLY_S: Final = 0.5
OVER_GREETING: Final = {"talks_over_greeting": "a question", "says_hello_over_greeting": "a hello"}
BOTH: Final = (OURS, RIVAL)


async def _side_by_side(stage: Stage, person: str, size: Size) -> dict[str, list[Call]]:
    """Place calls to both agents by turns, so that noise hits both; the first call of each process does not count."""
    await place_all(stage, [Ring("hears_first_word", agent) for agent in BOTH], at_once=1)
    rings = [Ring(person, agent) for _ in range(size.calls) for agent in BOTH]
    calls = await place_all(stage, rings, at_once=size.at_once)
    return {agent: [call for call in calls if call.ring.agent == agent] for agent in BOTH}


async def first_word(folder: Path, size: Size) -> Result:
    """`start` sent until the bot's first word, as it arrives and as it is heard."""
    async with Stage(folder, agents=BOTH) as stage:
        calls = await _side_by_side(stage, "hears_first_word", size)
    arrivals = {agent: [call.timeline.first("bot_audio") for call in calls[agent]] for agent in BOTH}
    rows: list[Row] = []
    for agent in BOTH:
        heard = [call.timeline.first("bot_starts") for call in calls[agent]]
        rows += [{"bot": agent, "until": "arrival", **spread(arrivals[agent])}]
        rows += [{"bot": agent, "until": "ear", **spread(heard)}]
    median, p99 = (percentile(arrivals[OURS], point) * 1000 for point in (50, 99))
    theirs = percentile(arrivals[RIVAL], 50) * 1000
    return Result(
        "first-word",
        median <= FIRST_WORD_MEDIAN_MS and p99 <= FIRST_WORD_P99_MS,
        f"the first word after {median:.0f} ms (median; at most {FIRST_WORD_MEDIAN_MS:.0f}) and {p99:.0f} ms (p99; at "
        f"most {FIRST_WORD_P99_MS:.0f}), of which {TTS_MS:.0f} are the voice's; the rival {theirs / median:.1f} times "
        "as long",
        rows,
    )


async def barge_in(folder: Path, size: Size) -> Result:
    """Talked over until `clear`; over answers, which decides, and over the greeting."""
    async with Stage(folder, agents=BOTH) as stage:
        calls = await _side_by_side(stage, "talks_over_answers", size)
        rings = [Ring(person) for _ in range(size.calls) for person in OVER_GREETING]
        over_greeting = await place_all(stage, rings, at_once=size.at_once)
        fates = Counter([(call.ring.person, await _fate_of_greeting(stage, call)) for call in over_greeting])
    rows: list[Row] = []
    for agent in BOTH:
        found = [barge for call in calls[agent] for barge in call.timeline.barge_ins() if barge.over == "answer"]
        rows += _barge_rows(agent, "an answer", found)
    for person, what in OVER_GREETING.items():
        mine = [call for call in over_greeting if call.ring.person == person]
        found = [barge for call in mine for barge in call.timeline.barge_ins()[:1] if barge.over == "greeting"]
        rows += _barge_rows(OURS, f"the greeting: {what}", found)
    median = percentile(
        [b.cleared_s for call in calls[OURS] for b in call.timeline.barge_ins() if b.over == "answer"], 50
    )
    asked = [call for call in over_greeting if call.ring.person == "talks_over_greeting"]
    noted = sum(_heard_by_bot(call, "robot") for call in asked)
    told = "; ".join(
        f"{OVER_GREETING[person]}: {fate}, {count} times" for (person, fate), count in sorted(fates.items())
    )
    return Result(
        "barge-in",
        median * 1000 <= BARGE_IN_MEDIAN_MS and noted == len(asked),
        f"clear after {_ms(median)} (median; at most {BARGE_IN_MEDIAN_MS} ms) when talked over in an answer; "
        f"the greeting, talked over by {told}; the question was in {noted} of {len(asked)} reports",
        rows,
    )


def _barge_rows(agent: str, over: str, found: Sequence[BargeIn]) -> list[Row]:
    head = {"bot": agent, "over": over}
    return [
        head | {"until": "clear", **spread([barge.cleared_s for barge in found])},
        head | {"until": "silent at the ear", **spread([barge.silent_s for barge in found])},
    ]


async def _fate_of_greeting(stage: Stage, call: Call) -> str:
    barges = [barge for barge in call.timeline.barge_ins() if barge.over == "greeting"]
    if not barges:
        return "not talked over"
    if not was_heard(await stage.heard(call.sid), GREETING.split()[-1], VOICE):
        return "cut"
    # The last word of an utterance is the end of its own: who falls silent before was stopped, and began again.
    since, until = call.timeline.spans("bot")[0]
    return "played on" if until - since > GREETING_S - NEARLY_S else "resumed"


def _heard_by_bot(call: Call, word: str) -> bool:
    turns = call.report.transcript if call.report else ()
    return any(turn.role == "contact" and word in turn.text.lower() for turn in turns)


async def reply(folder: Path, size: Size) -> Result:
    """The person has spoken until the bot's answer."""
    async with Stage(folder, agents=BOTH) as stage:
        calls = await _side_by_side(stage, "asks", size)
    pauses = {agent: [pause for call in calls[agent] for pause in call.timeline.replies()] for agent in BOTH}
    rows: list[Row] = []
    for agent in BOTH:
        rows += [{"bot": agent, "until": "arrival", **spread([arrived for arrived, _ in pauses[agent]])}]
        rows += [{"bot": agent, "until": "ear", **spread([heard for _, heard in pauses[agent]])}]
    median, theirs = (percentile([arrived for arrived, _ in pauses[agent]], 50) for agent in BOTH)
    return Result(
        "reply",
        median * 1000 <= REPLY_MEDIAN_MS,
        f"an answer after {_ms(median)} (median; at most {REPLY_MEDIAN_MS:.0f} ms), of which {INJECTED_MS:.0f} are the "
        f"providers'; the rival's after {_ms(theirs)}",
        rows,
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if math.isfinite(seconds) else "no time at all: never"
