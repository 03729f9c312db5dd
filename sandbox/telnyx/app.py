"""The HTTP side of the telephone network: Telnyx's REST API, and the sandbox's own routes."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.responses import Response

from sandbox.telnyx import account_api, calls_api, switches
from sandbox.telnyx.faults import REFUSALS, error, not_found
from sandbox.telnyx.network import Net


def create_app(net: Net) -> FastAPI:
    """Return the app that stands for this network; when it shuts down, all calls are hung up."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        yield
        await net.close()

    app = FastAPI(title="Telnyx stand-in", lifespan=lifespan, docs_url=None)
    app.state.net = net

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        net.base_url = net.base_url or str(request.base_url).rstrip("/")
        if request.url.path.startswith("/v2"):
            sent = request.headers.get("authorization")
            if sent is None:
                return not_found()
            if sent != f"Bearer {net.api_key}":
                return error(*REFUSALS["401"])
        return await call_next(request)

    for routes in (calls_api.routes, account_api.routes, switches.routes):
        app.include_router(routes)
    return app
