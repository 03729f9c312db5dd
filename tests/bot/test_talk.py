"""The bot on the telephone: calls of the sandbox's network, providers with delays, and only the dialer's routes for the bot."""

import asyncio
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from bench.analysis import Timeline, find
from bench.calls import SCRIPT, Call, Ring, place_all, place_until_right
from bench.endings import LONGEST_SILENCE_S
from bench.stage import Stage
from bot.clips import apology
from bot.phrases import phrases
from campaigns.call import Disposition
from sandbox.people import PEOPLE
from tests.lateness import Lateness, judged

pytestmark = [pytest.mark.calls, pytest.mark.timeout(600)]  # a slow machine holds some calls again, one by one

KINDS = ("talks", "hello_over", "silent", "opts_out_rudely", "presses_9", "voicemail", "screening", "menu", "fax")
COLLEAGUE = "+14155550199"
WITH_TRANSFERS = SCRIPT.model_copy(update={"transfers": {"desk": COLLEAGUE}})
PRESSES_KEYS = SCRIPT.model_copy(update={"menus": "press_keys"})
RINGS = {kind: Ring(kind) for kind in KINDS} | {
    "put through": Ring("wants_person", script=WITH_TRANSFERS),
    "keys": Ring("menu", script=PRESSES_KEYS),
}


def went_right(call: Call) -> bool:
    return bool(call.report and call.report.disposition in PEOPLE[call.ring.person].ends_in)


@pytest.fixture(scope="module")
def late() -> Lateness:
    """What the machine took from the calls while they were held."""
    return Lateness()


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory, late: Lateness) -> dict[str, tuple[Call, Stage]]:
    """One call to each kind of person, and calls of campaigns that transfer or press keys; at most seven at a time."""

    async def hold() -> dict[str, tuple[Call, Stage]]:
        async with Stage(tmp_path_factory.mktemp("stage")) as stage:
            held = await place_until_right(stage, list(RINGS.values()), went_right, at_once=7)
            return {name: (call, stage) for name, call in zip(RINGS, held, strict=True)}

    with late:
        return asyncio.run(hold())


def was_overloaded(call: Call) -> bool:
    return bool(call.report) and any(problem.startswith("overloaded:") for problem in call.report.problems)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_person_ends_as_it_should(kind: str, calls: dict[str, tuple[Call, Stage]]) -> None:
    call, _ = calls[kind]
    with judged(call.starved):
        assert call.report, "no report came"
        assert call.report.disposition in PEOPLE[kind].ends_in, call.report.reason


def test_the_greeting_is_the_first_thing_said_and_a_hello_over_it_is_kept(calls: dict[str, tuple[Call, Stage]]) -> None:
    call, _ = calls["hello_over"]
    report = call.report
    with judged(call.starved):
        assert report
        first = next(turn for turn in report.transcript if turn.role == "bot")
        assert first.text.startswith("Hello Ada Lovelace, this is the automated assistant of Harbour Dental.")
        assert not first.interrupted
        assert any("hello" in turn.text.lower() for turn in report.transcript if turn.role == "contact")


@pytest.mark.parametrize("kind", ["opts_out_rudely", "presses_9"])
def test_opting_out_is_told_during_the_call_confirmed_aloud_and_over_within_ten_seconds(
    kind: str, calls: dict[str, tuple[Call, Stage]], late: Lateness
) -> None:
    call, stage = calls[kind]
    with judged(call.starved):
        told, over = stage.dialer.opted_out[call.attempt_id], stage.dialer.ended_at[call.attempt_id]
        assert 0 < over - told < 10 + late.seconds
        assert call.report
        assert call.report.transcript[-1].text == phrases("en").goodbyes[Disposition.DO_NOT_CALL]


def test_a_transcript_says_when_each_turn_began(calls: dict[str, tuple[Call, Stage]], late: Lateness) -> None:
    call, _ = calls["talks"]
    with judged(call.starved):
        assert call.report
        told = {turn.text: turn.at_s for turn in call.report.transcript if turn.role == "contact"}
        begun = next(since for since, _ in call.timeline.spans("person") if since > 4)  # after the greeting
        assert told["Yes, I'll be there."] == pytest.approx(begun, abs=1 + late.seconds)


def test_a_mailbox_is_left_its_message_after_the_tone(calls: dict[str, tuple[Call, Stage]]) -> None:
    call, _ = calls["voicemail"]
    report = call.report
    with judged(call.starved):
        assert report
        assert report.answered_by == "voicemail"
        assert "the message was left after its tone" in report.reason
        assert any(turn.text.startswith("Hello, this is the automated assistant") for turn in report.transcript)


def test_a_screened_call_greets_the_person_who_comes_on_at_last(calls: dict[str, tuple[Call, Stage]]) -> None:
    call, _ = calls["screening"]
    report = call.report
    with judged(call.starved):
        assert report
        greetings = [turn for turn in report.transcript if turn.role == "bot" and "automated assistant" in turn.text]
        assert len(greetings) >= 2, "the screen was told, and so was the person"


def test_who_is_put_through_talks_on_after_the_bot_has_left(
    calls: dict[str, tuple[Call, Stage]], late: Lateness
) -> None:
    call, _ = calls["put through"]
    with judged(call.starved):
        assert call.report
        assert (call.report.disposition, call.report.reason) == (Disposition.COMPLETED, "handed over to desk")
        assert call.report.transcript[-1].text == phrases("en").handing_over
        assert call.record["bridged_to"] == COLLEAGUE
        assert call.record["bridged_s"] >= 3
        left, ended = (
            datetime.fromisoformat(at) for at in (call.record["stream"]["ended_at"], call.record["ended_at"])
        )
        assert (ended - left).total_seconds() >= 3
        assert call.report_after_s is not None
        assert call.report_after_s < late.seconds, "the report does not wait for the call's end"


def test_where_the_campaign_wants_it_a_menu_is_answered_with_keys(calls: dict[str, tuple[Call, Stage]]) -> None:
    call, _ = calls["keys"]
    with judged(call.starved):
        assert call.record["dtmf_sent"] == "11", "the menu said itself twice"
        assert call.report
        assert (call.report.disposition, call.report.answered_by) == (Disposition.VOICEMAIL, "menu")


def test_a_report_says_what_was_used(calls: dict[str, tuple[Call, Stage]]) -> None:
    call, _ = calls["talks"]
    report = call.report
    with judged(call.starved):
        assert report
        assert report.usage["cartesia.characters"] > 100
        assert report.usage["openai.prompt_tokens"] > 0
        assert report.usage["openai.completion_tokens"] > 0
        assert report.usage["deepgram.seconds"] > 3
        assert any(turn.latency_ms for turn in report.transcript if turn.role == "bot")


def test_a_caller_without_a_brief_is_told_the_truth_and_listed_once_the_dialer_is_back(tmp_path: Path) -> None:
    async def hold() -> None:
        async with Stage(tmp_path) as stage:
            ring = Ring("presses_9", briefed=False)
            (there,) = await place_all(stage, [ring], at_once=1)
            with judged(there.starved):
                assert there.sid in stage.dialer.opted_out
                assert phrases("en").goodbyes[Disposition.DO_NOT_CALL] in await spoken(stage)
                assert phrases("en").not_noted not in await spoken(stage)

            stage.dialer.away = True
            (away,) = await place_all(stage, [ring], at_once=1)
            with judged(away.starved):
                assert phrases("en").not_noted in await spoken(stage)
                assert away.sid not in stage.dialer.opted_out
                stage.dialer.away = False
                assert await stage.dialer.until_opted_out(away.sid, 300)
                assert stage.dialer.refused == []

    async def spoken(stage: Stage) -> str:
        return " ".join(entry["text"] for entry in await stage.window("spoken"))

    asyncio.run(hold())


@pytest.mark.parametrize(("provider", "mode"), [("cartesia", "refuse"), ("openai", "hang"), ("deepgram", "refuse")])
def test_when_a_provider_fails_a_recording_apologizes_and_the_call_counts_as_our_failure(
    provider: str, mode: str, tmp_path: Path
) -> None:
    async def hold() -> tuple[Call, np.ndarray]:
        async with Stage(tmp_path) as stage:
            await stage.providers({provider: {"mode": mode}})
            (call,) = await place_all(stage, [Ring("talks")], at_once=1)
            return call, await stage.heard(call.sid)

    with Lateness() as late:
        call, sound = asyncio.run(hold())
    with judged(call.starved):
        assert call.report
        assert call.report.disposition is Disposition.FAILED, call.report.reason
        assert any(turn.text == phrases("en").apology for turn in call.report.transcript)
        template = np.frombuffer(apology("en"), "<i2").astype(np.float64)[:16_000]
        assert find(sound, template)[1] > 0.9, "the person did not hear it"
        since, until = Timeline.of(call.record).longest_silence()
        assert until - since <= LONGEST_SILENCE_S + late.seconds
