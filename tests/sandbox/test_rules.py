"""What the stand-in for the language model answers to what it hears."""

import json
from typing import Any

import pytest

from sandbox.clips import CLIPS
from sandbox.providers.rules import Say, ToolCall, answer


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": schema}}


TEXT = {"type": "string"}
ENDINGS = [tool("end_call", disposition=TEXT, reason=TEXT), tool("call_back_later", when=TEXT),
           tool("do_not_call", reason=TEXT), tool("wrong_number")]  # fmt: skip
TRANSFER = tool("transfer", to={"type": "string", "enum": ["front desk", "billing"]})
KEYS = tool("send_digits", digits=TEXT)
TUESDAY = {"role": "system", "content": "For the person it is Tuesday, 2026-11-24, 09:30. Be brief."}


def heard(clip: str, *tools: dict[str, Any], system: dict[str, Any] | None = None) -> Say | ToolCall:
    messages = [{"role": "assistant", "content": "Hello, this is the assistant."}, {"role": "user", "content": clip}]
    return answer([*([system] if system else []), *messages], [*ENDINGS, *tools])


@pytest.mark.parametrize("clip", ["stop_calling", "opt_out_ever", "opt_out_lose", "opt_out_sick"])
def test_a_person_who_wants_no_more_calls_gets_none(clip: str) -> None:
    said = heard(CLIPS[clip], TRANSFER)
    assert isinstance(said, ToolCall)
    assert said.tool == "do_not_call"
    assert said.arguments["reason"]


def test_a_wrong_number_is_reported_by_its_own_tool() -> None:
    assert heard(CLIPS["wrong_number"]) == ToolCall("wrong_number", {})


@pytest.mark.parametrize("clip", ["person_real", "person_desk", "person_through"])
def test_a_person_who_asks_for_a_human_is_put_through_to_the_first_on_offer(clip: str) -> None:
    assert heard(CLIPS[clip], TRANSFER) == ToolCall("transfer", {"to": "front desk"})
    assert isinstance(heard(CLIPS[clip]), Say)


@pytest.mark.parametrize("clip", ["are_you_robot", "robot_am_i"])
def test_a_person_who_asks_whether_it_is_a_robot_hears_the_truth(clip: str) -> None:
    said = heard(CLIPS[clip], TRANSFER)
    assert isinstance(said, Say)
    assert "automated" in said.text


@pytest.mark.parametrize(
    ("clip", "when"),
    [
        ("later_tomorrow", "2026-11-25T15:00"),
        ("later_friday", "2026-11-27T10:00"),
        ("later_hours", "2026-11-24T11:30"),
        ("cannot_talk", CLIPS["cannot_talk"]),
    ],
)
def test_a_named_time_becomes_a_date_if_the_prompt_says_what_day_it_is(clip: str, when: str) -> None:
    assert heard(CLIPS[clip], system=TUESDAY) == ToolCall("call_back_later", {"when": when})
    assert heard(CLIPS[clip]) == ToolCall("call_back_later", {"when": CLIPS[clip]})


def test_a_menu_is_answered_with_a_key_where_keys_are_offered_and_not_for_ever() -> None:
    assert heard(CLIPS["menu"], KEYS) == ToolCall("send_digits", {"digits": "1"})
    machine = heard(CLIPS["menu"])
    assert isinstance(machine, ToolCall)
    assert machine.arguments["disposition"] == "voicemail"
    pressed = [{"role": "assistant", "tool_calls": [{"id": str(n), "function": {"name": "send_digits", "arguments":
               '{"digits": "1"}'}}]} for n in range(2)]  # fmt: skip
    said = answer([*pressed, {"role": "user", "content": CLIPS["menu"]}], [*ENDINGS, KEYS])
    assert isinstance(said, ToolCall)
    assert said.tool == "end_call"


@pytest.mark.parametrize(
    "clip",
    ["voicemail_greeting", "voicemail_nobody", "voicemail_network", "voicemail_long", "voicemail_full", "screening_no"],
)
def test_a_machine_is_recognized_as_one(clip: str) -> None:
    said = heard(CLIPS[clip], TRANSFER)
    assert isinstance(said, ToolCall)
    assert said.arguments["disposition"] == "voicemail"


@pytest.mark.parametrize("clip", ["screening", "screening_google", "screening_apple"])
def test_a_call_screen_hears_who_is_calling(clip: str) -> None:
    assert heard(CLIPS[clip]) == Say("Hello, this is the assistant.")


@pytest.mark.parametrize(
    "clip", ["yes_confirm", "yes_interested", "yes_works", "no_thanks", "not_now", "goodbye", "slow_yes", "slow_then"]
)
def test_an_answer_completes_the_call(clip: str) -> None:
    said = heard(CLIPS[clip], TRANSFER)
    assert isinstance(said, ToolCall)
    assert said.arguments["disposition"] == "completed"


def test_half_a_sentence_is_waited_out() -> None:
    assert heard(CLIPS["slow_well"]) == Say("Please go on.")


def failed(name: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
    result = {"role": "tool", "tool_call_id": "c1", "content": json.dumps({"error": "no"})}
    return [{"role": "user", "content": "five"}, {"role": "assistant", "tool_calls": [call]}, result]


@pytest.mark.parametrize("name", ["call_back_later", "transfer", "send_digits", "record_answer"])
def test_after_a_failed_tool_the_answer_is_a_short_question(name: str) -> None:
    said = answer(failed(name, {}), [*ENDINGS, TRANSFER])
    assert isinstance(said, Say)
    assert said.text.endswith("?")
    assert len(said.text) < 80


def test_an_answer_that_was_refused_is_still_open() -> None:
    record = tool("record_answer", key={"type": "string", "enum": ["score", "again"]}, value=TEXT)
    messages = [*failed("record_answer", {"key": "score", "value": "five"}),
                {"role": "assistant", "content": "Could you say it again?"}, {"role": "user", "content": "Eight."}]  # fmt: skip
    assert answer(messages, [*ENDINGS, record]) == ToolCall("record_answer", {"key": "score", "value": "8"})
