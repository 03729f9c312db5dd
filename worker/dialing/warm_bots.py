"""How many bots are warm: asked of Pipecat Cloud, and recorded for the claim."""

import logging
from typing import Final

from worker.dialing.collaborators import Dialer
from worker.pipecat.agents import AgentsAway
from worker.rules.timing import COUNT_TICK

log: Final = logging.getLogger(__name__)


def count(dialer: Dialer) -> None:
    """Ask how many bots are warm and have nobody to talk to. While Pipecat Cloud does not say, the last count fades.

    Raises SettingsError if there is a key and no agent.
    """
    if dialer.agents is None or not dialer.store.tick("bots", COUNT_TICK):
        return
    dialer.settings.require("pipecat_agent")
    asked_at = dialer.store.now()
    try:
        dialer.store.pace.count_warm_bots(dialer.agents.idle(), asked_at)
    except AgentsAway as away:
        log.warning("%s; until it says, WARM_BOTS counts more and more", away)
