"""How the stand-ins are told to misbehave, and what they have been asked so far."""

import asyncio
from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from fastapi import WebSocket
from starlette.responses import JSONResponse

KEPT: Final = 5_000
"""How many utterances, transcripts and prompts are kept for a test to look at."""

MODES: Final = ("ok", "refuse", "500", "hang", "die_mid")


@dataclass
class Conduct:
    """How one provider behaves."""

    mode: str = "ok"
    latency_ms: float = 0.0  # until the first byte, token or transcript
    after: int = 0  # how many connections, requests or utterances (whatever the mode concerns) go well before it begins
    only: str = ""  # the mode concerns only this model or voice; empty: all
    served: int = 0  # how many have gone well since the last change

    def strikes(self, modes: AbstractSet[str], *names: str, counts: bool = True) -> str:
        """Return the mode if it is one of `modes`, concerns one of these models or voices, and has begun; else ""."""
        if self.mode not in modes or (self.only and self.only not in names):
            return ""
        if self.served >= self.after:
            return self.mode
        self.served += counts
        return ""

    async def delay(self) -> None:
        """Wait for the latency."""
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)


async def forever() -> None:
    """Never answer: wait until the task is cancelled."""
    await asyncio.Event().wait()


async def refused(socket: WebSocket, status: int) -> None:
    """Answer a WebSocket handshake with an HTTP status."""
    await socket.send_denial_response(JSONResponse({"error": "refused"}, status))


@dataclass
class Providers:
    """What all connections of the three stand-ins share."""

    key: str = "sandbox"
    openai: Conduct = field(default_factory=Conduct)
    deepgram: Conduct = field(default_factory=Conduct)
    cartesia: Conduct = field(default_factory=Conduct)
    spoken: deque[dict[str, Any]] = field(default_factory=lambda: deque[dict[str, Any]](maxlen=KEPT))  # to Cartesia
    heard: deque[dict[str, Any]] = field(default_factory=lambda: deque[dict[str, Any]](maxlen=KEPT))  # by Deepgram
    prompts: deque[dict[str, Any]] = field(default_factory=lambda: deque[dict[str, Any]](maxlen=KEPT))  # to OpenAI

    def switch(self, wanted: dict[str, dict[str, Any]]) -> str:
        """Apply changes such as `{"cartesia": {"mode": "die_mid", "after": 2}}`; return what is wrong with them, or "".

        Values that are not named stay as they are. But a change of mode resets `after`, `only` and the count.
        """
        known = {each.name for each in fields(Conduct)} - {"served"}
        for provider, changes in wanted.items():
            if not isinstance(getattr(self, provider, None), Conduct):
                return f"there is no provider {provider}"
            if changes.get("mode", "ok") not in MODES:
                return f"{provider}: mode must be one of {', '.join(MODES)}"
            if unknown := set(changes) - known:
                return f"{provider}: there is no {', '.join(unknown)}; there is {', '.join(sorted(known))}"
        for provider, changes in wanted.items():
            anew = {"after": 0, "only": "", "served": 0} if "mode" in changes else {}
            for name, value in (anew | changes).items():
                setattr(getattr(self, provider), name, value)
        return ""

    def conduct(self) -> dict[str, Any]:
        """Return how each provider behaves now."""
        return {name: asdict(getattr(self, name)) for name in ("openai", "deepgram", "cartesia")}
