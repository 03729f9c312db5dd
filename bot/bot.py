"""The agent: read the start message, greet at once, converse, hang up when the last word was heard, report.

`bot(runner_args)` is what Pipecat Cloud, Pipecat's development runner and the sandbox call, once for each phone call.
"""

import asyncio
import time
from contextlib import suppress

from loguru import logger
from pipecat.runner.types import RunnerArguments, WebSocketRunnerArguments
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.conversation import Conversation
from bot.dialer import say_joined, send_report
from bot.evals import Evaluation, accept_eval
from bot.floor import Floor
from bot.services import warm_up
from bot.settings import BotSettings, load_settings
from bot.stream import NoStart, Start, read_start
from bot.talk import Talk
from bot.telnyx import Line, TelnyxStream
from campaigns.call import Brief, BriefRefused, from_parameters

_spare = warm_up()
_unbriefed: set[str] = set()
"""Calls of which nothing is known: whoever finds the open WebSocket can make one."""


class TooMany(RuntimeError):
    """No more calls without a brief are taken now."""


async def bot(runner_args: RunnerArguments) -> None:
    """Take one call, from its start message to its delivered report."""
    assert isinstance(runner_args, WebSocketRunnerArguments)
    settings = load_settings()
    socket = runner_args.websocket
    try:
        evaluation = await accept_eval(runner_args) if settings.allow_evals else None
        start = evaluation.start if evaluation else await read_start(socket)
        brief = _brief(start, settings)
    except (NoStart, BriefRefused, TooMany) as refused:
        logger.warning("refused a stream: {}", refused)
        with suppress(RuntimeError, WebSocketDisconnect):  # they have closed it themselves
            await socket.close(1008)
        return
    if brief is None:
        _unbriefed.add(start.stream_id)
    try:
        await take(start, brief, socket, settings, evaluation, handle_sigint=runner_args.handle_sigint)
    finally:
        _unbriefed.discard(start.stream_id)


def _brief(start: Start, settings: BotSettings) -> Brief | None:
    """Return what we are told about a call, or None if somebody rang us; raises BriefRefused or TooMany."""
    if start.parameters:
        return from_parameters(start.parameters, settings.brief_secret.get_secret_value(), time.time())
    if len(_unbriefed) >= settings.unbriefed_calls:
        raise TooMany("a call without a brief; set UNBRIEFED_CALLS to take (more of) them")
    return None


async def take(
    start: Start,
    brief: Brief | None,
    socket: WebSocket,
    settings: BotSettings,
    evaluation: Evaluation | None,
    *,
    handle_sigint: bool,
) -> None:
    """Hold the talk of one call, and tell what came of it."""
    conversation = Conversation(brief, start.call_sid)
    floor = Floor(conversation.began)
    stream, line = evaluation.stream if evaluation else TelnyxStream(start), Line(start.call_sid, settings)
    stream.on_sound = floor.bot_sounds
    secret = settings.brief_secret.get_secret_value()
    joined = None
    if brief and brief.report_url:
        joined = asyncio.create_task(say_joined(brief, start.call_sid, secret))  # the greeting does not wait for it
    params = FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, audio_out_end_silence_secs=0, serializer=stream
    )
    transport = evaluation.transport if evaluation else FastAPIWebsocketTransport(socket, params)
    talk = Talk(conversation, line, stream, settings, floor)
    try:
        await talk.run(transport, _spare.take(brief), handle_sigint=handle_sigint)
    except asyncio.CancelledError:
        conversation.problem("the session was cancelled from outside")
        raise
    finally:
        if not (conversation.hung_up or conversation.handed_over or conversation.contact_left.is_set()):
            await line.hang_up()
        if brief and joined:
            joined.cancel()  # the report says it too
            report = conversation.report()
            delivered, _ = await asyncio.gather(send_report(report, brief.report_url, secret), talk.parting.settled())
            logger.info("{}: {}, report {}", brief.attempt_id, report.disposition, "delivered" if delivered else "LOST")
        else:
            _unbriefed.discard(start.stream_id)  # the line is free, though a wish may take longer to be told
            await talk.parting.settled()
