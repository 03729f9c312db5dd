"""How calls end: is the last word heard, and what happens when a provider fails."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.analysis import Timeline, missing_end_s, percentile
from bench.calls import Call, Ring, fill, follow, place, place_all
from bench.result import Result, Row, Size
from bench.stage import LATENCIES, Stage
from campaigns.call import Disposition

JITTER_S: Final = 0.3
INAUDIBLE_S: Final = 0.03
"""A frame and a half: words end softly."""

LONGEST_SILENCE_S: Final = 6.0
ENDED_BY_THE_BOT: Final = ("talks", "opts_out", "wrong_number")


async def last_word(folder: Path, size: Size) -> Result:
    """How much of the bot's last utterance is cut off by its hang-up."""
    async with Stage(folder, jitter_s=JITTER_S) as stage:
        rings = [Ring(ENDED_BY_THE_BOT[n % len(ENDED_BY_THE_BOT)], voice=f"voice-{n}") for n in range(size.calls)]
        calls = await place_all(stage, rings, at_once=size.at_once)
        spoken = last_utterances(await stage.window("spoken"))
        missing = {call.attempt_id: await _missing(stage, call, spoken) for call in calls}
    rows = [
        _ending_row(person, [call for call in calls if call.ring.person == person], missing)
        for person in ENDED_BY_THE_BOT
    ]
    ours = [call for call in calls if _ended_by_bot(call)]
    cut = [call for call in ours if missing[call.attempt_id] > INAUDIBLE_S]
    return Result(
        "last-word",
        bool(ours) and not cut,
        f"{len(ours) - len(cut)} of {len(ours)} calls that the bot ended were heard to the last word's end, behind a "
        f"jitter buffer of {JITTER_S * 1000:.0f} ms",
        rows,
    )


def _ending_row(person: str, calls: list[Call], missing: Mapping[str, float]) -> Row:
    ours = [missing[call.attempt_id] for call in calls if _ended_by_bot(call)]
    # Where something went wrong, one example says more than a count.
    worst = max(calls, key=lambda call: missing[call.attempt_id] if _ended_by_bot(call) else 0.0)
    is_cut = _ended_by_bot(worst) and missing[worst.attempt_id] > INAUDIBLE_S
    return {
        "person": person,
        "calls": len(calls),
        "ended_by_the_bot": len(ours),
        "whole": sum(seconds <= INAUDIBLE_S for seconds in ours),
        "missing_median_ms": round(percentile(ours, 50) * 1000) if ours else None,
        "missing_worst_ms": round(max(ours) * 1000) if ours else None,
        "a_cut_one": f"{worst.attempt_id}: {_told_of(worst)}" if is_cut else "",
    }


def _told_of(call: Call) -> str:
    """Return what the bot believes that it said last, and how the call ended."""
    if not call.report:
        return "no report"
    said = [turn for turn in call.report.transcript if turn.role == "bot"]
    last = f"“{said[-1].text}”{' (interrupted)' if said[-1].interrupted else ''}" if said else "nothing said"
    return f"{last}, {call.report.disposition}: {call.report.reason}"


def _ended_by_bot(call: Call) -> bool:
    return call.record.get("hangup_source") == "caller" and call.record.get("hangup_cause") != "time_limit"


async def _missing(stage: Stage, call: Call, spoken: Mapping[str, str]) -> float:
    text = spoken.get(call.ring.voice, "")
    return missing_end_s(await stage.heard(call.sid), text, call.ring.voice)


def last_utterances(spoken: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the last text that was spoken in each voice, and not taken back."""
    return {entry["voice"]: entry["text"] for entry in spoken if not entry.get("cancelled") and entry["text"].strip()}


# --- faults -----------------------------------------------------------------------------------------------------------

PROVIDERS: Final = ("openai", "deepgram", "cartesia")
MODES: Final = ("refuse", "500", "hang", "die_mid")
MIDDLE_WITHIN_S: Final = 30.0
"""How long the middle of a call is waited for: the greeting takes some six seconds."""

_LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Fault:
    """One provider misbehaves in one way: from the call's start, or from its middle, once its greeting is answered."""

    provider: str
    mode: str
    when: str  # "start", "middle"


FAULTS: Final = tuple(
    Fault(provider, mode, when) for provider in PROVIDERS for mode in MODES for when in ("start", "middle")
)


async def faults(folder: Path, size: Size) -> Result:
    """The longest silence at the callee's ear when a provider fails. Each of `at_once` stages has its own providers."""
    left = [fault for fault in FAULTS for _ in range(size.calls)]
    found: list[tuple[Fault, Call]] = []

    async def work(number: int) -> None:
        async with Stage(folder / f"stage-{number}") as stage:
            await place_all(stage, [Ring("hears_first_word")], at_once=1)
            while left:
                fault = left.pop(0)
                found.append((fault, await _call_with(stage, fault)))

    await asyncio.gather(*(work(number) for number in range(size.at_once)))
    found.sort(key=lambda pair: FAULTS.index(pair[0]))
    rows = [_fault_row(fault, call) for fault, call in found]
    silent = [row for row in rows if float(row["longest_silence_s"] or 0) > LONGEST_SILENCE_S]
    lost = [row for row in rows if row["disposition"] is None]
    worst = max(rows, key=lambda row: float(row["longest_silence_s"] or 0))
    return Result(
        "faults",
        not silent and not lost,
        f"{len(rows)} faults: {len(silent)} left the callee in silence for more than {LONGEST_SILENCE_S:.0f} s (the "
        f"worst: {worst['longest_silence_s']} s, {worst['provider']} {worst['fault']}), {len(lost)} without a report",
        rows,
    )


async def _call_with(stage: Stage, fault: Fault) -> Call:
    broken = {fault.provider: {"mode": fault.mode}}
    ring = Ring("interested", time_limit_s=90)
    if fault.when == "start":
        await stage.providers(broken)
    call = await place(stage, ring)
    following = asyncio.create_task(follow(stage, call))
    if fault.when == "middle":
        await _middle(stage, call)
        await stage.providers(broken)
    await following
    await stage.providers({provider: {"mode": "ok", **LATENCIES[provider]} for provider in PROVIDERS})
    stage.check()
    await fill(stage, [call])
    return call


async def _middle(stage: Stage, call: Call) -> None:
    """Wait until the greeting is being answered: whatever fails from then on is needed for what is not the last word."""
    try:
        async with asyncio.timeout(MIDDLE_WITHIN_S):
            while not Timeline.of(await stage.record(call.sid)).is_answered:  # noqa: ASYNC110 - another process's
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError as error:
        raise RuntimeError(f"nobody answered the greeting of {call.attempt_id}: is the machine too busy?") from error


def _fault_row(fault: Fault, call: Call) -> Row:
    since, until = call.timeline.longest_silence()
    disposition: Disposition | None = call.report.disposition if call.report else None
    return {
        "provider": fault.provider,
        "fault": f"{fault.mode} from the {fault.when}",
        "longest_silence_s": round(until - since, 2),
        "from_s": round(since, 2),
        "call_s": round(call.timeline.end_s, 1),
        "report_after_s": None if call.report_after_s is None else round(call.report_after_s, 1),
        "disposition": disposition.value if disposition else None,
        "reason": call.report.reason[:60] if call.report else "no report came",
    }
