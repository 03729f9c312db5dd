"""The agent: read the start message, greet at once, converse, hang up when the last word was heard, report.

`bot(runner_args)` is what Pipecat Cloud, Pipecat's development runner and the sandbox call, once for each phone call.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

from loguru import logger
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputDTMFFrame,
    InputTransportMessageFrame,
    LLMUpdateSettingsFrame,
    OutputTransportMessageFrame,
    TTSSpeakFrame,
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
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.runner.types import RunnerArguments, WebSocketRunnerArguments
from pipecat.services.cartesia.tts import CartesiaTTSService, GenerationConfig
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_start import MinWordsUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner
from starlette.websockets import WebSocketDisconnect

from bot.conversation import Conversation
from bot.dialer import NoScript, fetch_script, say_joined, send_report
from bot.evals import EvalStream, accept_eval
from bot.prompt import system_prompt
from bot.settings import BotSettings, load_settings
from bot.stream import NoStart, read_start
from bot.telnyx import TelnyxStream, hang_up
from bot.tools import tools_for
from campaigns.call import Brief, BriefRefused, Disposition, Model, Script, Voice, from_parameters

WORDS_TO_INTERRUPT: Final = 3
"""A "hello?" or "mm-hm" spoken over the bot does not stop it; a sentence does. Costs the transcript's latency."""

TURN_END_S: Final = 0.5
"""How long a pause ends the contact's turn. Shorter cuts people off in their thoughts; longer feels slow."""

PLAYOUT_S: Final = 6.0
"""How long the echo of a mark is waited for, beyond the last words' own length."""

DEAD_AIR_S: Final = 20.0
"""Neither side has been heard for so long: a provider has died. Above two turns of the patience for silence."""

OPT_OUT_KEY: Final = KeypadEntry.NINE


async def bot(runner_args: RunnerArguments) -> None:
    """Take one call, from its start message to its delivered report."""
    assert isinstance(runner_args, WebSocketRunnerArguments)
    settings = load_settings()
    socket = runner_args.websocket
    try:
        evaluation = await accept_eval(runner_args) if settings.allow_evals else None
        start = evaluation.start if evaluation else await read_start(socket)
        secret = settings.brief_secret.get_secret_value()
        brief = from_parameters(start.parameters, secret, time.time()) if start.parameters else None
    except (NoStart, BriefRefused) as refused:
        logger.warning("refused a stream: {}", refused)
        with suppress(RuntimeError, WebSocketDisconnect):  # they have closed it themselves
            await socket.close(1008)
        return
    conversation = Conversation(brief, start.call_sid)
    stream = evaluation.stream if evaluation else TelnyxStream(start)
    joined = None
    if brief and brief.report_url:
        joined = asyncio.create_task(say_joined(brief, start.call_sid, secret))  # the greeting does not wait for it
    params = FastAPIWebsocketParams(
        audio_in_enabled=True, audio_out_enabled=True, audio_out_end_silence_secs=0, serializer=stream
    )
    transport = evaluation.transport if evaluation else FastAPIWebsocketTransport(websocket=socket, params=params)
    try:
        await converse(conversation, transport, stream, settings, handle_sigint=runner_args.handle_sigint)
    except asyncio.CancelledError:
        conversation.problem("the session was cancelled from outside")
        raise
    finally:
        if not (conversation.hung_up or conversation.contact_left.is_set()):
            await hang_up(start.call_sid, settings)
        if brief and joined:
            joined.cancel()  # the report says it too
            report = conversation.report()
            delivered = await send_report(report, brief.report_url, secret)
            logger.info("{}: {}, report {}", brief.attempt_id, report.disposition, "delivered" if delivered else "LOST")


async def converse(
    conversation: Conversation,
    transport: FastAPIWebsocketTransport,
    stream: TelnyxStream,
    settings: BotSettings,
    *,
    handle_sigint: bool,
) -> None:
    """Run the pipeline until the call is over."""
    brief = conversation.brief
    script = brief.script if brief else None
    context = LLMContext(tools=tools_for(conversation, script))
    user, assistant = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(),
            user_turn_strategies=UserTurnStrategies(
                start=[MinWordsUserTurnStartStrategy(min_words=WORDS_TO_INTERRUPT)],
                stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=TURN_END_S)],
            ),
            user_idle_timeout=settings.patience_s,
        ),
    )
    ear = Ear(conversation)
    pipeline = Pipeline(
        [
            transport.input(),  # what the contact says and presses
            ear,  # keys and marks
            speech_to_text(brief, settings),
            user,  # turns
            language_model(brief, script, settings),
            text_to_speech(brief, settings),
            transport.output(),  # what the contact hears
            assistant,  # what of it they heard
        ]
    )
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(audio_in_sample_rate=8000, audio_out_sample_rate=8000, enable_metrics=False),
        enable_rtvi=isinstance(stream, EvalStream),
        idle_timeout_secs=None,
        processor_unusable_policy=ProcessorUnusablePolicy.END,
    )
    nudged = False

    async def say_goodbye(words: str) -> None:
        """Speak the last words, wait until the carrier says that they were heard, and hang up."""
        if words:
            await ear.broadcast_interruption()  # nothing else is to be said any more
            await worker.queue_frame(TTSSpeakFrame(words))
        await ear.playout(worker, within=PLAYOUT_S + len(words) / 10)
        conversation.hung_up = await hang_up(conversation.call_sid, settings)
        await worker.queue_frame(EndFrame())

    conversation.on_goodbye(say_goodbye)

    @transport.event_handler("on_client_connected")
    async def _greet(_transport: object, _socket: object) -> None:
        greeting = brief.greeting if brief else settings.inbound_greeting
        await worker.queue_frame(TTSSpeakFrame(greeting))

    @transport.event_handler("on_client_disconnected")
    async def _left(_transport: object, _socket: object) -> None:
        conversation.first_audio_ms = _first_audio_ms(stream)
        conversation.left()
        await worker.cancel(reason="the contact left")

    @user.event_handler("on_user_turn_stopped")
    async def _heard(_user: object, _strategy: object, message: UserTurnStoppedMessage) -> None:
        nonlocal nudged
        nudged = False
        conversation.heard(message.content or "")

    @assistant.event_handler("on_assistant_turn_stopped")
    async def _said(_assistant: object, message: AssistantTurnStoppedMessage) -> None:
        conversation.said(message.content, interrupted=message.interrupted)

    @user.event_handler("on_user_turn_idle")
    async def _silence(_user: object) -> None:
        nonlocal nudged
        if not nudged:
            nudged = True
            await worker.queue_frame(TTSSpeakFrame("Hello, are you still there?"))
        elif any(turn.role == "contact" for turn in conversation.turns):
            conversation.conclude(Disposition.COMPLETED, "the contact fell silent", "I will let you go. Goodbye.")
        else:
            conversation.conclude(
                Disposition.NO_ANSWER, "answered, but nobody spoke", "I cannot hear anybody. Goodbye."
            )

    @worker.event_handler("on_pipeline_error")
    async def _problem(_worker: object, frame: ErrorFrame) -> None:
        conversation.problem(f"{type(frame.processor).__name__}: {frame.error}")
        if frame.fatal:
            conversation.conclude(Disposition.FAILED, "a provider failed", "")

    tasks = [asyncio.create_task(_watch(conversation, stream, settings))]
    if brief and script is None:
        tasks.append(asyncio.create_task(_fetch_script(conversation, brief, worker, context, settings)))
    runner = WorkerRunner(handle_sigint=handle_sigint)
    try:
        await runner.add_workers(worker)
        await runner.run()
        await conversation.settled()
    finally:
        conversation.first_audio_ms = _first_audio_ms(stream)
        for task in tasks:
            task.cancel()


class Ear(FrameProcessor):
    """Hears what is not speech: keys, and the marks that tell how far the carrier has played us."""

    def __init__(self, conversation: Conversation) -> None:
        super().__init__()
        self._conversation = conversation
        self._marks: dict[str, asyncio.Event] = {}

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass everything on; act on the opt-out key at once, without asking the model."""
        await super().process_frame(frame, direction)
        if isinstance(frame, InputDTMFFrame) and frame.button == OPT_OUT_KEY:
            self._conversation.conclude(Disposition.DO_NOT_CALL, "pressed 9 to opt out")
        elif isinstance(frame, InputTransportMessageFrame):
            mark = frame.message.get("mark")
            name = str(mark.get("name", "")) if isinstance(mark, dict) else ""
            if reached := self._marks.get(name):
                reached.set()
            return
        await self.push_frame(frame, direction)

    async def playout(self, worker: PipelineWorker, *, within: float) -> bool:
        """Wait until the contact has heard all that was queued; False if no mark came back in time, or they left."""
        name = f"heard-{len(self._marks)}"
        reached = self._marks[name] = asyncio.Event()
        await worker.queue_frame(OutputTransportMessageFrame(message={"event": "mark", "mark": {"name": name}}))
        waits = [asyncio.create_task(event.wait()) for event in (reached, self._conversation.contact_left)]
        await asyncio.wait(waits, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return reached.is_set()


# --- the services -----------------------------------------------------------------------------------------------------


def speech_to_text(brief: Brief | None, settings: BotSettings) -> DeepgramSTTService:
    """Return the service that hears."""
    return DeepgramSTTService(
        api_key=settings.deepgram_api_key.get_secret_value(),
        base_url=settings.deepgram_base_url,
        settings=DeepgramSTTService.Settings(
            model=settings.deepgram_model, language=brief.voice.language if brief else "en", interim_results=True
        ),
    )


def language_model(brief: Brief | None, script: Script | None, settings: BotSettings) -> OpenAILLMService:
    """Return the service that thinks."""
    model = script.model if script else Model()
    wanted = OpenAILLMService.Settings(
        model=model.name or settings.openai_model, system_instruction=system_prompt(brief, script)
    )
    if model.temperature is not None:
        wanted.temperature = model.temperature
    return OpenAILLMService(
        api_key=settings.openai_api_key.get_secret_value(),
        base_url=settings.openai_base_url,
        settings=wanted,
        retry_on_timeout=True,
        retry_timeout_secs=4,
    )


def text_to_speech(brief: Brief | None, settings: BotSettings) -> CartesiaTTSService:
    """Return the service that speaks."""
    voice = brief.voice if brief else Voice()
    return CartesiaTTSService(
        api_key=settings.cartesia_api_key.get_secret_value(),
        url=settings.cartesia_base_url,
        settings=CartesiaTTSService.Settings(
            voice=voice.id or settings.cartesia_voice,
            model=voice.model or settings.cartesia_model,
            language=voice.language,
            generation_config=GenerationConfig(speed=voice.speed) if voice.speed else None,
        ),
    )


# --- beside the conversation ------------------------------------------------------------------------------------------


async def _fetch_script(
    conversation: Conversation, brief: Brief, worker: PipelineWorker, context: LLMContext, settings: BotSettings
) -> None:
    """Fetch the script while the greeting is spoken, and put it into the prompt and the tools."""
    try:
        script = await fetch_script(brief, settings.brief_secret.get_secret_value())
    except NoScript as missing:
        conversation.problem(str(missing))
        return
    update = OpenAILLMService.Settings(system_instruction=system_prompt(brief, script))
    await worker.queue_frame(LLMUpdateSettingsFrame(delta=update))
    context.set_tools(tools_for(conversation, script))


async def _watch(conversation: Conversation, stream: TelnyxStream, settings: BotSettings) -> None:
    """End the call when it has become too long, or when nothing has been heard from either side."""
    while True:
        await asyncio.sleep(0.5)
        heard = max(stream.last_audio_at or stream.started_at, conversation.last_heard_at)
        if time.monotonic() - heard > DEAD_AIR_S:
            conversation.conclude(Disposition.FAILED, "dead air: a provider did not answer", "")
        elif conversation.seconds > settings.max_call_s:
            conversation.conclude(
                Disposition.COMPLETED, "the call reached its time limit", "I have to go now. Goodbye."
            )


def _first_audio_ms(stream: TelnyxStream) -> int | None:
    if stream.first_audio_at is None:
        return None
    return round((stream.first_audio_at - stream.started_at) * 1000)


def warm_up() -> None:
    """Build what is slow to build the first time in a process, before the first caller waits for it."""
    settings = load_settings()
    SileroVADAnalyzer()
    for build in (speech_to_text, text_to_speech):
        build(None, settings)
    language_model(None, None, settings)


warm_up()
