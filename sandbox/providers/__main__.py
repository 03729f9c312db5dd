"""Run the stand-ins: `python -m sandbox.providers --help`."""

import argparse
import sys
from typing import Any

from fastapi import FastAPI
from starlette.responses import JSONResponse, Response

from sandbox.providers import cartesia, deepgram, openai, recognizer
from sandbox.providers.state import Providers
from sandbox.server import serve


def create_app(providers: Providers) -> FastAPI:
    """Return one app with the three stand-ins, their records and their switches."""
    app = FastAPI(title="Provider stand-ins", docs_url=None)
    for provider in (openai, deepgram, cartesia):
        app.include_router(provider.router(providers))

    @app.get("/sandbox/{window}")
    async def look(window: str) -> Response:
        windows: dict[str, Any] = {
            "health": {"status": "ok"},
            "faults": providers.conduct(),
            "spoken": list(providers.spoken),
            "heard": list(providers.heard),
            "prompts": list(providers.prompts),
        }
        return JSONResponse(
            windows.get(window, {"error": f"there is {', '.join(windows)}"}), 200 if window in windows else 404
        )

    @app.post("/sandbox/faults")
    async def faults(body: dict[str, dict[str, Any]]) -> Response:
        problem = providers.switch(body)
        return JSONResponse({"error": problem} if problem else providers.conduct(), 422 if problem else 200)

    return app


def main() -> int:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.providers", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8932, help="0: any free port")
    parser.add_argument("--key", default="sandbox", help="the API key that all three ask for")
    given = parser.parse_args()
    recognizer.table()  # it takes a second, which no call should wait for
    return serve(create_app(Providers(key=given.key)), given.host, given.port)


if __name__ == "__main__":
    sys.exit(main())
