"""The timeline of a stream whose bot is a bare WebSocket."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from sandbox.audio import ulaw_encode
from sandbox.clips import clip
from sandbox.speech import synthesize
from sandbox.telnyx.earpiece import SILENCE, TICK_S, Earpiece, Mouthpiece
from sandbox.telnyx.stream import MediaStream
from tests.lateness import Lateness

SPEECH = ulaw_encode(synthesize("Hello there, my good friend."))
START = {"user_id": "u", "call_control_id": "v3:x", "custom_parameters": {}}


def media(audio: bytes) -> str:
    return json.dumps({"event": "media", "media": {"payload": base64.b64encode(audio).decode()}})


async def streamed(
    bot: Callable[[ServerConnection], Awaitable[None]], *, says: str = "", seconds: float = 2.0, jitter_s: float = 0.2
) -> dict[str, Any]:
    async with serve(bot, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        mouth = Mouthpiece()
        stream = MediaStream(f"ws://127.0.0.1:{port}/", START, "s", Earpiece(jitter_s), mouth)
        running = asyncio.create_task(stream.run())
        await asyncio.sleep(0.3)
        if says:
            mouth.say(SILENCE * 10 + clip(says) + SILENCE * 10)
        await asyncio.sleep(seconds)
        await stream.stop()
        await running
    return stream.record


def when(record: dict[str, Any], what: str) -> list[float]:
    return [entry["t"] for entry in record["timeline"] if entry["what"] == what]


async def test_the_bots_voice_is_timed_at_the_ear_behind_the_jitter_buffer() -> None:
    async def bot(socket: ServerConnection) -> None:
        await socket.send(media(SPEECH))
        await socket.send(json.dumps({"event": "mark", "mark": {"name": "said"}}))
        async for _ in socket:
            pass

    with Lateness() as late:
        record = await streamed(bot, seconds=3)
    (arrived,), (starts,), (stops,), (mark,) = (
        when(record, what) for what in ("bot_audio", "bot_starts", "bot_stops", "mark said")
    )
    assert starts - arrived == pytest.approx(0.2, abs=0.08 + late.seconds)
    assert stops - starts == pytest.approx(len(SPEECH) / 8000, abs=0.15 + late.seconds)
    assert mark == pytest.approx(stops, abs=0.15 + late.seconds)
    assert record["timeline"] == sorted(record["timeline"], key=lambda entry: entry["t"])
    assert record["timeline"][-1]["what"] == "stop"


async def test_the_persons_voice_is_timed_by_its_sound_and_not_by_when_their_script_speaks() -> None:
    async def bot(socket: ServerConnection) -> None:
        async for _ in socket:
            pass

    with Lateness() as late:
        record = await streamed(bot, says="hello", seconds=1.5)
    (starts,), (stops,) = when(record, "person_starts"), when(record, "person_stops")
    # The person is told to speak after 0.3 s, and 0.2 s of silence come before the word.
    assert 0.45 < starts < 0.7 + late.seconds
    assert stops - starts == pytest.approx(0.375, abs=0.125 + late.seconds)


async def test_a_clear_ends_the_bots_voice_at_once() -> None:
    async def bot(socket: ServerConnection) -> None:
        await socket.send(media(SPEECH * 3))
        await asyncio.sleep(0.8)
        await socket.send(json.dumps({"event": "clear"}))
        async for _ in socket:
            pass

    with Lateness() as late:
        record = await streamed(bot)
    (clear,), (stops,) = when(record, "clear"), when(record, "bot_stops")
    assert stops == pytest.approx(clear, abs=0.2 + late.seconds)
    assert record["late_frames"] == 0


async def test_the_timeline_tells_a_bot_that_closes_from_a_call_that_ends() -> None:
    async def bot(socket: ServerConnection) -> None:
        await socket.recv()

    record = await streamed(bot, seconds=0.3)
    assert [entry["what"] for entry in record["timeline"]] == ["bot_closes"]


def test_an_earpiece_that_runs_dry_in_mid_sentence_counts_the_hole() -> None:
    ear = Earpiece(jitter_s=0.0)
    loud = clip("hello")[800:1600]
    ear.play(loud)
    for _ in range(9):  # five ticks of sound, then four without any
        ear.tick()
    ear.play(loud)
    assert (ear.late_frames, ear.longest_hole * TICK_S) == (4, pytest.approx(0.08))
    for _ in range(5 + 11):  # more than 200 ms: that is a pause and no hole
        ear.tick()
    ear.play(loud)
    assert ear.late_frames == 4


def test_silence_after_a_clear_is_no_hole() -> None:
    ear = Earpiece(jitter_s=0.0)
    ear.play(clip("hello")[800:2400])
    ear.tick()
    ear.clear()
    ear.tick()
    ear.play(clip("hello")[800:1600])
    assert ear.late_frames == 0
