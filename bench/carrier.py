"""A carrier that costs next to nothing: `python -m bench.carrier --port N --answer-ms 50`.

It notes when each dial arrives, answers after so many milliseconds, and lets nobody pick up: the one callback of a call
says `no-answer`. The sandbox's network does far more: at 150 dials a second on two cores, one would measure the network.
"""

import argparse
import asyncio
import base64
import gc
import json
import secrets
import signal
import time
from contextlib import suppress
from os import PRIO_PROCESS, setpriority
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from nacl.signing import SigningKey

_LINES_TO_CALLBACKS: Final = 8
_LOOK_EVERY_S: Final = 0.002


class Exchange:
    """The dials that have arrived, and the callbacks that are due."""

    def __init__(self, key: SigningKey, answer_s: float, ring_s: float) -> None:
        self.answer_s, self.ring_s = answer_s, ring_s
        # Seconds of the monotonic clock: since when the dial may have been here unseen, when it was seen; and the number.
        self.arrivals: list[tuple[float, float, str]] = []
        self.looked_at = time.monotonic()
        self._key = key
        self._due: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

    def arrived(self, at: float, body: bytes) -> bytes:
        """Note a dial; returns the answer's body."""
        order: dict[str, Any] = json.loads(body)
        self.arrivals.append((min(at, self.looked_at), at, str(order["To"])))
        sid = f"v3:{secrets.token_urlsafe(18)}"
        if url := order.get("StatusCallback"):
            form = {"CallSid": sid, "CallStatus": "no-answer", "HangupCause": "no_answer", "SipHangupCause": "480"}
            told = (str(url), urlencode(form).encode())
            asyncio.get_running_loop().call_later(self.answer_s + self.ring_s, self._due.put_nowait, told)
        answer = {"from": order["From"], "to": order["To"], "status": "queued", "call_sid": sid}
        return json.dumps(answer).encode()

    async def look(self) -> None:
        """Note again and again when this process has last looked for arrivals: on a busy machine it may stand still."""
        while True:
            self.looked_at = time.monotonic()
            await asyncio.sleep(_LOOK_EVERY_S)

    async def tell(self) -> None:
        """Deliver callbacks over one connection, for ever, each until it is taken."""
        wire: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while True:
            url, form = await self._due.get()
            for _ in range(20):
                try:
                    where = urlsplit(url)
                    wire = wire or await asyncio.open_connection(where.hostname, where.port)
                    if await self._posted(wire, f"{where.path}?{where.query}", form):
                        break
                except (OSError, asyncio.IncompleteReadError):
                    wire = None
                await asyncio.sleep(0.1)

    async def _posted(self, wire: tuple[asyncio.StreamReader, asyncio.StreamWriter], path: str, form: bytes) -> bool:
        reader, writer = wire
        at = str(int(time.time()))
        signature = base64.b64encode(self._key.sign(f"{at}|".encode() + form).signature).decode()
        head = (
            f"POST {path} HTTP/1.1\r\nhost: callbacks\r\ncontent-type: application/x-www-form-urlencoded\r\n"
            f"content-length: {len(form)}\r\ntelnyx-timestamp: {at}\r\ntelnyx-signature-ed25519: {signature}\r\n\r\n"
        )
        writer.write(head.encode() + form)
        answer = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(_length(answer))
        return answer.split(b" ", 2)[1] == b"200"


class Door(asyncio.Protocol):
    """One connection of a dialer, kept alive."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._got = bytearray()

    def connection_made(self, transport: Any) -> None:
        """Part of Protocol."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Part of Protocol. A request has arrived when its last byte has."""
        at = time.monotonic()
        self._got += data
        while (head_ends := self._got.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._got[: head_ends + 4])
            end = head_ends + 4 + _length(head)
            if len(self._got) < end:
                return
            body = bytes(self._got[head_ends + 4 : end])
            del self._got[:end]
            if head.startswith(b"POST"):
                answer = self._exchange.arrived(at, body)
                asyncio.get_running_loop().call_later(self._exchange.answer_s, self._answer, answer)
            else:
                self._answer(json.dumps(self._exchange.arrivals).encode())

    def _answer(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


def _length(head: bytes) -> int:
    name = b"content-length:"
    at = head.lower().find(name)
    return int(head[at + len(name) : head.index(b"\r\n", at)]) if at >= 0 else 0


async def serve(exchange: Exchange, port: int) -> None:
    """Serve until SIGTERM. `GET` any path returns the arrivals so far."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = await loop.create_server(lambda: Door(exchange), "127.0.0.1", port)
    tasks = [asyncio.create_task(exchange.tell()) for _ in range(_LINES_TO_CALLBACKS)]
    tasks.append(asyncio.create_task(exchange.look()))
    await over.wait()
    server.close()
    for task in tasks:
        task.cancel()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(prog="python -m bench.carrier", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--answer-ms", type=float, default=50.0, help="how long a dial waits for its answer")
    parser.add_argument("--ring-ms", type=float, default=200.0, help="from the answer to the call's callback")
    parser.add_argument("--private-key", required=True, help="base64 of the seed that callbacks are signed with")
    given = parser.parse_args()
    gc.disable()
    with suppress(OSError):
        setpriority(PRIO_PROCESS, 0, -10)  # what measures must not wait for what is measured
    key = SigningKey(base64.b64decode(given.private_key))
    asyncio.run(serve(Exchange(key, given.answer_ms / 1000, given.ring_ms / 1000), given.port))


if __name__ == "__main__":
    main()
