"""The first two messages of a Telnyx stream. Read here, because Pipecat 1.14 drops the custom parameters in them."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

HANDSHAKE_S: Final = 10.0
_MESSAGES: Final = 5
_LONGEST: Final = 256_000
ENCODINGS: Final = frozenset({"PCMU", "PCMA"})


class NoStart(ValueError):
    """What connected does not speak Telnyx's protocol: close the socket."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the stream says of itself."""

    stream_id: str
    call_sid: str
    encoding: str  # of what we hear: PCMU or PCMA
    parameters: Mapping[str, str]  # empty: somebody rang us, and nobody briefed us


async def read_start(socket: WebSocket) -> Start:
    """Read `connected` and `start`; raises NoStart if neither comes in time or in shape."""
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            for _ in range(_MESSAGES):
                text = await socket.receive_text()
                if len(text) > _LONGEST:
                    raise NoStart("the first message is too long")
                message = json.loads(text)
                if isinstance(message, dict) and message.get("event") == "start":
                    return _start(message)
    except TimeoutError as error:
        raise NoStart(f"no start message within {HANDSHAKE_S:.0f} s") from error
    except (WebSocketDisconnect, KeyError, RuntimeError) as error:
        raise NoStart("the socket closed before its start message") from error
    except ValueError as error:
        raise NoStart(f"the first messages are not Telnyx's: {error}") from error
    raise NoStart("no start message among the first messages")


def _start(message: Mapping[str, Any]) -> Start:
    start = message.get("start")
    if not isinstance(start, dict) or not start.get("call_control_id"):
        raise NoStart("the start message names no call")
    media = start.get("media_format")
    encoding = str(media.get("encoding") if isinstance(media, dict) else "PCMU").upper()
    if encoding not in ENCODINGS:
        raise NoStart(f"the audio is {encoding}; set codec=PCMU on the stream")
    return Start(
        stream_id=str(message.get("stream_id") or ""),
        call_sid=str(start["call_control_id"]),
        encoding=encoding,
        parameters=_parameters(start.get("custom_parameters")),
    )


def _parameters(given: Any) -> dict[str, str]:
    """Accept every form in which Telnyx documents or may send them: an object, a list of pairs, JSON in a string."""
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise NoStart("the custom parameters are a string that is not JSON") from None
    if isinstance(given, list):
        given = {str(p.get("name")): p.get("value") for p in given if isinstance(p, dict) and p.get("name")}
    if not isinstance(given, dict):
        return {}
    return {str(name): str(value) for name, value in given.items() if value is not None}
