"""OpenAI's chat completions: streamed or whole, text or tool calls."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from sandbox.providers.rules import Say, ToolCall, answer
from sandbox.providers.state import Providers, forever

_TOKEN_S: Final = 0.005
_BREAKS_AFTER: Final = 2
"""In the mode die_mid, the connection breaks after this many tokens."""


def router(providers: Providers) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "gpt-4.1", "object": "model", "owned_by": "sandbox"}]})

    @routes.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {providers.key}":
            return _error(401, "invalid_api_key", "Incorrect API key provided.")
        body = await request.json()
        if not body.get("messages"):
            return _error(400, "invalid_request_error", "Missing required parameter: 'messages'.")
        providers.prompts.append({"at": time.time(), "model": body.get("model"), "messages": body["messages"]})
        struck = providers.openai.strikes({"500", "refuse", "hang", "die_mid"}, str(body.get("model", "")))
        if struck == "refuse":
            return _error(401, "invalid_api_key", "Incorrect API key provided.")
        if struck == "500":
            return _error(500, "server_error", "The server had an error while processing your request.")
        thinking = forever() if struck == "hang" else providers.openai.delay()
        if await _left_while(request, thinking):
            return Response(status_code=499)
        said = answer(body["messages"], body.get("tools") or [])
        if body.get("stream"):
            lines = _stream(body, said, breaks_off=struck == "die_mid")
            return StreamingResponse(lines, media_type="text/event-stream")
        return JSONResponse(_whole(body, said))

    return routes


async def _left_while(request: Request, doing: Coroutine[Any, Any, None]) -> bool:
    """Wait for a coroutine; return True if the client disconnects first."""
    task, gone = asyncio.ensure_future(doing), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return not task.done()
    finally:
        task.cancel()
        gone.cancel()


async def _stream(body: dict[str, Any], said: Say | ToolCall, *, breaks_off: bool) -> AsyncIterator[str]:
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "created": int(time.time())}
    head["model"] = body.get("model", "gpt-4.1")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        return f"data: {json.dumps(head | {'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}]})}\n\n"

    yield chunk({"role": "assistant", "content": None})
    for number, delta in enumerate(_deltas(said)):
        if breaks_off and number == _BREAKS_AFTER:
            break
        yield chunk(delta)
        await asyncio.sleep(_TOKEN_S)
    if breaks_off:
        raise ConnectionAbortedError
    yield chunk({}, "stop" if isinstance(said, Say) else "tool_calls")
    options: dict[str, Any] = body.get("stream_options") or {}
    if options.get("include_usage"):
        yield f"data: {json.dumps(head | {'choices': [], 'usage': _usage(body, said)})}\n\n"
    yield "data: [DONE]\n\n"


def _deltas(said: Say | ToolCall) -> Iterator[dict[str, Any]]:
    """Yield the answer token by token."""
    if isinstance(said, Say):
        for number, word in enumerate(said.text.split(" ")):
            yield {"content": word if number == 0 else f" {word}"}
        return
    function = {"name": said.tool, "arguments": ""}
    yield {
        "tool_calls": [{"index": 0, "id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}]
    }
    arguments = json.dumps(dict(said.arguments))
    for start in range(0, len(arguments), 12):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": arguments[start : start + 12]}}]}


def _whole(body: dict[str, Any], said: Say | ToolCall) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text if isinstance(said, Say) else None}
    if isinstance(said, ToolCall):
        function = {"name": said.tool, "arguments": json.dumps(dict(said.arguments))}
        message["tool_calls"] = [{"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}]
    reason = "stop" if isinstance(said, Say) else "tool_calls"
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model", "gpt-4.1"),
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": _usage(body, said),
    }


def _usage(body: dict[str, Any], said: Say | ToolCall) -> dict[str, int]:
    asked = len(json.dumps(body["messages"])) // 4
    told = len(said.text if isinstance(said, Say) else json.dumps(dict(said.arguments))) // 4 + 1
    return {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": code, "param": None, "code": code}}, status)
