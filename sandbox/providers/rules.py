"""What the language model stand-in answers: simple rules over the messages and tools that it is given, nothing else."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Message = Mapping[str, Any]
Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Say:
    """Text to be spoken."""

    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """A tool to be called."""

    tool: str
    arguments: Mapping[str, Any]


# What is heard (a pattern) -> which disposition it leads to, and why. The first that fits counts.
_ENDINGS: Final = (
    (r"stop calling|take me off|do not call|don't call", "do_not_call", "asked not to be called again"),
    (r"wrong number|no one by that name", "wrong_number", "said that this is the wrong number"),
    (r"leave a message|voicemail|after the tone", "voicemail", "a machine answered"),
    (r"call (me )?back|can't talk|cannot talk|later", "callback", "asked to be called later"),
    (r"not in service", "wrong_number", "the number is not in service"),
    (r"be there", "completed", "will be there"),
    (r"sounds good", "completed", "is interested"),
    (r"no, thank", "completed", "declined"),
    (r"good ?bye|\bbye\b", "completed", "said goodbye"),
)
_TOOLS_FOR: Final = {"do_not_call": "do_not_call", "wrong_number": "wrong_number", "callback": "call_back_later"}
_NUMBERS: Final = {
    word: number
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())  # noqa: SIM905
}


def answer(messages: Sequence[Message], tools: Sequence[Tool]) -> Say | Call:
    """Decide what to say or which tool to call."""
    offered = {tool["function"]["name"]: tool["function"] for tool in tools if tool.get("type") == "function"}
    heard = _last_heard(messages)
    for pattern, disposition, reason in _ENDINGS:
        if re.search(pattern, heard, re.IGNORECASE):
            return _ending(offered, disposition, reason, heard)
    if re.search(r"say your name|why you are calling", heard, re.IGNORECASE):
        return Say(_greeting(messages) or "This is an automated assistant calling about your appointment.")
    if re.search(r"robot|human|real person", heard, re.IGNORECASE):
        return Say("I am an automated assistant. May I go on?")
    if "record_answer" in offered and (asked := _survey(messages, offered["record_answer"], heard)):
        return (
            asked
            if isinstance(asked, Say | Call)
            else _ending(offered, "completed", "every question was answered", heard)
        )
    if re.search(r"how much|cost|price", heard, re.IGNORECASE):
        return Say("It depends on the plan. A colleague can tell you the exact price. Does that sound good to you?")
    if re.search(r"who is this", heard, re.IGNORECASE):
        return Say((_greeting(messages) or "This is an automated assistant.") + " Does that suit you?")
    return Say("Of course. Could you tell me if that suits you?")


def _last_heard(messages: Sequence[Message]) -> str:
    """Return the user's words since the assistant last spoke; after a tool's result, none."""
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
    return " ".join(part.get("text", "") for part in content if isinstance(part, Mapping))


def _greeting(messages: Sequence[Message]) -> str:
    return next((_text(message) for message in messages if message.get("role") == "assistant" and _text(message)), "")


def _ending(offered: Mapping[str, Any], disposition: str, reason: str, heard: str) -> Say | Call:
    tool = _TOOLS_FOR.get(disposition, "")
    if tool in offered:
        return Call(tool, _filled(offered[tool], {"reason": reason, "when": heard}))
    if "end_call" in offered:
        return Call("end_call", _filled(offered["end_call"], {"disposition": disposition, "reason": reason}))
    return Say("Thank you. Goodbye.")


def _filled(function: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments for whatever the schema asks for."""
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


def _survey(messages: Sequence[Message], function: Mapping[str, Any], heard: str) -> Say | Call | bool:
    """Return the next step of a survey; True: it is complete; False: it has no questions."""
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
    if (
        heard
        and (_was_asked(messages, questions) or recorded)
        and not re.fullmatch(r"(hello|yes, speaking)\W*", heard, re.IGNORECASE)
    ):
        return Call("record_answer", {"key": open_keys[0], "value": _value(heard)})
    return Say(questions.get(open_keys[0], f"What about {open_keys[0].replace('_', ' ')}?"))


def _recorded(messages: Sequence[Message]) -> set[str]:
    keys: set[str] = set()
    for message in messages:
        for call in message.get("tool_calls") or ():
            if call["function"]["name"] == "record_answer":
                try:
                    keys.add(json.loads(call["function"]["arguments"])["key"])
                except (ValueError, KeyError, TypeError):
                    continue
    return keys


def _was_asked(messages: Sequence[Message], questions: Mapping[str, str]) -> bool:
    spoken = " ".join(_text(message) for message in messages if message.get("role") == "assistant")
    return spoken.rstrip().endswith("?") or any(question[:30] in spoken for question in questions.values())


def _value(heard: str) -> str:
    words = re.findall(r"[a-z']+|\d+", heard.lower())
    for word in words:
        if word.isdecimal() or word in _NUMBERS:
            return str(_NUMBERS.get(word, word))
    if words and words[0] in {"yes", "no"}:
        return words[0]
    return heard
