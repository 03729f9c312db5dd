"""The services that hear, think and speak, and what is slow to build of them, built before anybody waits for it."""

import threading
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Self

from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import Frame
from pipecat.services.cartesia.tts import CartesiaTTSService, GenerationConfig
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.llm import OpenAILLMService

from bot.prompt import system_prompt
from bot.settings import BotSettings, load_settings
from campaigns.call import Brief, Listening, Model, Script, Voice

RATE: Final = 8000
"""Samples a second: Telnyx's G.711, and so everything here."""

_KEPT: Final = 2 * 2 * RATE
"""Bytes of the contact's sound that wait for the ears to connect: two seconds."""

_LONGEST_KEYTERM: Final = 50

_VOICE_ENDS_S: Final = 0.2
"""Silence that ends a stretch of voice: what Pipecat's latencies of Deepgram were measured with."""


class Ears(DeepgramSTTService):
    """Deepgram, which nothing waits for.

    Pipecat's holds up the pipeline, and so the greeting, until it is connected: 8 s if Deepgram is away. What is said
    before it is connected is kept and sent then, so that no "hello?" is lost to it either.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._early = bytearray()

    async def _connect(self) -> None:
        self._quick_failure_tracker.reset()
        self._connection_settled.clear()
        self._connection_task = self.create_task(self._connection_handler())

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Send sound; keep the last two seconds of it while there is no connection."""
        if self._connection is None:
            self._early += audio
            del self._early[:-_KEPT]
        elif self._early:
            audio, self._early = bytes(self._early) + audio, bytearray()
        async for frame in super().run_stt(audio):
            yield frame


def ears(brief: Brief | None, settings: BotSettings) -> Ears:
    """Return the service that hears. It expects the contact's own words: names are what is misheard most."""
    listening = brief.listening if brief else Listening()
    known = [value for value in brief.contact.values() if 1 < len(value) <= _LONGEST_KEYTERM] if brief else []
    terms = [*listening.keyterms, *(value for value in known if any(c.isalpha() for c in value))]
    return Ears(
        api_key=settings.deepgram_api_key.get_secret_value(),
        base_url=settings.deepgram_base_url,
        settings=Ears.Settings(
            model=listening.model or settings.deepgram_model,
            language=brief.voice.language if brief else "en",
            interim_results=True,
            keyterm=list(dict.fromkeys(terms)),
            extra=dict(listening.options),
        ),
    )


def mind(brief: Brief | None, script: Script | None, settings: BotSettings) -> OpenAILLMService:
    """Return the service that thinks."""
    return OpenAILLMService(
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url,
        settings=thinking(brief, script, settings),
    )


def thinking(brief: Brief | None, script: Script | None, settings: BotSettings) -> OpenAILLMService.Settings:
    """Return what it thinks with: also for a script that comes while the greeting is spoken."""
    model = script.model if script else Model()
    wanted = OpenAILLMService.Settings(
        model=model.name or settings.openai_model,
        system_instruction=system_prompt(brief, script, datetime.now(UTC)),
    )
    if model.temperature is not None:
        wanted.temperature = model.temperature
    if model.options:
        wanted.extra = dict(model.options)
    return wanted


def voice(brief: Brief | None, settings: BotSettings) -> CartesiaTTSService:
    """Return the service that speaks."""
    wanted = brief.voice if brief else Voice()
    manner = {"speed": wanted.speed, "volume": wanted.volume, "emotion": wanted.emotion or None}
    manner = {name: value for name, value in manner.items() if value is not None}
    return CartesiaTTSService(
        api_key=settings.cartesia_api_key.get_secret_value(),
        url=settings.cartesia_base_url,
        settings=CartesiaTTSService.Settings(
            voice=wanted.id or settings.cartesia_voice,
            model=wanted.model or settings.cartesia_model,
            language=wanted.language,
            generation_config=GenerationConfig(**manner) if manner else None,
        ),
        reconnect_backoff_min_wait=0.2,  # nobody on a telephone waits four seconds for the second try
        reconnect_backoff_max_wait=2.0,
    )


def _turn_sense(pause_s: float) -> LocalSmartTurnAnalyzerV3:
    return LocalSmartTurnAnalyzerV3(params=SmartTurnParams(stop_secs=pause_s))


@dataclass(frozen=True)
class Senses:
    """The two models that run here: which sounds are speech, and whether a turn is over."""

    activity: SileroVADAnalyzer = field(default_factory=SileroVADAnalyzer)
    turn: LocalSmartTurnAnalyzerV3 = field(default_factory=lambda: _turn_sense(Listening().pause_s))

    def tuned(self, listening: Listening) -> Self:
        """Return senses that wait as long as the campaign wants."""
        self.activity.set_sample_rate(RATE)
        self.activity.set_params(VADParams(start_secs=listening.voice_s, stop_secs=_VOICE_ENDS_S))
        if listening.pause_s == Listening().pause_s:
            return self
        return type(self)(self.activity, _turn_sense(listening.pause_s))


class Spare:
    """A pair of senses that is ready when a call comes: building them takes a tenth of a second."""

    def __init__(self, count: int = 1) -> None:
        self._ready: deque[Senses] = deque(Senses() for _ in range(count))

    def take(self) -> Senses:
        """Return a pair, and have the next one built beside the call."""
        taken = self._ready.popleft() if self._ready else Senses()
        threading.Thread(target=lambda: self._ready.append(Senses()), daemon=True).start()
        return taken


def warm_up() -> Spare:
    """Build everything once: imports, TLS contexts and models are slow only the first time in a process."""
    settings = load_settings()
    ears(None, settings)
    voice(None, settings)
    mind(None, None, settings)
    return Spare()
