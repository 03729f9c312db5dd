"""The bots of Pipecat Cloud, as far as it shows whether there are enough: warm ones are there at once, cold ones are not."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class Pool:
    """So many warm bots. One that was used is replaced after a while; a call that finds none waits for a cold one."""

    warm: int
    cold_s: float = 20.0  # until a cold one is there
    replaced_s: float = 30.0  # after the end of its call, until another is warm in its place
    busy: int = 0
    cold_starts: int = 0
    _replacing: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.idle = self.warm

    async def take(self) -> bool:
        """Wait for a bot; True if it was warm."""
        self.busy += 1
        if self.idle:
            self.idle -= 1
            return True
        self.cold_starts += 1
        await asyncio.sleep(self.cold_s)
        return False

    def leave(self, *, was_warm: bool) -> None:
        """End a bot's session."""
        self.busy -= 1
        if was_warm:
            task = asyncio.create_task(self._replace())
            self._replacing.add(task)
            task.add_done_callback(self._replacing.discard)

    async def _replace(self) -> None:
        await asyncio.sleep(self.replaced_s)
        self.idle += 1

    def details(self, name: str) -> dict[str, object]:
        """Return what the REST API says of the agent."""
        return {
            "name": name,
            "ready": True,
            "available": True,
            "activeSessionCount": self.busy,
            "autoScaling": {"minReplicas": self.warm, "maxReplicas": self.warm + self.busy},
            "currentRevision": {"phase": "Active", "readyReplicas": self.idle + self.busy},
        }
