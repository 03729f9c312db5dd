"""The first two messages of a Telnyx stream. We read them ourselves: Pipecat 1.14 drops the custom parameters in them."""

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

HANDSHAKE_S: Final = 10.0
_MESSAGES: Final = 5
_LONGEST: Final = 256_000
ENCODINGS: Final = frozenset({"PCMU", "PCMA"})
_RATE: Final = 8000
_CALL: Final = re.compile(r"[A-Za-z0-9][\w:.+/=-]{0,255}", re.ASCII)


class NoStart(ValueError):
    """The other side does not speak Telnyx's protocol: close the socket."""


@dataclass(frozen=True, slots=True)
class Start:
    """What the start message says about the call."""

    stream_id: str
    call_sid: str
    encoding: str  # of the sound that we hear: PCMU or PCMA
    parameters: Mapping[str, str]  # the brief; empty if somebody rang us and the dialer was away


async def read_start(socket: WebSocket) -> Start:
    """Read up to the `start` message. Raises NoStart if it does not come within 10 s, or is not one of Telnyx's."""
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
    except (ValueError, KeyError, TypeError, RecursionError) as error:  # a binary message is a KeyError
        raise NoStart(f"the first messages are not Telnyx's: {error}") from error
    except (WebSocketDisconnect, RuntimeError) as error:
        raise NoStart("the socket closed before its start message") from error
    raise NoStart("no start message among the first messages")


def _start(message: Mapping[str, Any]) -> Start:
    start = message.get("start")
    call_sid = start.get("call_control_id") if isinstance(start, dict) else None
    if not isinstance(start, dict) or not isinstance(call_sid, str) or not _CALL.fullmatch(call_sid):
        raise NoStart("the start message names no call")
    told = start.get("media_format")
    media = told if isinstance(told, dict) else {"encoding": "PCMU"}
    encoding, rate = str(media.get("encoding")).upper(), str(media.get("sample_rate", _RATE))
    if encoding not in ENCODINGS or rate != str(_RATE):
        raise NoStart(f"the audio is {encoding[:40]} at {rate[:40]} Hz; set codec=PCMU on the stream")
    return Start(
        stream_id=str(message.get("stream_id") or ""),
        call_sid=call_sid,
        encoding=encoding,
        parameters=_parameters(start.get("custom_parameters")),
    )


def _parameters(given: Any) -> dict[str, str]:
    """Read the custom parameters as an object, as a list of pairs, or as JSON in a string: Telnyx may send each of these."""
    if isinstance(given, str) and given:
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            raise NoStart("the custom parameters are a string that is not JSON") from None
    if isinstance(given, list) and all(isinstance(p, dict) for p in given):
        given = {str(p.get("name")): p.get("value") for p in given if p.get("name")}
    if not given:
        return {}
    if not isinstance(given, dict):
        raise NoStart("the custom parameters are neither an object nor a list of pairs")
    return {str(name): str(value) for name, value in given.items() if value is not None}
