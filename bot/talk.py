"""One call's talk: the pipeline, in the order in which sound travels, and the parts that steer it.

`callee` finds out who has picked up, `watchdog` sees to it that nobody listens to silence, `parting` ends the call.
"""

from datetime import datetime
from typing import Any, Final

from pipecat.frames.frames import EndFrame, ErrorFrame, LLMUpdateSettingsFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker, ProcessorUnusablePolicy
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import (
    AssistantTurnStoppedMessage,
    LLMContextAggregatorPair,
    LLMUserAggregatorParams,
    UserTurnStoppedMessage,
)
from pipecat.workers.runner import WorkerRunner

from bot import services
from bot.callee import Callee
from bot.connection import Connection
from bot.conversation import Conversation
from bot.dialer_client import DialerClient, NoScript
from bot.floor import Floor
from bot.hearing import ContactSpeech, Signals
from bot.parting import Parting
from bot.saying import PipelineSpeaker, WordsHeard, WordsToSay
from bot.services import RATE, Senses
from bot.settings import BotSettings
from bot.side_tasks import SideTasks
from bot.telnyx import CallControl
from bot.tools import tools_for
from bot.turns import AnswerGate, strategies
from bot.watchdog import Watchdog
from campaigns.call import Listening

OPT_OUT_KEY: Final = "9"

_CANCEL_S: Final = 3.0
"""How long providers may take to let go of a call that is over: its report waits for them."""


class Talk:
    """What goes on between the bot and the contact, from the greeting to the hang-up."""

    def __init__(
        self,
        conversation: Conversation,
        connection: Connection,
        senses: Senses,
        *,
        control: CallControl,
        dialer: DialerClient,
        settings: BotSettings,
    ) -> None:
        brief, script = conversation.brief, conversation.script
        self._conversation, self._dialer, self._settings = conversation, dialer, settings
        self._floor = floor = Floor(conversation.began)
        self._side_tasks = SideTasks()
        self._context = LLMContext()
        signals = Signals(self._on_key, self._on_tone, conversation.contact_left)
        mind, output = services.mind(brief, script, settings), connection.transport.output()
        to_say, heard = WordsToSay(floor), WordsHeard(floor, conversation.usage)
        self._speaker = speaker = PipelineSpeaker(
            floor, self._context, signals=signals, mind=mind, to_say=to_say, output=output, heard=heard
        )
        self._callee = Callee(conversation, floor, speaker, dialer, self._side_tasks)
        self._parting = Parting(conversation, floor, speaker, control=control, dialer=dialer, end=self._end)
        self._watchdog = Watchdog(
            conversation, floor, speaker, callee=self._callee, parting=self._parting, settings=settings
        )
        self._gate = AnswerGate(floor, self._callee.takes_over)
        self._context.set_tools(tools_for(conversation, script, self._parting))
        user, assistant = self._turn_takers(senses)
        self._session = _session(
            connection,
            [
                connection.transport.input(),  # what the contact says and presses
                signals,  # keys, tones and marks
                senses.ears,  # words
                ContactSpeech(floor, self._callee.on_words),  # when the contact speaks, and which words
                user,  # whose turn it is
                self._gate,  # whether the turn wants an answer
                mind,
                to_say,  # what is to be said
                services.voice(brief, settings),
                output,  # what the contact hears
                heard,  # what has been heard, and what it cost
                assistant,  # what the model is told that it has said
            ],
        )
        connection.stream.on_sound = self._on_sound
        conversation.on_goodbye(self._parting.say_goodbye)
        self._handle_events(connection.transport, user, assistant)

    def _turn_takers(self, senses: Senses) -> tuple[Any, Any]:
        """Return what collects the contact's turns and the bot's for the model."""
        brief = self._conversation.brief
        listening = brief.listening if brief else Listening()
        turns = strategies(listening, senses, self._floor, takes_turns=lambda: self._callee.takes_turns)
        pair = LLMContextAggregatorPair(
            self._context,
            user_params=LLMUserAggregatorParams(
                vad_analyzer=senses.activity,
                user_turn_strategies=turns,
                user_turn_stop_timeout=max(1.5, listening.pause_s + 0.7),
                empty_user_turn=None,  # the gate resumes what a cough cut off
            ),
        )
        return pair.user(), pair.assistant()

    async def run(self, *, handle_sigint: bool) -> None:
        """Hold the talk until the call is over."""
        conversation, runner = self._conversation, WorkerRunner(handle_sigint=handle_sigint)
        self._side_tasks.start(self._watchdog.keep())
        if conversation.brief and conversation.script is None:
            self._side_tasks.start(self._fetch_script())
        if self._dialer.takes_reports:
            self._side_tasks.start(self._callee.ask_detection())
        try:
            await runner.add_workers(self._session)
            await runner.run()
            await conversation.settled()
        finally:
            self._side_tasks.cancel()

    async def _end(self) -> None:
        await self._session.queue_frame(EndFrame())

    # --- what happens on the call -------------------------------------------------------------------------------------

    def _handle_events(self, transport: Any, user: Any, assistant: Any) -> None:
        conversation, floor = self._conversation, self._floor

        @transport.event_handler("on_client_connected")
        async def _greet(_transport: object, _socket: object) -> None:
            brief = conversation.brief
            house = self._settings.inbound_greeting or conversation.phrases.unknown_caller
            await self._speaker.say(brief.greeting if brief else house)

        @transport.event_handler("on_client_disconnected")
        async def _left(_transport: object, _socket: object) -> None:
            conversation.left()
            await self._session.cancel(reason="the contact left")

        @user.event_handler("on_user_turn_stopped")
        async def _heard(_user: object, _strategy: object, message: UserTurnStoppedMessage) -> None:
            text = message.content or ""
            conversation.heard(text, datetime.fromisoformat(message.timestamp) if message.timestamp else None)
            if text:
                self._watchdog.contact_understood()
            elif floor.unsaid.lost_thought and not floor.unsaid.rest:
                await self._speaker.answer()
            else:
                await self._gate.needs_no_answer("")

        @assistant.event_handler("on_assistant_turn_stopped")
        async def _said(_assistant: object, message: AssistantTurnStoppedMessage) -> None:
            began, latency_ms = floor.turn_taken()
            conversation.said(message.content, began=began, interrupted=message.interrupted, latency_ms=latency_ms)

        @self._session.event_handler("on_pipeline_error")
        async def _problem(_session: object, frame: ErrorFrame) -> None:
            await self._watchdog.on_error(frame)

    def _on_sound(self, now: float) -> None:
        self._floor.bot_sounds(now)
        conversation = self._conversation
        if conversation.first_audio_ms is None:
            conversation.first_audio_ms = round((now - conversation.began) * 1000)

    def _on_key(self, key: str) -> None:
        if key == OPT_OUT_KEY:
            self._side_tasks.start(self._parting.opt_out("pressed 9 to opt out"))

    def _on_tone(self, tone: str) -> None:
        self._callee.on_tone(tone)

    async def _fetch_script(self) -> None:
        """Fetch the script while the greeting is spoken, and put it into the prompt and the tools."""
        conversation = self._conversation
        try:
            script = await self._dialer.fetch_script()
        except NoScript as missing:
            conversation.problem(str(missing))
            return
        conversation.script = script
        wanted = services.thinking(conversation.brief, script, self._settings)
        await self._session.queue_frame(LLMUpdateSettingsFrame(delta=wanted))
        self._context.set_tools(tools_for(conversation, script, self._parting))


def _session(connection: Connection, processors: list[Any]) -> PipelineWorker:
    return PipelineWorker(
        Pipeline(processors),
        params=PipelineParams(
            audio_in_sample_rate=RATE, audio_out_sample_rate=RATE, enable_metrics=True, enable_usage_metrics=True
        ),
        enable_rtvi=connection.speaks_rtvi,
        idle_timeout_secs=None,
        cancel_timeout_secs=_CANCEL_S,
        processor_unusable_policy=ProcessorUnusablePolicy.CONTINUE,
    )
