"""The bots of Pipecat Cloud: warm ones answer at once, cold ones must start first."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class Pool:
    """A number of warm bots. A call that finds none waits for a cold start; a used bot is replaced some time after its call."""

    warm: int
    cold_s: float = 20.0  # how long a cold start takes
    replaced_s: float = 30.0  # from the end of a call until another bot is warm in its place
    busy: int = 0
    cold_starts: int = 0
    _replacing: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def __post_init__(self) -> None:
        self.idle = self.warm

    async def take(self) -> bool:
        """Wait for a bot; return True if a warm one was free."""
        self.busy += 1
        if self.idle:
            self.idle -= 1
            return True
        self.cold_starts += 1
        await asyncio.sleep(self.cold_s)
        return False

    def leave(self, *, was_warm: bool) -> None:
        """Give a bot back at the end of its call."""
        self.busy -= 1
        if was_warm:
            task = asyncio.create_task(self._replace())
            self._replacing.add(task)
            task.add_done_callback(self._replacing.discard)

    async def _replace(self) -> None:
        await asyncio.sleep(self.replaced_s)
        self.idle += 1

    def details(self, name: str) -> dict[str, object]:
        """Return what Pipecat Cloud's REST API says about the agent."""
        return {
            "name": name,
            "ready": True,
            "available": True,
            "activeSessionCount": self.busy,
            "autoScaling": {"minReplicas": self.warm, "maxReplicas": self.warm + self.busy},
            "currentRevision": {"phase": "Active", "readyReplicas": self.idle + self.busy},
        }
