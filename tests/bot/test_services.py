"""What calls share, and what they must not."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams

from bot.services import RATE, Spare
from bot.settings import BotSettings

WINDOW = 256


@pytest.fixture
def spare(settings: BotSettings) -> Spare:
    return Spare(settings)
