"""How a word comes in: its body, whole and not too long, and then into the store. What it means is decided elsewhere."""

import asyncio
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request
from starlette.requests import ClientDisconnect

from worker.app import store
from worker.store import witnesses
from worker.store.values import Reception

BODY_LIMIT: Final = 1_000_000
"""Bytes. A report with the transcript of an hour is a tenth of it; a callback, a thousandth."""

BODY_S: Final = 10.0
"""Seconds that a body may take. Telnyx and the bot send theirs in one piece, and again if we refuse it."""

_CLOSE: Final = {"connection": "close"}
"""With an answer to half a request: the rest of it is not read."""


async def body(request: Request) -> bytes:
    """Return the request's body; 413 as soon as it passes the limit, 408 when its time is up."""
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                received += chunk
                if len(received) > BODY_LIMIT:
                    raise HTTPException(413, f"a body may have {BODY_LIMIT:,} bytes", _CLOSE)
    except TimeoutError as error:
        raise HTTPException(408, f"the body took more than {BODY_S:.0f} s: send it again", _CLOSE) from error
    except ClientDisconnect as error:
        raise HTTPException(400, "the body broke off: send it again", _CLOSE) from error
    return bytes(received)


Body = Annotated[bytes, Depends(body)]


def hear(attempt_id: str, testimony: witnesses.Testimony) -> Reception:
    """Write a witness's word down. If it is news, the next sweep finds its attempt."""
    return store().attempts.witness(attempt_id, testimony)
