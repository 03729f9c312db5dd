"""One call's connection: its start message, and the transport that carries its sound."""

from dataclasses import dataclass

from pipecat.runner.types import WebSocketRunnerArguments
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport

from bot.stream import Start, read_start
from bot.telnyx import TelnyxStream


@dataclass(frozen=True, eq=False)
class Connection:
    """A call whose start message has been read, and whose sound has not begun."""

    start: Start
    stream: TelnyxStream  # translates between frames and messages, and tells when sound leaves
    transport: FastAPIWebsocketTransport
    speaks_rtvi: bool = False  # Pipecat's own protocol, in which the bot tells what its model does: never to a carrier


async def connect(arguments: WebSocketRunnerArguments) -> Connection:
    """Read the start message of a call from Telnyx. Raises NoStart if it does not come, or is not one."""
    start = await read_start(arguments.websocket)
    stream = TelnyxStream(start)
    params = FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, audio_out_end_silence_secs=0, serializer=stream
    )
    return Connection(start, stream, FastAPIWebsocketTransport(arguments.websocket, params))
