"""Serve an ASGI app, and print the address once the port is bound: a parent process waits for that line."""

import contextlib
import socket
import sys
from typing import Any

import uvicorn


class PortTaken(RuntimeError):
    """Another process listens on this port. The message says what to do."""


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 means any free port. Raises PortTaken."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    sock.listen(512)
    return sock


def serve(app: Any, host: str, port: int) -> int:
    """Print `listening on http://…`, serve until SIGTERM or Ctrl-C, and return the exit code."""
    try:
        sock = bind(host, port)
    except PortTaken as taken:
        sys.stderr.write(f"{taken}\n")
        return 1
    # No pings: a busy machine answers them late, and the library would then close healthy calls.
    config = uvicorn.Config(
        app,
        ws_per_message_deflate=False,
        log_level="critical",
        ws_ping_interval=None,
        timeout_graceful_shutdown=3,
        access_log=False,
        ws_max_size=1 << 20,
    )
    sys.stdout.write(f"listening on http://{host}:{sock.getsockname()[1]}\n")
    sys.stdout.flush()
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[sock])
    return 0
