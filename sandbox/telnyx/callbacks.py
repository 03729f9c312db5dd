"""Callbacks: form-encoded and signed. Like Telnyx, it delivers each at least once, and promises no order."""

import asyncio
import base64
import random
import time
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import httpx
from nacl.signing import SigningKey

from sandbox.telnyx.records import timestamp

TIMEOUT_S: Final = 2.0
RETRIES: Final = 4
_AGAIN: Final = frozenset({408, 429})

AT_ONCE: Final = 64
"""How many deliveries are under way at once; the others wait. The HTTP client's own queue looks at every connection for each
waiting request, so a receiver that stands still for half a minute would slow down the whole network."""


@dataclass
class CallbackFaults:
    """How delivery misbehaves. `drop` and `duplicate` are probabilities."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay_s: float = 0.0  # each delivery waits a random time up to this, so the order is lost too
    dice: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - no secret


class Courier:
    """Signs and delivers forms in the background."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._client = httpx.AsyncClient(
            timeout=TIMEOUT_S, headers={"user-agent": "telnyx-webhooks"}, limits=httpx.Limits(max_connections=None)
        )
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.faults = CallbackFaults()

    def send(self, url: str, form: dict[str, str], log: list[dict[str, Any]]) -> None:
        """Begin to deliver a form to a URL; the outcome is noted in `log`."""
        if not url:
            return
        dice = self.faults.dice
        if dice.random() < self.faults.drop:
            log.append({"event": form.get("CallStatus", ""), "url": url, "sent_at": timestamp(), "dropped": True})
            return
        for _ in range(2 if dice.random() < self.faults.duplicate else 1):
            task = asyncio.create_task(self._deliver(url, form, log))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, url: str, form: dict[str, str], log: list[dict[str, Any]]) -> None:
        entry: dict[str, Any] = {"event": form.get("CallStatus", ""), "url": url, "attempts": 0, "status": None}
        log.append(entry)
        if self.faults.delay_s:
            await asyncio.sleep(self.faults.dice.uniform(0, self.faults.delay_s))
        for attempt in range(RETRIES + 1):
            try:
                async with self._room:
                    entry["attempts"], entry["sent_at"] = attempt + 1, timestamp()
                    answer = await self.post(url, form)
            except httpx.HTTPError as error:
                entry["status"] = type(error).__name__
            else:
                entry["status"] = answer.status_code
                if answer.status_code < 500 and answer.status_code not in _AGAIN:
                    return
            await asyncio.sleep(0.5 * 2**attempt)

    async def post(self, url: str, form: dict[str, str]) -> httpx.Response:
        """Send one signed form and return the answer."""
        body = urlencode(form).encode()
        at = str(int(time.time()))
        signature = self._key.sign(f"{at}|".encode() + body).signature
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "telnyx-timestamp": at,
            "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
        }
        return await self._client.post(url, content=body, headers=headers)

    async def close(self) -> None:
        """Wait one second for deliveries under way, then stop."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=1)
            for task in late:
                task.cancel()
        await self._client.aclose()
