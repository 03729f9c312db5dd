"""Asks Pipecat Cloud how many bots are warm and have nobody to talk to.

Its API: https://docs.pipecat.ai/api-reference/pipecat-cloud/rest-reference/endpoint/agent-list-one
"""

from typing import Any, Final

import httpx

from worker.settings import Settings

BASE_URL: Final = "https://api.pipecat.daily.co/v1"


class AgentsAway(Exception):
    """Pipecat Cloud does not say how many bots are warm. The message says why, and what the operator can do."""


class Agents:
    """The bots of one agent. Safe to share between threads."""

    def __init__(self, *, private_key: str, agent: str, base_url: str = BASE_URL, timeout_s: float = 2.0) -> None:
        self._agent = agent
        self._client = httpx.Client(
            base_url=base_url.rstrip("/"), headers={"authorization": f"Bearer {private_key}"}, timeout=timeout_s
        )

    @classmethod
    def of(cls, settings: Settings) -> "Agents | None":
        """Build it from the settings; None without a private key: then nobody counts the bots."""
        key = settings.pipecat_private_key.get_secret_value()
        if not key:
            return None
        return cls(private_key=key, agent=settings.pipecat_agent, base_url=settings.pipecat_base_url)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def idle(self) -> int:
        """Return how many bots are warm and not in a session; raises AgentsAway."""
        try:
            answer = self._client.get(f"/agents/{self._agent}")
            answer.raise_for_status()
            return read_idle(answer.json())
        except httpx.HTTPStatusError as error:
            raise AgentsAway(_complaint(error.response.status_code, self._agent)) from error
        except httpx.HTTPError as error:
            raise AgentsAway(f"Pipecat Cloud cannot be reached: {type(error).__name__}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise AgentsAway(f"Pipecat Cloud's answer is not in the form of its documentation: {error!r}") from error


def read_idle(details: Any) -> int:
    """Read the API's details of an agent; raises KeyError, TypeError or ValueError if they are in another form.

    Bots in a session are subtracted from the ready ones. If Pipecat Cloud does not count them as ready, some idle bots
    are overlooked, which is the safe side. An agent that was scaled to zero is `available`, and has no ready bot.
    """
    if not details["available"]:
        return 0
    ready = int((details.get("currentRevision") or {}).get("readyReplicas", 0))
    return max(0, min(ready, int(details["autoScaling"]["maxReplicas"])) - int(details["activeSessionCount"]))


def _complaint(code: int, agent: str) -> str:
    match code:
        case 401 | 403:
            return f"Pipecat Cloud refuses PIPECAT_PRIVATE_KEY ({code}): make one under Settings, API Keys, Private"
        case 404:
            return f"Pipecat Cloud knows no agent {agent} ({code}): correct PIPECAT_AGENT"
        case _:
            return f"Pipecat Cloud answered {code}"
