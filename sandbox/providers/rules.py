"""What the stand-in for the language model answers: simple rules over the messages and tools of a request."""

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast

Message = Mapping[str, Any]
Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Say:
    """Text to be spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool to be called."""

    tool: str
    arguments: Mapping[str, Any]


# A pattern in the person's words, the disposition that it leads to, and the reason to report. The first match counts.
_ENDINGS: Final = (
    (r"wrong number|no one by that name", "wrong_number", "said that this is the wrong number"),
    (
        r"leave (a|your|me|us) |voice ?mail|(after|at) the tone|mailbox|is not available|press (one|two|\d)",
        "voicemail",
        "a machine answered",
    ),
    (
        r"call (me )?(back|again|tomorrow)|can't talk|cannot talk|bad time|try me|later",
        "callback",
        "asked to be called later",
    ),
    (r"not in service", "wrong_number", "the number is not in service"),
    (r"be there", "completed", "will be there"),
    (r"sounds good|works for me", "completed", "is interested"),
    (r"\bno, (thank|no)", "completed", "declined"),
    (r"good ?bye|\bbye\b", "completed", "said goodbye"),
)
_OPTS_OUT: Final = r"stop calling|take me off|(do not|don't|never) (ever )?call|leave me alone|sick of these"
_TOOLS_FOR: Final = {"do_not_call": "do_not_call", "wrong_number": "wrong_number", "callback": "call_back_later"}
_IS_ROBOT: Final = r"robot|are you (a )?(human|real)|is this a real"
_WANTS_PERSON: Final = r"real person|human|front desk|put me through|speak (to|with) (a|some)|talk to (a |some)"
_MENU: Final = r"press (one|two|\d)"
_SCREEN: Final = r"(say|record) your name|why you('re| are) calling"
_HELLO: Final = r"((yes, )?hello|yes, speaking|mm-hm|uh-huh|right)\W*"
_AFTER_FAILURE: Final = {
    "call_back_later": "I am sorry, we cannot call then. Which other time would suit you?",
    "transfer": "I am sorry, nobody is free just now. Shall somebody call you back?",
}
_SORRY: Final = "I am sorry, I did not get that. Could you say it again?"
_PRESSES: Final = 2
"""How often a menu is answered with a key, before the call is ended as one with a machine."""

_NUMBERS: Final = {
    word: number
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    )
}
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class _Moment:
    """What one answer goes by: the messages so far, the tools that are offered, and what the person has just said."""

    messages: Sequence[Message]
    offered: Mapping[str, Any]
    heard: str

    def hears(self, pattern: str) -> bool:
        return re.search(pattern, self.heard, re.IGNORECASE) is not None

    def end(self, disposition: str, reason: str, when: str = "") -> "Say | ToolCall":
        return _ending(self.offered, disposition, reason, when)


def answer(messages: Sequence[Message], tools: Sequence[Tool]) -> Say | ToolCall:
    """Decide what to say or which tool to call: the first step that has an answer gives it."""
    offered = {tool["function"]["name"]: tool["function"] for tool in tools if tool.get("type") == "function"}
    moment = _Moment(messages, offered, _last_heard(messages))
    return next(said for step in _STEPS if (said := step(moment)))


def _after_a_failed_tool(moment: _Moment) -> Say | None:
    failed = _failed(moment.messages)
    return Say(_AFTER_FAILURE.get(failed, _SORRY)) if failed else None


def _opt_out(moment: _Moment) -> Say | ToolCall | None:
    return moment.end("do_not_call", "asked not to be called again") if moment.hears(_OPTS_OUT) else None


def _press_a_key(moment: _Moment) -> ToolCall | None:
    pressed = len(_called(moment.messages, "send_digits"))
    if moment.hears(_MENU) and "send_digits" in moment.offered and pressed < _PRESSES:
        return ToolCall("send_digits", {"digits": "1"})
    return None


def _answer_a_screen(moment: _Moment) -> Say | None:
    if not moment.hears(_SCREEN):
        return None
    return Say(_greeting(moment.messages) or "This is an automated assistant calling about your appointment.")


def _answer_about_itself(moment: _Moment) -> Say | ToolCall | None:
    if moment.hears(_IS_ROBOT):
        return Say("I am an automated assistant. May I go on?")
    if not moment.hears(_WANTS_PERSON):
        return None
    if "transfer" in moment.offered:
        return ToolCall("transfer", _filled(moment.offered["transfer"], {}))
    return Say("I am an automated assistant, and cannot put you through. May I go on?")


def _end(moment: _Moment) -> Say | ToolCall | None:
    for pattern, disposition, reason in _ENDINGS:
        if moment.hears(pattern):
            return moment.end(disposition, reason, _when(moment.heard, moment.messages) or moment.heard)
    return None


def _wait(moment: _Moment) -> Say | None:
    if moment.hears(r"please (hold|stay)"):
        return Say("Thank you.")
    return Say("Please go on.") if moment.heard.rstrip().endswith(",") else None


def _ask_the_survey(moment: _Moment) -> Say | ToolCall | None:
    asked = "record_answer" in moment.offered and _survey(
        moment.messages, moment.offered["record_answer"], moment.heard
    )
    if isinstance(asked, Say | ToolCall):
        return asked
    return moment.end("completed", "every question was answered", moment.heard) if asked else None


def _answer_a_question(moment: _Moment) -> Say:
    if moment.hears(r"how much|cost|price"):
        return Say("It depends on the plan. A colleague can tell you the exact price. Does that sound good to you?")
    if moment.hears(r"who is this|what is this about"):
        return Say((_greeting(moment.messages) or "This is an automated assistant.") + " Does that suit you?")
    return Say("Of course. Could you tell me if that suits you?")


_STEPS: Final[Sequence[Callable[[_Moment], "Say | ToolCall | None"]]] = (
    _after_a_failed_tool, _opt_out, _press_a_key, _answer_a_screen, _answer_about_itself, _end, _wait, _ask_the_survey,
    _answer_a_question,
)  # fmt: skip


def _failed(messages: Sequence[Message]) -> str:
    """Return the name of the tool if the last message is its error; else ""."""
    last = messages[-1]
    if last.get("role") != "tool" or not _is_error(_text(last)):
        return ""
    calls = (call for message in messages for call in message.get("tool_calls") or ())
    return next((call["function"]["name"] for call in calls if call.get("id") == last.get("tool_call_id")), "a tool")


def _is_error(result: str) -> bool:
    try:
        return "error" in json.loads(result)
    except (ValueError, TypeError):
        return False


def _called(messages: Sequence[Message], tool: str) -> list[Mapping[str, Any]]:
    """Return the calls of a tool so far, without those that failed."""
    failed = {m.get("tool_call_id") for m in messages if m.get("role") == "tool" and _is_error(_text(m))}
    calls = [call for message in messages for call in message.get("tool_calls") or ()]
    return [call for call in calls if call["function"]["name"] == tool and call.get("id") not in failed]


def _when(heard: str, messages: Sequence[Message]) -> str:
    """Return the time that the person named, as ISO 8601 without offset; "" if there is none, or the prompt names no date."""
    prompt = " ".join(_text(message) for message in messages if message.get("role") in {"system", "developer"})
    told = re.search(r"(\d{4}-\d{2}-\d{2})(?:\D{1,5}(\d{2}:\d{2}))?", prompt)
    if told is None:
        return ""
    now = datetime.fromisoformat(f"{told[1]}T{told[2] or '00:00'}")
    words = heard.lower()
    if told[2] and (hours := re.search(r"in (\w+) hours?", words)) and (ahead := _number(hours[1])) is not None:
        return (now + timedelta(hours=ahead)).isoformat(timespec="minutes")
    day = next((n for n, name in enumerate(_DAYS) if name in words), None)
    days = 1 if "tomorrow" in words else 0 if day is None else (day - now.weekday() - 1) % 7 + 1
    at = re.search(r"at (\w+)", words)
    hour = _number(at[1]) if at else None
    if hour is None or not 0 < hour <= 12:
        return ""
    if hour < (12 if "afternoon" in words else 0 if "morning" in words else 8):
        hour += 12
    return (now.replace(hour=hour, minute=0) + timedelta(days=days)).isoformat(timespec="minutes")


def _number(word: str) -> int | None:
    return int(word) if word.isdecimal() else _NUMBERS.get(word)


def _last_heard(messages: Sequence[Message]) -> str:
    """Return the person's last words; "" if the last message is the result of a tool."""
    for message in reversed(messages):
        if message.get("role") == "user":
            return _text(message)
        if message.get("role") == "tool":
            return ""
    return ""


def _text(message: Message) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    parts = cast("Sequence[Any]", content)
    return " ".join(str(cast("Message", part).get("text", "")) for part in parts if isinstance(part, Mapping))


def _greeting(messages: Sequence[Message]) -> str:
    return next((_text(message) for message in messages if message.get("role") == "assistant" and _text(message)), "")


def _ending(offered: Mapping[str, Any], disposition: str, reason: str, when: str) -> Say | ToolCall:
    tool = _TOOLS_FOR.get(disposition, "")
    if tool in offered:
        return ToolCall(tool, _filled(offered[tool], {"reason": reason, "when": when}))
    if "end_call" in offered:
        return ToolCall("end_call", _filled(offered["end_call"], {"disposition": disposition, "reason": reason}))
    return Say("Thank you. Goodbye.")


def _filled(function: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments that satisfy the schema: the known ones, and placeholders for the other required ones."""
    schema = function.get("parameters", {})
    arguments: dict[str, Any] = {}
    for name, kind in schema.get("properties", {}).items():
        if name in known:
            arguments[name] = known[name]
        elif name in schema.get("required", ()):
            arguments[name] = (
                kind["enum"][0] if kind.get("enum") else {"integer": 0, "boolean": False}.get(kind.get("type"), "")
            )
    return arguments


def _survey(messages: Sequence[Message], function: Mapping[str, Any], heard: str) -> Say | ToolCall | bool:
    """Return the next step of a survey; True if it is complete, False if it has no questions."""
    properties = function.get("parameters", {}).get("properties", {})
    keys = properties.get("key", {}).get("enum") or re.findall(
        r"^\s*- (\w+):", function.get("description", ""), re.MULTILINE
    )
    if not keys:
        return False
    questions = dict(re.findall(r"^\s*- (\w+): (.+)$", function.get("description", ""), re.MULTILINE))
    recorded = _recorded(messages)
    open_keys = [key for key in keys if key not in recorded]
    if not open_keys:
        return True
    if heard and (_was_asked(messages, questions) or recorded) and not re.fullmatch(_HELLO, heard, re.IGNORECASE):
        return ToolCall("record_answer", {"key": open_keys[0], "value": _value(heard)})
    return Say(questions.get(open_keys[0], f"What about {open_keys[0].replace('_', ' ')}?"))


def _recorded(messages: Sequence[Message]) -> set[str]:
    keys: set[str] = set()
    for call in _called(messages, "record_answer"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            keys.add(json.loads(call["function"]["arguments"])["key"])
    return keys


def _was_asked(messages: Sequence[Message], questions: Mapping[str, str]) -> bool:
    spoken = " ".join(_text(message) for message in messages if message.get("role") == "assistant")
    return spoken.rstrip().endswith("?") or any(question[:30] in spoken for question in questions.values())


def _value(heard: str) -> str:
    words = re.findall(r"[a-z']+|\d+", heard.lower())
    for word in words:
        if (number := _number(word)) is not None:
            return str(number)
    if words and words[0] in {"yes", "no"}:
        return words[0]
    return heard
