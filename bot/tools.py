"""The tools that the model may call. None of them is cancelled when the contact speaks meanwhile."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import FunctionCallParams

from bot.answers import BadAnswer, parse_answer
from bot.conversation import Conversation
from bot.prompt import questions
from bot.when import BadTime, parse_when
from campaigns.call import Disposition, Question, Script

_SILENTLY: Final = FunctionCallResultProperties(run_llm=False)

ENDINGS: Final = (Disposition.COMPLETED, Disposition.VOICEMAIL)
"""The dispositions that `end_call` takes; the others have tools of their own."""


class CallActions(Protocol):
    """What the tools do to the call itself."""

    async def opt_out(self, reason: str) -> None:
        """Tell the dialer that the contact wants no more calls."""

    async def hand_over(self, name: str, number: str) -> bool:
        """Transfer the call; False if the carrier refuses."""
        ...

    async def send_digits(self, digits: str) -> bool:
        """Press keys; False if the carrier refuses."""
        ...


def tools_for(conversation: Conversation, script: Script | None, actions: CallActions) -> ToolsSchema:
    """Return the tools of one call. The model reads their docstrings and descriptions."""

    @tool_options(cancel_on_interruption=False, timeout_secs=8)
    async def end_call(params: FunctionCallParams, disposition: str, reason: str, goodbye: str = "") -> None:
        """End the phone call. Call it as soon as the conversation has come to its end.

        Args:
            disposition: completed, or voicemail if a machine has answered.
            reason: One sentence for the operator: what came of the call.
            goodbye: The last words to the person, one short sentence; leave it empty for the usual ones.
        """
        if disposition not in ENDINGS:
            told = ", ".join(ENDINGS)
            await params.result_callback({"error": f"disposition must be one of {told}; for the rest there are tools"})
            return
        await params.result_callback({"ok": True}, properties=_SILENTLY)
        conversation.conclude(Disposition(disposition), reason, goodbye or None)

    @tool_options(cancel_on_interruption=False, timeout_secs=8)
    async def call_back_later(params: FunctionCallParams, when: str) -> None:
        """End the call because the person wants to be called at another time.

        Args:
            when: The person's own date and time, as ISO 8601 without an offset (2026-11-25T15:00); if they named none,
                their words.
        """
        try:
            at = parse_when(when, script.hours if script else None, datetime.now(UTC))
        except BadTime as error:
            await params.result_callback({"error": str(error)})
            return
        await params.result_callback({"ok": True}, properties=_SILENTLY)
        conversation.callback_at = at
        conversation.conclude(Disposition.CALLBACK, f"asked to be called again: {when[:200]}")

    @tool_options(cancel_on_interruption=False, timeout_secs=15)
    async def do_not_call(params: FunctionCallParams, reason: str) -> None:
        """Never call this person again, and end the call. Call it at once when they ask for it, in whatever words.

        Args:
            reason: What they said, in a few words.
        """
        await params.result_callback({"ok": True}, properties=_SILENTLY)
        await actions.opt_out(reason)

    @tool_options(cancel_on_interruption=False, timeout_secs=8)
    async def wrong_number(params: FunctionCallParams) -> None:
        """End the call because somebody else than our contact has this number."""
        await params.result_callback({"ok": True}, properties=_SILENTLY)
        conversation.conclude(Disposition.WRONG_NUMBER, "said that this is the wrong number")

    tools: list[Any] = [end_call, call_back_later, do_not_call, wrong_number]
    if script and script.answers:
        tools.append(_record_answer(conversation, script.answers))
    if script and script.transfers:
        tools.append(_transfer(conversation, script.transfers, actions))
    if script and script.menus == "press_keys":
        tools.append(_send_digits(actions))
    return ToolsSchema(standard_tools=tools)


def _record_answer(conversation: Conversation, wanted: Sequence[Question]) -> FunctionSchema:
    by_key = {question.key: question for question in wanted}

    @tool_options(cancel_on_interruption=False, timeout_secs=8)
    async def record_answer(params: FunctionCallParams) -> None:
        key = str(params.arguments.get("key", ""))
        if key not in by_key:
            await params.result_callback({"error": f"key must be one of {', '.join(by_key)}"})
            return
        try:
            conversation.answers[key] = parse_answer(by_key[key], params.arguments.get("value", ""))
        except BadAnswer as error:
            await params.result_callback({"error": str(error)})
            return
        left = [other for other in by_key if other not in conversation.answers]
        await params.result_callback({"ok": True, "still_open": left})

    return FunctionSchema(
        name="record_answer",
        description=f"Record what the person answered to one of the questions:\n{questions(wanted)}",
        properties={
            "key": {"type": "string", "enum": list(by_key), "description": "Which question was answered."},
            "value": {"type": "string", "description": "The answer: digits for numbers, yes or no, else their words."},
        },
        required=["key", "value"],
        handler=record_answer,
    )


def _transfer(conversation: Conversation, numbers: Mapping[str, str], actions: CallActions) -> FunctionSchema:
    @tool_options(cancel_on_interruption=False, timeout_secs=20)
    async def transfer(params: FunctionCallParams) -> None:
        to = str(params.arguments.get("to", ""))
        if to not in numbers:
            await params.result_callback({"error": f"to must be one of {', '.join(numbers)}"})
            return
        if await actions.hand_over(to, numbers[to]):
            await params.result_callback({"ok": True}, properties=_SILENTLY)
            conversation.conclude(Disposition.COMPLETED, f"handed over to {to}", "")
        else:
            await params.result_callback({"error": "they cannot be reached now; offer that somebody calls back"})

    return FunctionSchema(
        name="transfer",
        description="Put the person through to a colleague. Only when they ask for one, or need one.",
        properties={"to": {"type": "string", "enum": list(numbers), "description": "To whom."}},
        required=["to"],
        handler=transfer,
    )


def _send_digits(actions: CallActions) -> FunctionSchema:
    @tool_options(cancel_on_interruption=False, timeout_secs=8)
    async def send_digits(params: FunctionCallParams) -> None:
        digits = str(params.arguments.get("digits", ""))
        if not 0 < len(digits) <= 20 or set(digits) - set("0123456789*#w"):  # noqa: PLR2004
            await params.result_callback({"error": "digits are 0 to 9, * and #, 20 at most"})
            return
        sent = await actions.send_digits(digits)
        result: dict[str, Any] = {"ok": True} if sent else {"error": "the keys could not be pressed"}
        await params.result_callback(result, properties=_SILENTLY if sent else None)

    return FunctionSchema(
        name="send_digits",
        description="Press keys in a telephone menu, then wait for what it says.",
        properties={"digits": {"type": "string", "description": "The keys, in order."}},
        required=["digits"],
        handler=send_digits,
    )
