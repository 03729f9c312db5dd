"""A TCP proxy in front of the providers that counts the connections."""

import asyncio
from contextlib import suppress


class Turnstile:
    """Forwards from a port of its own to another port of this machine. The port is known once `start` has returned."""

    def __init__(self, to: int) -> None:
        self.port = self.passed = 0
        self._to = to
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on any free port."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Accept no more connections."""
        if self._server:
            self._server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed += 1
        with suppress(OSError):
            inside_reader, inside_writer = await asyncio.open_connection("127.0.0.1", self._to)
            await asyncio.gather(_copy(reader, inside_writer), _copy(inside_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
