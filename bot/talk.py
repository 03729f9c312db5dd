"""One call's talk: the pipeline, in the order in which sound travels, and what can be said and thought in it.

Who has answered is found out in `answering`, that nobody hears nothing is seen to in `watch`, how it ends is `parting`.
"""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from loguru import logger
from pipecat.frames.frames import (
    ErrorFrame,
    LLMContextFrame,
    LLMUpdateSettingsFrame,
    OutputAudioRawFrame,
    TTSSpeakFrame,
    TTSUpdateSettingsFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker, ProcessorUnusablePolicy
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    AssistantTurnStoppedMessage,
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
    UserTurnStoppedMessage,
)
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

from bot import dialer, services
from bot.answering import Answering
from bot.conversation import Conversation
from bot.ear import OPT_OUT_KEY, Ear, Heard, Lines, Words
from bot.evals import EvalStream
from bot.floor import Floor
from bot.parting import Parting
from bot.services import RATE, Senses
from bot.settings import BotSettings
from bot.telnyx import Line, TelnyxStream
from bot.tools import tools_for
from bot.turns import Judge, strategies
from bot.watch import Watch
from campaigns.call import Listening

PLAYOUT_S: Final = 6.0
"""How long the echo of a mark is waited for, beyond the length of the words before it."""

_SILENCED_S: Final = 0.5
"""How long an interruption may take through the pipeline: milliseconds, unless something in it hangs."""

_CANCEL_S: Final = 3.0
"""How long providers may take to let go of a call that is over: its report waits for them."""


class Talk:
    """What goes on between the bot and whoever answered, from the greeting to the hang-up."""

    def __init__(
        self, conversation: Conversation, line: Line, stream: TelnyxStream, settings: BotSettings, floor: Floor
    ) -> None:
        self.conversation, self.floor, self.settings = conversation, floor, settings
        self.answering, self.watch, self.parting = Answering(self), Watch(self), Parting(self, line)
        self._stream = stream
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def listening(self) -> Listening:
        """How the campaign wants the bot to hear."""
        return self.conversation.brief.listening if self.conversation.brief else Listening()

    # --- the pipeline -------------------------------------------------------------------------------------------------

    async def run(self, transport: FastAPIWebsocketTransport, senses: Senses, *, handle_sigint: bool) -> None:
        """Hold the talk until the call is over."""
        conversation, floor, brief = self.conversation, self.floor, self.conversation.brief
        listening = self.listening
        self._context = LLMContext(tools=tools_for(conversation, conversation.script, self.parting))
        turns = strategies(listening, senses, floor, attends=lambda: self.answering.attends)
        user, assistant = LLMContextAggregatorPair(
            self._context,
            user_params=LLMUserAggregatorParams(
                vad_analyzer=senses.activity,
                user_turn_strategies=turns,
                user_turn_stop_timeout=max(1.5, listening.pause_s + 0.7),
                empty_user_turn=None,  # the judge resumes what a cough cut off
            ),
        )
        self._ear = Ear(self._on_key, self.answering.on_tone, conversation.contact_left)
        self._judge = Judge(floor, self.answering.takes_over)
        self._mind = services.mind(brief, conversation.script, self.settings)
        self._voice = services.voice(brief, self.settings)
        self._output = transport.output()
        self._lines = Lines(floor)
        self._heard = Heard(floor, conversation.usage)
        pipeline = Pipeline(
            [
                transport.input(),  # what the contact says and presses
                self._ear,  # keys, tones and marks
                senses.ears,  # words
                Words(floor, self.answering.on_words),  # whose voice, which words
                user,  # whose turn
                self._judge,  # does it want an answer?
                self._mind,
                self._lines,  # what is to be said
                self._voice,
                self._output,  # what the contact hears
                self._heard,  # what has been heard, what it cost
                assistant,  # what of it they heard
            ]
        )
        self.session = PipelineWorker(
            pipeline,
            params=PipelineParams(
                audio_in_sample_rate=RATE, audio_out_sample_rate=RATE, enable_metrics=True, enable_usage_metrics=True
            ),
            enable_rtvi=isinstance(self._stream, EvalStream),  # what a harness speaks
            idle_timeout_secs=None,
            cancel_timeout_secs=_CANCEL_S,
            processor_unusable_policy=ProcessorUnusablePolicy.CONTINUE,
        )
        conversation.on_goodbye(self.parting.say_goodbye)
        self._handle_events(transport, user, assistant)
        runner = WorkerRunner(handle_sigint=handle_sigint)
        self.beside(self.watch.keep())
        if brief and conversation.script is None:
            self.beside(self._fetch_script())
        if brief and brief.report_url:
            self.beside(self.answering.ask_detection(brief))
        try:
            await runner.add_workers(self.session)
            await runner.run()
            await conversation.settled()
        finally:
            conversation.first_audio_ms = self._first_audio_ms()
            for task in self._tasks:
                task.cancel()

    def _handle_events(self, transport: Any, user: Any, assistant: Any) -> None:
        conversation, floor = self.conversation, self.floor

        @transport.event_handler("on_client_connected")
        async def _greet(_transport: object, _socket: object) -> None:
            brief = conversation.brief
            house = self.settings.inbound_greeting or conversation.phrases.unknown_caller
            await self.say(brief.greeting if brief else house)

        @transport.event_handler("on_client_disconnected")
        async def _left(_transport: object, _socket: object) -> None:
            conversation.first_audio_ms = self._first_audio_ms()
            conversation.left()
            await self.session.cancel(reason="the contact left")

        @user.event_handler("on_user_turn_stopped")
        async def _heard(_user: object, _strategy: object, message: UserTurnStoppedMessage) -> None:
            text = message.content or ""
            conversation.heard(text, datetime.fromisoformat(message.timestamp) if message.timestamp else None)
            if text:
                self.watch.relax()
            elif floor.lost_thought and not floor.rest:
                await self.answer()
            else:
                await self._judge.needs_no_answer("")

        @assistant.event_handler("on_assistant_turn_stopped")
        async def _said(_assistant: object, message: AssistantTurnStoppedMessage) -> None:
            began, latency_ms = floor.turn_taken()
            conversation.said(message.content, began=began, interrupted=message.interrupted, latency_ms=latency_ms)

        @self.session.event_handler("on_pipeline_error")
        async def _problem(_session: object, frame: ErrorFrame) -> None:
            await self.watch.on_error(frame)

    def _on_key(self, key: str) -> None:
        if key == OPT_OUT_KEY.value:
            self.beside(self.parting.opt_out("pressed 9 to opt out"))

    async def _fetch_script(self) -> None:
        """Fetch the script while the greeting is spoken, and put it into the prompt and the tools."""
        conversation = self.conversation
        assert conversation.brief is not None
        try:
            script = await dialer.fetch_script(conversation.brief, self.settings.brief_secret.get_secret_value())
        except dialer.NoScript as missing:
            conversation.problem(str(missing))
            return
        conversation.script = script
        wanted = services.thinking(conversation.brief, script, self.settings)
        await self.session.queue_frame(LLMUpdateSettingsFrame(delta=wanted))
        self._context.set_tools(tools_for(conversation, script, self.parting))

    # --- what it can do -----------------------------------------------------------------------------------------------

    async def say(self, words: str) -> None:
        """Speak an utterance, after what is being said."""
        if words:
            self.floor.asked_voice_at = self.floor.asked_voice_at or time.monotonic()
            await self._lines.queue_frame(TTSSpeakFrame(words))  # past the model, which may hang

    async def until_heard(self, words: str) -> bool:
        """Wait until all is heard, of which these words are the last; False if the carrier does not tell so in time."""
        return await self._ear.playout(self._lines.queue_frame, within=PLAYOUT_S + len(words) / 10)

    async def play(self, sound: bytes) -> None:
        """Play a recording, past every provider, until it was heard."""
        await self._output.queue_frame(OutputAudioRawFrame(sound, RATE, 1))
        await self._ear.playout(self._output.queue_frame, within=PLAYOUT_S + len(sound) / 2 / RATE)

    async def fall_silent(self) -> None:
        """Say nothing more of what was to be said; return when nothing more comes."""
        self._heard.silenced.clear()
        await self._ear.broadcast_interruption()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._heard.silenced.wait(), _SILENCED_S)

    async def answer(self) -> None:
        """Have the model answer the last turn anew."""
        self.floor.answered()
        await self.think()

    async def think(self) -> None:
        """Have the model say what comes next."""
        self.floor.model_asked(time.monotonic())
        await self._mind.queue_frame(LLMContextFrame(context=self._context))

    async def speak_with(self, voice: str) -> None:
        """Go on with another voice."""
        wanted = CartesiaTTSService.Settings(voice=voice)
        await self._lines.queue_frame(TTSUpdateSettingsFrame(delta=wanted))

    async def think_with(self, model: str) -> None:
        """Go on with another model."""
        wanted = OpenAILLMService.Settings(model=model)
        await self._mind.queue_frame(LLMUpdateSettingsFrame(delta=wanted))

    # --- helpers ------------------------------------------------------------------------------------------------------

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the talk, until it is over."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.opt(exception=error).error("something beside the talk failed")

    def _first_audio_ms(self) -> int | None:
        first = self._stream.first_audio_at
        return None if first is None else round((first - self.conversation.began) * 1000)
