"""An agent that takes every call and says nothing: `python -m tests.chaos.mute --port N`."""

import argparse
import sys

from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

from sandbox.server import serve

app = FastAPI()


@app.websocket("/ws/telnyx")
async def swallow(socket: WebSocket) -> None:
    """Hear it all, and never answer."""
    await socket.accept()
    try:
        while True:
            await socket.receive()
    except (WebSocketDisconnect, RuntimeError):
        return


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    sys.exit(serve(app, "127.0.0.1", parser.parse_args().port))
