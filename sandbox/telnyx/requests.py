"""What every route needs of a request: the network that it is about, and its body."""

import json
from typing import Any, cast
from urllib.parse import parse_qsl

from fastapi import Request

from sandbox.telnyx.network import Net


def network_of(request: Request) -> Net:
    """Return the network that the app of this request stands for."""
    return cast("Net", request.app.state.net)


async def body_of(request: Request) -> dict[str, Any]:
    """Return the fields of a JSON or form body; nothing if it is neither."""
    raw = await request.body()
    if "json" in request.headers.get("content-type", ""):
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            return {}
        return cast("dict[str, Any]", body) if isinstance(body, dict) else {}
    return dict(parse_qsl(raw.decode("utf-8", "replace")))
