"""Switches and windows: how the stand-ins misbehave, and what they were asked."""

import asyncio
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any, Final

KEPT: Final = 5_000
MODES: Final = ("ok", "refuse", "500", "hang", "die_mid")


@dataclass
class Conduct:
    """How one provider behaves."""

    mode: str = "ok"
    latency_ms: float = 0.0  # to the first byte, token or transcript

    async def delay(self) -> None:
        """Take the time that it takes; for ever, when it hangs."""
        if self.mode == "hang":
            await asyncio.sleep(3600)
        if self.latency_ms:
            await asyncio.sleep(self.latency_ms / 1000)


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
        """Apply `{"cartesia": {"mode": "hang", "latency_ms": 200}}`; returns what is wrong with it, or nothing."""
        for provider, changes in wanted.items():
            conduct = getattr(self, provider, None)
            if not isinstance(conduct, Conduct):
                return f"there is no provider {provider}"
            if changes.get("mode", "ok") not in MODES:
                return f"{provider}: mode is one of {', '.join(MODES)}"
            for name in set(changes) & {"mode", "latency_ms"}:
                setattr(conduct, name, changes[name])
        return ""

    def conduct(self) -> dict[str, Any]:
        """Return how each behaves now."""
        return {name: asdict(getattr(self, name)) for name in ("openai", "deepgram", "cartesia")}
