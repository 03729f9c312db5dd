"""The services that hear, think and speak. What is slow to build is built before the first call."""

import gc
import ssl
import threading
from collections import deque
from collections.abc import AsyncGenerator
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import deepgram.listen.v1.client  # noqa: F401 - else the first call imports it when it connects
import numpy.fft  # noqa: F401 - else the first call imports it when its first turn ends
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pipecat.audio.turn.smart_turn.base_smart_turn import BaseSmartTurn, SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams
from pipecat.frames.frames import Frame
from pipecat.services.cartesia.tts import CartesiaTTSService, GenerationConfig
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.utils.http import connection_limits

from bot.prompt import system_prompt
from bot.settings import BotSettings
from campaigns.call import Brief, Listening, Model, Script, Voice

RATE: Final = 8000
"""Samples a second in the whole pipeline: the rate of Telnyx's G.711."""

_KEPT: Final = 2 * 2 * RATE
"""Bytes of the contact's sound that are kept until Deepgram is connected: two seconds."""

_LONGEST_KEYTERM: Final = 50
"""The longest value of a column, in characters, that Deepgram is told to expect: anything longer is not a name."""

_BUILD_AFTER_S: Final = 1.0
"""How long after a call took its `Ears` the next ones are built: the bot has begun to speak by then."""

_VOICE_ENDS_S: Final = 0.2
"""Silence after which a voice has stopped: the value with which Pipecat has measured Deepgram's latencies."""


class Ears(DeepgramSTTService):
    """Deepgram, without waiting for its connection.

    Pipecat's own service holds up the pipeline, and with it the greeting, until it is connected: 8 s if Deepgram is
    away. Here the call goes on, and what is said before the connection is kept and sent then: no "hello?" is lost.
    """

    def __init__(self, settings: BotSettings) -> None:
        super().__init__(
            api_key=settings.deepgram_api_key.get_secret_value(),
            base_url=settings.deepgram_base_url,
            settings=Ears.Settings(model=settings.deepgram_model, language="en", interim_results=True),
        )
        self._early = bytearray()

    def expect(self, brief: Brief) -> None:
        """Tell Deepgram what to expect: the contact's language, and the values of their columns. Names are misheard most."""
        listening = brief.listening
        known = [value for value in brief.contact.values() if 1 < len(value) <= _LONGEST_KEYTERM]
        terms = [*listening.keyterms, *(value for value in known if any(c.isalpha() for c in value))]
        wanted = Ears.Settings(language=brief.voice.language, keyterm=list(dict.fromkeys(terms)))
        if listening.model:
            wanted.model = listening.model
        wanted.extra = dict(listening.options)
        self._settings.apply_update(wanted)  # before it connects

    async def _connect(self) -> None:
        self._quick_failure_tracker.reset()
        self._connection_settled.clear()
        self._connection_task = self.create_task(self._connection_handler())

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        """Send sound to Deepgram; while there is no connection, keep the last two seconds of it."""
        if self._connection is None:
            self._early += audio
            del self._early[:-_KEPT]
        elif self._early:
            audio, self._early = bytes(self._early) + audio, bytearray()
        async for frame in super().run_stt(audio):
            yield frame


class Mind(OpenAILLMService):
    """OpenAI, through one client for all calls.

    To make a client costs a tenth of a second, and its open connections save the first answer a handshake.
    """

    def create_client(
        self,
        api_key: Any = None,
        base_url: Any = None,
        organization: Any = None,  # noqa: ARG002
        project: Any = None,  # noqa: ARG002
        default_headers: Any = None,  # noqa: ARG002
        **_: Any,
    ) -> AsyncOpenAI:
        """Return the process's client."""
        return _client(api_key, base_url)


@lru_cache(maxsize=1)
def _client(api_key: str, base_url: str) -> AsyncOpenAI:
    # Idle connections are kept for two minutes, which bridges the time between calls; the default is five seconds.
    limits = connection_limits(max_keepalive_connections=20, max_connections=100, keepalive_expiry=120)
    return AsyncOpenAI(api_key=api_key, base_url=base_url, http_client=DefaultAsyncHttpxClient(limits=limits))


def mind(brief: Brief | None, script: Script | None, settings: BotSettings) -> Mind:
    """Return the service that thinks."""
    return Mind(
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url,
        settings=thinking(brief, script, settings),
    )


def thinking(brief: Brief | None, script: Script | None, settings: BotSettings) -> OpenAILLMService.Settings:
    """Return the model and its prompt. Asked again if the script comes while the greeting is spoken."""
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


class Speech(CartesiaTTSService):
    """Cartesia, with one TLS context for all calls: to make one takes time in which the contact waits for the first word."""

    async def _websocket_connect(self, uri: str, **kwargs: Any) -> Any:
        if uri.startswith("wss:"):
            kwargs.setdefault("ssl", _tls())
        return await super()._websocket_connect(uri, **kwargs)


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def voice(brief: Brief | None, settings: BotSettings) -> Speech:
    """Return the service that speaks."""
    wanted = brief.voice if brief else Voice()
    manner = {"speed": wanted.speed, "volume": wanted.volume, "emotion": wanted.emotion or None}
    manner = {name: value for name, value in manner.items() if value is not None}
    return Speech(
        api_key=settings.cartesia_api_key.get_secret_value(),
        url=settings.cartesia_base_url,
        settings=CartesiaTTSService.Settings(
            voice=wanted.id or settings.cartesia_voice,
            model=wanted.model or settings.cartesia_model,
            language=wanted.language,
            generation_config=GenerationConfig(**manner) if manner else None,
        ),
        reconnect_backoff_min_wait=0.2,  # the default is 4 s: too long for a person on the telephone
        reconnect_backoff_max_wait=2.0,
    )


@dataclass(frozen=True)
class Senses:
    """What one call hears with: Deepgram, and two models that run here. They find speech, and the end of a turn."""

    ears: Ears
    activity: SileroVADAnalyzer
    turn: LocalSmartTurnAnalyzerV3


class SpareSenses:
    """What calls hear with, built in advance: Deepgram's client takes 20 ms, in which it reads every certificate there is."""

    def __init__(self, settings: BotSettings) -> None:
        self._settings = settings
        self._ears = deque(Ears(settings) for _ in range(settings.calls_at_once))
        self._activity, self._turn = SileroVADAnalyzer(), LocalSmartTurnAnalyzerV3()

    def take(self, brief: Brief | None) -> Senses:
        """Return what a call hears with, set as its campaign wants. The next `Ears` are built a second later."""
        ears = self._ears.popleft() if self._ears else Ears(self._settings)
        timer = threading.Timer(_BUILD_AFTER_S, lambda: self._ears.append(Ears(self._settings)))
        timer.daemon = True
        timer.start()
        listening = brief.listening if brief else Listening()
        if brief:
            ears.expect(brief)
        return Senses(ears, self._copy_of_activity(listening.voice_s), self._copy_of_turn(listening.pause_s))

    # A copy shares the model; the base class's __init__ makes everything else anew. ONNX runs one model in any number
    # of threads; to read one costs 55 ms and 13 MB, and to free it 4 ms, whenever Python does that.

    def _copy_of_activity(self, voice_s: float) -> SileroVADAnalyzer:
        activity = copy(self._activity)
        VADAnalyzer.__init__(activity, params=VADParams(start_secs=voice_s, stop_secs=_VOICE_ENDS_S))
        activity._model = copy(activity._model)  # noqa: SLF001 - its state belongs to this call, its weights to all
        activity._model.reset_states()  # noqa: SLF001
        activity.set_sample_rate(RATE)
        return activity

    def _copy_of_turn(self, pause_s: float) -> LocalSmartTurnAnalyzerV3:
        turn = copy(self._turn)
        BaseSmartTurn.__init__(turn, params=SmartTurnParams(stop_secs=pause_s))
        return turn


def warm_up(settings: BotSettings) -> SpareSenses:
    """Build everything once, before the first call: imports, TLS contexts and models are slow only the first time."""
    voice(None, settings)
    mind(None, None, settings)
    _tls()
    spare = SpareSenses(settings)
    # Take the libraries' half a million objects out of garbage collection: to look at them stops all calls for 0.3 s.
    gc.collect()
    gc.freeze()
    return spare
