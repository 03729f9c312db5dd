"""OpenAI's chat completions: streamed or whole, text or tool calls."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from sandbox.providers.rules import Call, Say, answer
from sandbox.providers.state import State


def router(state: State) -> APIRouter:
    """Return the routes."""
    routes = APIRouter()

    @routes.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "gpt-4.1", "object": "model", "owned_by": "sandbox"}]})

    @routes.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {state.key}":
            return _error(401, "invalid_api_key", "Incorrect API key provided.")
        body = await request.json()
        if not body.get("messages"):
            return _error(400, "invalid_request_error", "Missing required parameter: 'messages'.")
        state.prompts.append({"at": time.time(), "model": body.get("model"), "messages": body["messages"]})
        if state.openai.mode in {"500", "refuse"}:
            return _error(500, "server_error", "The server had an error while processing your request.")
        said = answer(body["messages"], body.get("tools") or [])
        if body.get("stream"):
            return StreamingResponse(_stream(state, body, said), media_type="text/event-stream")
        await state.openai.delay()
        return JSONResponse(_whole(body, said))

    return routes


async def _stream(state: State, body: dict[str, Any], said: Say | Call) -> AsyncIterator[str]:
    await state.openai.delay()
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "created": int(time.time())}
    head["model"] = body.get("model", "gpt-4.1")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        return f"data: {json.dumps(head | {'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}]})}\n\n"

    yield chunk({"role": "assistant", "content": None})
    if isinstance(said, Say):
        for number, word in enumerate(said.text.split(" ")):
            if number == 2 and state.openai.mode == "die_mid":
                raise ConnectionAbortedError
            yield chunk({"content": word if number == 0 else f" {word}"})
            await asyncio.sleep(0.005)
        yield chunk({}, "stop")
    else:
        call_id = f"call_{uuid.uuid4().hex[:24]}"
        function = {"name": said.tool, "arguments": ""}
        yield chunk({"tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": function}]})
        arguments = json.dumps(dict(said.arguments))
        for start in range(0, len(arguments), 12):
            piece = {"index": 0, "function": {"arguments": arguments[start : start + 12]}}
            yield chunk({"tool_calls": [piece]})
        yield chunk({}, "tool_calls")
    if (body.get("stream_options") or {}).get("include_usage"):
        yield f"data: {json.dumps(head | {'choices': [], 'usage': _usage(body, said)})}\n\n"
    yield "data: [DONE]\n\n"


def _whole(body: dict[str, Any], said: Say | Call) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said.text if isinstance(said, Say) else None}
    if isinstance(said, Call):
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


def _usage(body: dict[str, Any], said: Say | Call) -> dict[str, int]:
    asked = len(json.dumps(body["messages"])) // 4
    told = len(said.text if isinstance(said, Say) else json.dumps(dict(said.arguments))) // 4 + 1
    return {"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told}


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": code, "param": None, "code": code}}, status)
