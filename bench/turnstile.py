"""A door that counts who goes through: TCP connections to the providers, forwarded."""

import asyncio
from contextlib import suppress


class Turnstile:
    """Forwards from a port of its own to another one of this machine."""

    def __init__(self, port: int, to: int) -> None:
        self.port, self.passed = port, 0
        self._to = to
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Open."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)

    def stop(self) -> None:
        """Let nobody in any more."""
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
