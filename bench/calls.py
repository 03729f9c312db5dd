"""Calls placed straight at the network, without the dialer: each with a brief of its own."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from bench.analysis import Timeline
from bench.stage import APP_ID, CALLER_ID, OURS, Stage
from campaigns.call import Brief, Listening, Report, Script, Voice, to_parameters
from sandbox.speech import word_times

VOICE: Final = "71a7ad14-091c-4e8e-a314-022ece01c121"
GREETING: Final = (
    "Hello Ada Lovelace, this is the automated assistant of Harbour Dental. "
    "Will you be here on Tuesday at half past nine?"
)
SCRIPT: Final = Script(
    instructions=(
        "You call patients of Harbour Dental, a dental practice, to remind them of an appointment. You have asked Ada "
        "Lovelace whether she will be there on Tuesday at half past nine. If she will, thank her and end the call as "
        "completed. If she cannot come, say that the practice will ring her. If she wants to be called later, ask when."
    ),
    voicemail=(
        "Hello, this is the automated assistant of Harbour Dental with a reminder of your appointment on Tuesday at "
        "half past nine. If you cannot come, please call us back. Goodbye."
    ),
)
GREETING_S: Final = word_times(GREETING)[-1][2]
LONGEST_CALL_S: Final = 150.0
REPORT_WITHIN_S: Final = 120.0
"""After the call's end. The bot says its report again until it is taken."""


@dataclass(frozen=True)
class Ring:
    """One call to be placed."""

    person: str
    agent: str = OURS
    voice: str = VOICE
    listening: Listening = field(default_factory=Listening)
    script: Script = SCRIPT
    briefed: bool = True  # else as a caller is connected while the dialer is away
    time_limit_s: int = 180


@dataclass
class Call:
    """One call that was placed, and what came of it. Its record is there once `place_all` has returned."""

    ring: Ring
    attempt_id: str
    sid: str
    ended: bool = False
    report: Report | None = None
    report_after_s: float | None = None  # from the carrier's word that the call is over; below 0: before it
    record: dict[str, Any] = field(default_factory=dict)
    starved: str = ""  # why it proves nothing about the bot: this machine was too slow

    @property
    def timeline(self) -> Timeline:
        """What was heard on it."""
        return Timeline.of(self.record)


async def place_until_right(
    stage: Stage, rings: Sequence[Ring], right: Callable[[Call], bool], *, at_once: int, tries: int = 3
) -> list[Call]:
    """Place calls; a call that went wrong because this machine starved it is placed again, alone, a few times at most."""
    calls = await place_all(stage, rings, at_once=at_once)
    for _ in range(tries - 1):
        for number, call in enumerate(calls):
            if call.starved and not right(call):
                (calls[number],) = await place_all(stage, [call.ring], at_once=1)
    return calls


async def place_all(
    stage: Stage, rings: Sequence[Ring], *, at_once: int, reports: bool = True, every_s: float = 0.25
) -> list[Call]:
    """Place calls, at most `at_once` at a time and never two in the same moment; returns them when all are over.

    While the bot or the network is late for the calls that are up, no other is placed: a slow machine holds fewer at once.
    """
    lines = asyncio.Semaphore(at_once)
    door = asyncio.Lock()
    up = 0

    async def one(ring: Ring) -> Call:
        nonlocal up
        async with lines:
            async with door:
                await asyncio.sleep(every_s)
                while up and not stage.pulse.is_in_time:  # noqa: ASYNC110 - it is other processes that are late
                    await asyncio.sleep(every_s)
                up += 1
            try:
                call = await place(stage, ring)
                await follow(stage, call, report=reports and ring.briefed and ring.agent == OURS)
            finally:
                up -= 1
            return call

    calls = list(await asyncio.gather(*(one(ring) for ring in rings)))
    stage.check()
    await fill(stage, calls)
    return calls


async def place(stage: Stage, ring: Ring) -> Call:
    """Place one call."""
    stage.placed += 1
    attempt_id = f"bench-{stage.placed}#1"
    number = f"+1415{5_550_000 + stage.placed}"
    await stage.client.post(stage.network("/sandbox/people"), json={number: ring.person})
    callbacks = stage.dialer.url + "/telnyx/{}/" + attempt_id.replace("#", "%23")
    told = to_parameters(brief(stage, attempt_id, ring), stage.secret) if ring.briefed else {}
    order = {
        "To": number,
        "From": CALLER_ID,
        "Texml": document(stage.agent(ring.agent), told),
        "StatusCallback": callbacks.format("status"),
        "StatusCallbackEvent": "completed",
        "TimeLimit": str(ring.time_limit_s),
        "MachineDetection": "DetectMessageEnd",
        "AsyncAmd": "true",
        "AsyncAmdStatusCallback": callbacks.format("amd"),
    }
    answer = await stage.client.post(stage.network(f"/v2/texml/calls/{APP_ID}"), json=order)
    answer.raise_for_status()
    return Call(ring, attempt_id, answer.json()["call_sid"])


def brief(stage: Stage, attempt_id: str, ring: Ring) -> Brief:
    """Return what the bot is told: all of it inline."""
    return Brief(
        attempt_id=attempt_id,
        campaign="bench",
        greeting=GREETING,
        contact={"name": "Ada Lovelace", "day": "Tuesday", "time": "half past nine"},
        voice=Voice(id=ring.voice),
        listening=ring.listening,
        report_url=f"{stage.dialer.url}/reports",
        issued_at=int(time.time()),
        script=ring.script,
    )


async def follow(stage: Stage, call: Call, *, report: bool = True) -> None:
    """Wait until a call is over, and reported."""
    call.ended = await stage.dialer.until_ended(call.attempt_id, LONGEST_CALL_S + call.ring.time_limit_s)
    if report:
        await stage.dialer.until_reported(call.attempt_id, REPORT_WITHIN_S)


async def fill(stage: Stage, calls: Sequence[Call]) -> None:
    """Give calls that are over the network's records and the bot's reports."""
    records = await stage.records()
    for call in calls:
        call.record = records[call.sid]
        call.starved = stage.pulse.starved(*_up(call.record))
        call.report = stage.dialer.reports.get(call.attempt_id)
        if call.report and call.ended:
            dialer = stage.dialer
            call.report_after_s = dialer.reported_at[call.attempt_id] - dialer.ended_at[call.attempt_id]


def _up(record: Mapping[str, Any]) -> tuple[float, float]:
    """Return from when to when a call was up, Unix seconds."""
    since, until = (record.get(moment) or record["created_at"] for moment in ("answered_at", "ended_at"))
    return datetime.fromisoformat(since).timestamp(), datetime.fromisoformat(until).timestamp()


def document(stream_url: str, parameters: dict[str, str]) -> str:
    """Return the TeXML that connects a call with an agent."""
    told = "".join(f"<Parameter name={quoteattr(n)} value={quoteattr(v)}/>" for n, v in parameters.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Response><Connect><Stream url={quoteattr(stream_url)} '
        'track="inbound_track" codec="PCMU" bidirectionalMode="rtp" bidirectionalCodec="PCMU">'
        f"{told}</Stream></Connect><Hangup/></Response>"
    )
