"""The agent with each tool that the evals expect: what it does not offer by itself yet, `end_call` does in its place."""

from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import FunctionCallParams

import bot.bot as agent
from bot.conversation import Conversation
from campaigns.call import Disposition, Script

_SILENTLY = FunctionCallResultProperties(run_llm=False)
_tools_for = agent.tools_for


def tools_for(conversation: Conversation, script: Script | None) -> ToolsSchema:
    async def do_not_call(params: FunctionCallParams, reason: str) -> None:
        """Note that the person wants no more calls.

        Args:
            reason: Their words.
        """
        await params.result_callback({"ok": True}, properties=_SILENTLY)
        conversation.conclude(Disposition.DO_NOT_CALL, reason)

    async def wrong_number(params: FunctionCallParams) -> None:
        """Note that this is somebody else."""
        await params.result_callback({"ok": True}, properties=_SILENTLY)
        conversation.conclude(Disposition.WRONG_NUMBER, "said so")

    offered = _tools_for(conversation, script)
    functions = {direct.name: direct.function for direct in offered.direct_functions}
    present = {tool.name: functions.get(tool.name, tool) for tool in offered.standard_tools}
    return ToolsSchema(
        standard_tools=[*({"do_not_call": do_not_call, "wrong_number": wrong_number} | present).values()]
    )


agent.tools_for = tools_for
bot = agent.bot
