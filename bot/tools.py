"""What the model may do. What has an effect goes on when the contact speaks over it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pipecat.adapters.llm.schemas.direct_function import tool_options
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import FunctionCallParams

from bot.answers import BadAnswer, parse_answer
from bot.conversation import BY_THE_BOT, Conversation
from bot.prompt import questions
from campaigns.call import Disposition, Question, Script

_SILENTLY = FunctionCallResultProperties(run_llm=False)


def tools_for(conversation: Conversation, script: Script | None) -> ToolsSchema:
    """Return the tools of one call, bound to its conversation."""

    @tool_options(cancel_on_interruption=False, timeout_secs=8)
    async def end_call(params: FunctionCallParams, disposition: str, reason: str, goodbye: str = "") -> None:
        """End the phone call. Call it as soon as the conversation has come to its end.

        Args:
            disposition: One of completed, callback, do_not_call, wrong_number, voicemail.
            reason: One sentence for the operator: what came of the call.
            goodbye: The last words to the person, one short sentence; leave it empty for the usual ones.
        """
        if disposition not in {kind.value for kind in BY_THE_BOT}:
            await params.result_callback({"error": f"disposition must be one of {', '.join(BY_THE_BOT)}"})
            return
        await params.result_callback({"ok": True}, properties=_SILENTLY)
        last_words: str | None = goodbye or None
        if disposition == Disposition.VOICEMAIL:
            last_words = script.voicemail if script else ""
        conversation.conclude(Disposition(disposition), reason, last_words)

    @tool_options(cancel_on_interruption=False, timeout_secs=8)
    async def call_back_later(params: FunctionCallParams, when: str) -> None:
        """End the call because the person wants to be called at another time.

        Args:
            when: When to call: an ISO 8601 date and time with offset if it is certain, else the person's own words.
        """
        await params.result_callback({"ok": True}, properties=_SILENTLY)
        try:
            at = datetime.fromisoformat(when)
            conversation.callback_at = at if at.tzinfo else None
        except ValueError:
            pass
        conversation.conclude(Disposition.CALLBACK, f"asked to be called again: {when[:200]}")

    tools: list[Any] = [end_call, call_back_later]
    if script and script.answers:
        tools.append(_record_answer(conversation, script.answers))
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
