"""What every route takes: a request's body, whole and not too long, and the Dialer of this process."""

import asyncio
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request
from starlette.requests import ClientDisconnect

from worker.dialing.collaborators import Dialer

BODY_LIMIT: Final = 1_000_000
"""Bytes. A report with the transcript of an hour is a tenth of it; a callback, a thousandth."""

BODY_S: Final = 10.0
"""Seconds that a body may take. Telnyx and the bot send theirs in one piece, and again if we refuse it."""

_CLOSE: Final = {"connection": "close"}
"""Sent with an answer to half a request: the rest of it is not read."""


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


def dialer(request: Request) -> Dialer:
    """Return what `worker.callbacks` has built for this process."""
    return request.app.state.dialer


Body = Annotated[bytes, Depends(body)]
WithDialer = Annotated[Dialer, Depends(dialer)]
