"""Run the stand-ins: `python -m sandbox.providers --help`."""

import argparse
import sys
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from sandbox.providers import cartesia, deepgram, openai, recognizer
from sandbox.providers.state import State
from sandbox.server import serve


def create_app(state: State) -> FastAPI:
    """Return all three, and their switches."""
    app = FastAPI(title="Provider stand-ins", docs_url=None)
    for provider in (openai, deepgram, cartesia):
        app.include_router(provider.router(state))

    @app.get("/sandbox/{window}")
    async def look(window: str) -> Response:
        windows: dict[str, Any] = {
            "health": {"status": "ok"},
            "faults": state.conduct(),
            "spoken": list(state.spoken),
            "heard": list(state.heard),
            "prompts": list(state.prompts),
        }
        return JSONResponse(
            windows.get(window, {"error": f"there is {', '.join(windows)}"}), 200 if window in windows else 404
        )

    @app.post("/sandbox/faults")
    async def faults(body: dict[str, dict[str, Any]]) -> Response:
        problem = state.switch(body)
        return JSONResponse({"error": problem} if problem else state.conduct(), 422 if problem else 200)

    return app


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.providers", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8932, help="0: any free one")
    parser.add_argument("--key", default="sandbox", help="the API key of all three")
    given = parser.parse_args()
    recognizer.table()  # before the first call
    return serve(create_app(State(key=given.key)), given.host, given.port)


if __name__ == "__main__":
    sys.exit(main())
