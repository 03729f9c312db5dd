"""The agent: it reads a call's start message, greets at once, converses, hangs up after the last word, and reports.

Pipecat Cloud, Pipecat's development runner and the sandbox call `Agent.take_call` once for each phone call.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from loguru import logger
from pipecat.runner.types import RunnerArguments, WebSocketRunnerArguments
from starlette.websockets import WebSocketDisconnect

from bot.connection import Connection, connect
from bot.conversation import Conversation
from bot.dialer_client import DialerClient
from bot.overload import OverloadMonitor
from bot.services import warm_up
from bot.settings import BotSettings
from bot.stream import NoStart, Start
from bot.talk import Talk
from bot.telnyx import CallControl
from campaigns.call import Brief, BriefRefused, from_parameters


class TooMany(RuntimeError):
    """This process takes no more calls without a brief for now."""


class Agent:
    """What all calls of one process share. To build it takes seconds, because it loads the models: build it once."""

    def __init__(
        self,
        settings: BotSettings,
        connect: Callable[[WebSocketRunnerArguments], Awaitable[Connection]] = connect,
    ) -> None:
        self._settings, self._connect = settings, connect
        self._spare = warm_up(settings)
        self._overload = OverloadMonitor()
        self._unbriefed: set[Connection] = set()  # anybody who finds the open WebSocket can make such a call

    async def take_call(self, runner_args: RunnerArguments) -> None:
        """Take one call, from its start message to its delivered report."""
        assert isinstance(runner_args, WebSocketRunnerArguments)
        try:
            connection = await self._connect(runner_args)
            brief = self._brief(connection.start)
        except (NoStart, BriefRefused, TooMany) as refused:
            logger.warning("refused a stream: {}", refused)
            with suppress(RuntimeError, WebSocketDisconnect):  # the other side may have closed it already
                await runner_args.websocket.close(1008)
            return
        if brief is None:
            self._unbriefed.add(connection)
        try:
            await self._hold(connection, brief, handle_sigint=runner_args.handle_sigint)
        finally:
            self._unbriefed.discard(connection)

    def _brief(self, start: Start) -> Brief | None:
        """Return the call's brief, or None if somebody rang us and nobody sent one. Raises BriefRefused or TooMany."""
        if start.parameters:
            return from_parameters(start.parameters, self._settings.brief_secret.get_secret_value(), time.time())
        if len(self._unbriefed) >= self._settings.unbriefed_calls:
            raise TooMany("a call without a brief; set UNBRIEFED_CALLS to take more of them")
        return None

    async def _hold(self, connection: Connection, brief: Brief | None, *, handle_sigint: bool) -> None:
        """Hold the talk of one call, and report what came of it."""
        call_sid = connection.start.call_sid
        conversation = Conversation(brief, call_sid)
        control, dialer = CallControl(call_sid, self._settings), DialerClient(brief, call_sid, self._settings)
        # Told by a task of its own: the greeting does not wait for it.
        joined = asyncio.create_task(dialer.say_joined()) if dialer.takes_reports else None
        try:
            with self._overload.carries(conversation):
                talk = Talk(
                    conversation, connection, self._spare.take(brief),
                    control=control, dialer=dialer, settings=self._settings,
                )  # fmt: skip
                await talk.run(handle_sigint=handle_sigint)
        except asyncio.CancelledError:
            conversation.problem("the session was cancelled from outside")
            raise
        finally:
            if not (conversation.hung_up or conversation.handed_over or conversation.contact_left.is_set()):
                await control.hang_up()
            if joined:
                joined.cancel()  # the report says the same, and more
                report = conversation.report()
                delivered = "delivered" if await dialer.send_report(report) else "LOST"
                logger.info("{}: {}, report {}", report.attempt_id, report.disposition, delivered)
            else:
                self._unbriefed.discard(connection)  # the call is over, even if its opt-out is still being delivered
            await dialer.settled()
