"""Real servers for tests: a Redis with any options, a Sentinel's process, and what speaks TLS in front of one."""

import asyncio
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import redis
import trustme

from worker.machine.embedded import server_binary
from worker.machine.processes import free_port

PATIENCE_S = 300.0
"""No verdict hangs on this: what comes true comes true in seconds, and in a minute on a very slow machine."""


@contextmanager
def running(*options: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server in this folder, with these options."""
    folder.mkdir(exist_ok=True)
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen([server_binary(), *options], cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def redis_with(options: Mapping[str, str], folder: Path, port: int = 0) -> Iterator[str]:
    """A server as the embedded one, but for these options; yields its URL. It is killed in the end."""
    port = port or free_port()
    ours = {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "save": "",
        "port": str(port),
    }
    words = [word for name, value in (ours | options).items() for word in (f"--{name}", value)]
    with running(*words, folder=folder) as process:
        url = f"redis://127.0.0.1:{port}/0"
        until(lambda: answers(url) or process.poll() is not None)
        assert process.poll() is None, (folder / "server.log").read_text()
        yield url


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2].removesuffix("/0"))


def answers(url: str) -> bool:
    with redis.Redis.from_url(url) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return True
        except redis.RedisError:
            return False


def until(true: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.1)


@contextmanager
def tls_in_front_of(port: int, authority: trustme.CA) -> Iterator[int]:
    """What stunnel would be: a port that speaks TLS, and hands everything on to a server that does not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    loop, open_ones = asyncio.new_event_loop(), list[asyncio.StreamWriter]()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        open_ones.extend((writer, forth))
        await asyncio.gather(pump(reader, forth), pump(back, writer))

    async def stop() -> None:
        server.close()
        for writer in open_ones:
            writer.transport.abort()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(0)

    server = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
