"""A TCP proxy in front of each process's view of Redis and of the carrier: cuts the network, and kills at a named step."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@dataclass
class Trap:
    """Springs once, when a request holds the pattern: before it is passed on, or after it was answered.

    After: the other side has done its work, and nobody is left to hear of it.
    """

    pattern: bytes
    when: Literal["before", "after"]
    spring: Callable[[], None]
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """One listening port on the loopback, forwarding to one place."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connect: Connect) -> None:
        self._loop, self._connect = loop, connect
        self._trap: Trap | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._state: Literal["on", "refusing", "silent"] = "on"
        self._on_again = asyncio.Event()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), loop).result(10)

    def arm(self, trap: Trap) -> None:
        """Set the trap; it replaces one that has not sprung."""
        self._trap = trap

    def disarm(self) -> None:
        """Take away a trap that has not sprung: nothing is killed from now on."""
        self._trap = None

    def cut(self, seconds: float, *, silently: bool) -> None:
        """Cut the network for a while: connections are closed and refused, or hang without a word."""
        asyncio.run_coroutine_threadsafe(self._cut(seconds, silently=silently), self._loop)

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _cut(self, seconds: float, *, silently: bool) -> None:
        self._on_again.clear()
        self._state = "silent" if silently else "refusing"
        if not silently:
            for writer in list(self._open):
                writer.transport.abort()
        await asyncio.sleep(seconds)
        self._state = "on"
        self._on_again.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._state == "refusing":
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        answered: list[Trap] = []
        pumps = {
            asyncio.create_task(self._up(reader, far_writer, answered)),
            asyncio.create_task(self._down(far_reader, writer, answered)),
        }
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for end in ends:
            self._open.discard(end)
            end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: list[Trap]) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._not_silent()
                trap = self._trap
                if trap and trap.pattern in data:
                    self._trap = None
                    if trap.when == "before":
                        trap.spring()
                        trap.sprung.set()
                        return
                    answered.append(trap)
                writer.write(data)
                await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answered: list[Trap]) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._not_silent()
                if answered:
                    trap = answered.pop()
                    trap.spring()
                    trap.sprung.set()
                    return
                writer.write(data)
                await writer.drain()

    async def _not_silent(self) -> None:
        if self._state == "silent":
            await self._on_again.wait()


class Network:
    """The loop that all proxies run on, in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def to_socket(self, path: str) -> Proxy:
        """Return a proxy to a Unix socket."""
        return Proxy(self._loop, lambda: asyncio.open_unix_connection(path))

    def to_port(self, port: int) -> Proxy:
        """Return a proxy to a port of this machine."""
        return Proxy(self._loop, lambda: asyncio.open_connection("127.0.0.1", port))
