"""The bot to compare with: what one gets by following the usual outbound example of Pipecat for Telnyx.

Everything is built when the call comes in; nothing is said until the callee has spoken, and then the model makes up the
greeting; voice activity, turns and everything else are left at Pipecat's defaults. Its own hang-up is off, because it
always goes to the real Telnyx.
"""

import os

from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.runner.types import RunnerArguments, WebSocketRunnerArguments
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.telnyx import TelnyxFrameSerializer
from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.workers.runner import WorkerRunner

INSTRUCTIONS = (
    "You are a friendly assistant who makes an outbound phone call to remind somebody of an appointment. Your answers "
    "are spoken aloud, so keep them short and plain. Greet the person and say why you call once they have answered."
)


async def bot(runner_args: RunnerArguments) -> None:
    """Take one call."""
    assert isinstance(runner_args, WebSocketRunnerArguments)
    _, call = await parse_telephony_websocket(runner_args.websocket)
    serializer = TelnyxFrameSerializer(
        stream_id=call["stream_id"],
        call_control_id=call["call_id"],
        outbound_encoding=call["outbound_encoding"],
        inbound_encoding="PCMU",
        params=TelnyxFrameSerializer.InputParams(auto_hang_up=False),
    )
    transport = FastAPIWebsocketTransport(
        websocket=runner_args.websocket,
        params=FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=serializer),
    )
    hearing = DeepgramSTTService(api_key=os.environ["DEEPGRAM_API_KEY"], base_url=os.environ["DEEPGRAM_BASE_URL"])
    thinking = OpenAILLMService(
        api_key=os.environ["OPENAI_API_KEY"],
        base_url=os.environ["OPENAI_BASE_URL"],
        settings=OpenAILLMService.Settings(system_instruction=INSTRUCTIONS),
    )
    speaking = CartesiaTTSService(
        api_key=os.environ["CARTESIA_API_KEY"],
        url=os.environ["CARTESIA_BASE_URL"],
        settings=CartesiaTTSService.Settings(voice="71a7ad14-091c-4e8e-a314-022ece01c121"),
    )
    user, assistant = LLMContextAggregatorPair(
        LLMContext(), user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    steps = [transport.input(), hearing, user, thinking, speaking, transport.output(), assistant]
    worker = PipelineWorker(
        Pipeline(steps),
        params=PipelineParams(
            audio_in_sample_rate=8000, audio_out_sample_rate=8000, enable_metrics=True, enable_usage_metrics=True
        ),
    )

    @transport.event_handler("on_client_disconnected")
    async def _left(_transport: object, _socket: object) -> None:
        await worker.cancel()

    runner = WorkerRunner(handle_sigint=runner_args.handle_sigint)
    await runner.add_workers(worker)
    await runner.run()
