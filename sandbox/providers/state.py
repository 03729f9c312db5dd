"""Switches and windows: how the stand-ins misbehave, and what they were asked."""

import asyncio
from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from fastapi import WebSocket
from starlette.responses import JSONResponse

KEPT: Final = 5_000
MODES: Final = ("ok", "refuse", "500", "hang", "die_mid")


@dataclass
class Conduct:
    """How one provider behaves."""

    mode: str = "ok"
    latency_ms: float = 0.0  # to the first byte, token or transcript
    after: int = 0  # how many go well before the mode sets in: connections, requests or utterances, as the mode strikes
    only: str = ""  # the model or the voice that it strikes; empty: all
    served: int = 0  # how many have gone well since the switch

    def strikes(self, modes: AbstractSet[str], *names: str, counts: bool = True) -> str:
        """Return the mode if it is one of these, strikes one of these models or voices, and has set in; else ""."""
        if self.mode not in modes or (self.only and self.only not in names):
            return ""
        if self.served >= self.after:
            return self.mode
        self.served += counts
        return ""

    async def delay(self) -> None:
        """Take the time that it takes."""
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)


async def forever() -> None:
    """Say nothing, ever: until whoever waits is cancelled."""
    await asyncio.Event().wait()


async def refused(socket: WebSocket, status: int) -> None:
    """Answer a handshake with an HTTP status."""
    await socket.send_denial_response(JSONResponse({"error": "refused"}, status))


@dataclass
class State:
    """Everything that is shared between the stand-ins' connections."""

    key: str = "sandbox"
    openai: Conduct = field(default_factory=Conduct)
    deepgram: Conduct = field(default_factory=Conduct)
    cartesia: Conduct = field(default_factory=Conduct)
    spoken: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    heard: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))
    prompts: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def switch(self, wanted: dict[str, dict[str, Any]]) -> str:
        """Apply `{"cartesia": {"mode": "die_mid", "after": 2}}`; returns what is wrong with it, or nothing.

        What is not named stays as it is, but a mode begins with `after` 0, `only` empty, and nothing counted.
        """
        known = {each.name for each in fields(Conduct)} - {"served"}
        for provider, changes in wanted.items():
            if not isinstance(getattr(self, provider, None), Conduct):
                return f"there is no provider {provider}"
            if changes.get("mode", "ok") not in MODES:
                return f"{provider}: mode is one of {', '.join(MODES)}"
            if unknown := set(changes) - known:
                return f"{provider}: {', '.join(unknown)}: there is {', '.join(sorted(known))}"
        for provider, changes in wanted.items():
            anew = {"after": 0, "only": "", "served": 0} if "mode" in changes else {}
            for name, value in (anew | changes).items():
                setattr(getattr(self, provider), name, value)
        return ""

    def conduct(self) -> dict[str, Any]:
        """Return how each behaves now."""
        return {name: asdict(getattr(self, name)) for name in ("openai", "deepgram", "cartesia")}
