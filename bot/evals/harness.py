"""An eval harness in the place of a phone call: `pipecat.evals` connects to the same socket, and speaks RTVI.

Its brief is signed like any other. It comes in the session's body, as `{"parameters": {...}}`, with the parameters that
Telnyx would have brought.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

from pipecat.evals.fastapi_transport import EvalFastAPIWebsocketTransport
from pipecat.evals.serializer import EvalSerializer, parse_eval_connect
from pipecat.evals.transport import EvalTransportParams
from pipecat.frames.frames import Frame, InputTransportMessageFrame, OutputTransportMessageFrame
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.runner.types import WebSocketRunnerArguments
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.transports.websocket.fastapi import FastAPIWebsocketTransport
from starlette.websockets import WebSocketDisconnect

from bot.connection import Connection
from bot.connection import connect as connect_call
from bot.stream import HANDSHAKE_S, NoStart, Start
from bot.telnyx import TelnyxStream

CALL_SID: Final = "eval"

INTERRUPTED_S: Final = 0.3
"""How long a `bot-interrupted` is held back from the harness. At that message it forgets what it has not read yet, and a
tool that ends the call interrupts the bot in the same moment in which the harness is told of the tool."""

_INTERRUPTED: Final = '"bot-interrupted"'


class EvalStream(TelnyxStream):
    """Speaks RTVI on the wire. Of Telnyx's side it keeps the times of sound, and marks: they come back at once."""

    def __init__(self, start: Start, rtvi: FrameSerializer) -> None:
        super().__init__(start)
        self._rtvi = rtvi
        self.transport: FastAPIWebsocketTransport | None = None

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Set both serializers up."""
        await super().setup(setup)
        await self._rtvi.setup(setup)

    async def serialize(self, frame: Frame) -> str | bytes | None:
        """Note when sound leaves, echo marks, and send what the harness understands."""
        if isinstance(frame, OutputTransportMessageFrame) and frame.message.get("event") == "mark" and self.transport:
            await self.transport.input().push_frame(InputTransportMessageFrame(message=frame.message))
            return None
        await super().serialize(frame)
        message = await self._rtvi.serialize(frame)
        if isinstance(message, str) and _INTERRUPTED in message:
            await asyncio.sleep(INTERRUPTED_S)
        return message

    async def deserialize(self, data: str | bytes) -> Frame | None:
        """Read one message of the harness."""
        return await self._rtvi.deserialize(data)


async def connect(arguments: WebSocketRunnerArguments) -> Connection:
    """Read the first message: a harness's, or a call's `connected`, after which its start is read. Raises NoStart."""
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            flags = parse_eval_connect(json.loads(await arguments.websocket.receive_text()))
    except (TimeoutError, ValueError, KeyError, RecursionError, WebSocketDisconnect, RuntimeError) as error:
        raise NoStart(f"no first message: {type(error).__name__}") from error
    if flags is None:
        return await connect_call(arguments)
    start = Start(stream_id="eval", call_sid=CALL_SID, encoding="PCMU", parameters=_parameters(arguments.body))
    rtvi = EvalSerializer()
    rtvi.set_capture_audio(flags.capture_bot_audio)
    stream = EvalStream(start, rtvi)
    params = EvalTransportParams(
        audio_in_enabled=True, audio_out_enabled=True, audio_out_end_silence_secs=0, serializer=stream
    )
    transport = stream.transport = EvalFastAPIWebsocketTransport(arguments.websocket, params, flags)
    return Connection(start, stream, transport, speaks_rtvi=True)


def _parameters(body: Any) -> dict[str, str]:
    given = body.get("parameters") if isinstance(body, Mapping) else None
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, Mapping) else {}
