"""One call's talk: the pipeline, in the order in which sound travels, and what watches over it so that nobody hears nothing."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

from loguru import logger
from pipecat.frames.frames import (
    EndFrame,
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
from bot.answering import Screen, leave_message
from bot.clips import apology
from bot.conversation import Conversation
from bot.ear import OPT_OUT_KEY, Ear, Heard, Lines, Words
from bot.evals import EvalStream
from bot.floor import SILENCE_S, WORDS_WITHIN_S, Floor
from bot.machines import Kind, is_backchannel
from bot.services import RATE, Senses
from bot.settings import BotSettings
from bot.telnyx import Line, TelnyxStream
from bot.tools import tools_for
from bot.turns import Judge, strategies
from campaigns.call import Disposition, Listening

PLAYOUT_S: Final = 6.0
"""How long the echo of a mark is waited for, beyond the last words' own length."""

OPT_OUT_S: Final = 2.0
"""How long the do-not-call list may take before we confirm anyway: the wish is sent again until it is there."""

DETECTION_S: Final = 60.0
"""How long the carrier's detection is asked about: it decides within 30 s of the answer."""

_SILENCED_S: Final = 0.5
"""How long an interruption may take through the pipeline: milliseconds, unless something in it hangs."""

_CANCEL_S: Final = 3.0
"""How long providers may take to let go of a call that is over: its report waits for them."""

_LAST_WORDS_S: Final = 1.5
"""How much longer the voice may take to begin a goodbye: without one, they are hung up on in silence."""

_TICK_S: Final = 0.1


class Talk:
    """What goes on between the bot and whoever answered, from the greeting to the hang-up."""

    def __init__(
        self, conversation: Conversation, line: Line, stream: TelnyxStream, settings: BotSettings, floor: Floor
    ) -> None:
        self.conversation, self.floor = conversation, floor
        self.beep = asyncio.Event()
        self._line, self._stream, self._settings = line, stream, settings
        self._screen: Screen | None = None
        self._machine = False  # a mailbox is listened to: nobody's turn begins
        self._tasks: set[asyncio.Task[None]] = set()
        self._opted_out: asyncio.Task[bool] | None = None
        self._clip = False  # the last words are the recorded apology
        self._not_heard = self._nudged = self._voice_again = self._model_again = False

    def _attends(self) -> bool:
        """True while turns are taken: not with a mailbox, and not during the last words."""
        return not self._machine and self.conversation.disposition is None

    @property
    def _listening(self) -> Listening:
        return self.conversation.brief.listening if self.conversation.brief else Listening()

    # --- the pipeline -------------------------------------------------------------------------------------------------

    async def run(self, transport: FastAPIWebsocketTransport, senses: Senses, *, handle_sigint: bool) -> None:
        """Hold the talk until the call is over."""
        conversation, floor, brief = self.conversation, self.floor, self.conversation.brief
        listening, senses = self._listening, senses.tuned(brief)
        self._context = LLMContext(tools=tools_for(conversation, conversation.script, self))
        turns = strategies(listening, senses, floor, attends=self._attends)
        user, assistant = LLMContextAggregatorPair(
            self._context,
            user_params=LLMUserAggregatorParams(
                vad_analyzer=senses.activity,
                user_turn_strategies=turns,
                user_turn_stop_timeout=max(1.5, listening.pause_s + 0.7),
                empty_user_turn=None,  # the judge resumes what a cough cut off
            ),
        )
        self._ear = Ear(self._on_key, self._on_tone, conversation.contact_left)
        self._judge = Judge(floor, self._takes_over)
        self._mind = services.mind(brief, conversation.script, self._settings)
        self._voice = services.voice(brief, self._settings)
        self._output = transport.output()
        self._lines = Lines(floor)
        self._heard = Heard(floor, conversation.usage)
        pipeline = Pipeline(
            [
                transport.input(),  # what the contact says and presses
                self._ear,  # keys, tones and marks
                senses.ears,  # words
                Words(floor, self._on_words),  # whose voice, which words
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
        conversation.on_goodbye(self._say_goodbye)
        self._handle_events(transport, user, assistant)
        runner = WorkerRunner(handle_sigint=handle_sigint)
        self._beside(self._watch())
        if brief and conversation.script is None:
            self._beside(self._fetch_script())
        if brief and brief.report_url:
            self._beside(self._ask_detection())
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
            house = self._settings.inbound_greeting or conversation.phrases.unknown_caller
            await self.say(brief.greeting if brief else house)

        @transport.event_handler("on_client_disconnected")
        async def _left(_transport: object, _socket: object) -> None:
            conversation.first_audio_ms = self._first_audio_ms()
            conversation.left()
            await self.session.cancel(reason="the contact left")

        @user.event_handler("on_user_turn_stopped")
        async def _heard(_user: object, _strategy: object, message: UserTurnStoppedMessage) -> None:
            text = message.content or ""
            conversation.heard(text)
            if text:
                self._nudged = self._not_heard = False
            elif floor.lost_thought and not floor.rest:
                floor.answered()
                await self._think()
            else:
                await self._judge.needs_no_answer("")

        @assistant.event_handler("on_assistant_turn_stopped")
        async def _said(_assistant: object, message: AssistantTurnStoppedMessage) -> None:
            began, latency_ms = floor.turn_taken()
            conversation.said(message.content, began=began, interrupted=message.interrupted, latency_ms=latency_ms)

        @self.session.event_handler("on_pipeline_error")
        async def _problem(_session: object, frame: ErrorFrame) -> None:
            await self._on_error(frame)

    # --- what it can do -----------------------------------------------------------------------------------------------

    async def say(self, words: str) -> None:
        """Speak an utterance, after what is being said."""
        if words:
            self.floor.asked_voice_at = self.floor.asked_voice_at or time.monotonic()
            await self._lines.queue_frame(TTSSpeakFrame(words))  # past the model, which may hang

    async def fall_silent(self) -> None:
        """Say nothing more of what was to be said; return when nothing more comes."""
        self._heard.silenced.clear()
        await self._ear.broadcast_interruption()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._heard.silenced.wait(), _SILENCED_S)

    async def opt_out(self, reason: str) -> None:
        """Part of Line, for tools and keys: a fact first, then confirmed aloud."""
        conversation, brief = self.conversation, self.conversation.brief
        if brief and brief.report_url and self._opted_out is None:
            secret = self._settings.brief_secret.get_secret_value()
            # A task that outlives the call: it goes on until the number is on the list.
            self._opted_out = asyncio.create_task(dialer.opt_out(brief, conversation.call_sid, reason, secret))
            await asyncio.wait({self._opted_out}, timeout=OPT_OUT_S)
        refused = self._opted_out is None or (self._opted_out.done() and not self._opted_out.result())
        words = conversation.phrases.not_noted if refused else None  # nothing is promised that nobody was told
        conversation.conclude(Disposition.DO_NOT_CALL, reason or "asked not to be called again", words)

    async def hand_over(self, number: str) -> bool:
        """Part of Line: the call goes on with somebody else."""
        words = self.conversation.phrases.handing_over
        await self.say(words)
        await self._ear.playout(self._lines.queue_frame, within=PLAYOUT_S + len(words) / 10)
        self.conversation.handed_over = True  # from now on the stream's end is not the contact's
        self.conversation.handed_over = await self._line.hand_over(number)
        return self.conversation.handed_over

    async def send_digits(self, digits: str) -> bool:
        """Part of Line."""
        return await self._line.send_digits(digits)

    async def settled(self) -> None:
        """Wait for what must not be lost with the call."""
        if self._opted_out:
            await self._opted_out

    async def _think(self) -> None:
        self.floor.model_asked(time.monotonic())
        await self._mind.queue_frame(LLMContextFrame(context=self._context))

    async def _say_goodbye(self, words: str) -> None:
        """Speak the last words, wait until the carrier says that they were heard, and hang up."""
        if self._clip:
            await self._apologize()
        elif not self.conversation.handed_over:
            if words:
                await self.fall_silent()  # nothing else is to be said any more
                await self.say(words)
            heard = asyncio.create_task(self._ear.playout(self._lines.queue_frame, within=PLAYOUT_S + len(words) / 10))
            while not heard.done() and not self.floor.voice_is_late(time.monotonic() - _LAST_WORDS_S):
                await asyncio.wait({heard}, timeout=_TICK_S)
            heard.cancel()
        if not self.conversation.handed_over:
            self.conversation.hung_up = await self._line.hang_up()
        await self.session.queue_frame(EndFrame())

    async def _apologize(self) -> None:
        sound = apology(self.conversation.brief.voice.language if self.conversation.brief else "en")
        await self.fall_silent()
        await self._output.queue_frame(OutputAudioRawFrame(sound, RATE, 1))  # past every provider
        self.conversation.said(self.conversation.phrases.apology)
        await self._ear.playout(self._output.queue_frame, within=PLAYOUT_S + len(sound) / 2 / RATE)

    def _fail(self, why: str) -> None:
        """End the call honestly: nobody is to listen to nothing, and the contact is rung again."""
        self._clip = not self._machine
        self.conversation.problem(why)
        self.conversation.conclude(Disposition.FAILED, why, "")

    # --- who is there -------------------------------------------------------------------------------------------------

    def _on_key(self, key: str) -> None:
        if key == OPT_OUT_KEY.value:
            self._beside(self.opt_out("pressed 9 to opt out"))

    def _on_tone(self, tone: str) -> None:
        if tone == "fax":
            self.conversation.impression.fax_tone = True
            self._recognize()
        else:
            self.beep.set()
            self.conversation.impression.beeped = True
            self._recognize()

    def _on_words(self, text: str, final: bool) -> None:
        impression = self.conversation.impression
        if final:
            impression.hear(text)
        else:
            impression.so_far = text
        self._recognize()

    def _recognize(self) -> None:
        """Act on what has become clear about who is there."""
        if self.conversation.disposition is not None or self._machine:
            return
        match self.conversation.impression.kind:
            case Kind.VOICEMAIL if self._screen is None:
                self._machine = True
                self._beside(leave_message(self))
            case Kind.FAX | Kind.MENU as kind if kind is Kind.FAX or not self._presses_keys:
                self._machine = True
                self.conversation.conclude(Disposition.VOICEMAIL, f"a machine answered: a {kind}", "")
            case Kind.SCREENING if self._screen is None:
                self._screen = Screen(self)
                self._beside(self._screen.tell())
            case _:
                pass

    @property
    def _presses_keys(self) -> bool:
        script = self.conversation.script
        return bool(script and script.menus == "press_keys")

    async def _takes_over(self, text: str) -> bool:
        """True if a turn is not the model's to answer."""
        if self._machine or self.conversation.disposition is not None:
            return True
        if self._screen is None:
            if self.floor.opening and self.floor.bot_speaking and not is_backchannel(text):
                self._beside(self._yield_the_floor())
                return True
            return False
        if self._screen.person_speaks(text):
            self._screen = None
            self.conversation.impression.put_through()
            brief = self.conversation.brief
            await self.say(brief.greeting if brief else "")
        return True

    async def _yield_the_floor(self) -> None:
        """The greeting plays on over a "hello?", but not over somebody who has really said something."""
        await self.fall_silent()
        self.floor.answered()
        await self._think()

    async def _ask_detection(self) -> None:
        """Have the carrier's detection tell what it hears, while that may matter."""
        brief, secret = self.conversation.brief, self._settings.brief_secret.get_secret_value()
        assert brief is not None
        impression = self.conversation.impression
        until = time.monotonic() + DETECTION_S
        while time.monotonic() < until and impression.detected not in {"human", "machine_ready", "fax"}:
            if told := await dialer.ask_detection(brief, impression.detected, secret):
                impression.detected = told
                self._recognize()
            else:
                await asyncio.sleep(1)

    async def _fetch_script(self) -> None:
        """Fetch the script while the greeting is spoken, and put it into the prompt and the tools."""
        conversation = self.conversation
        assert conversation.brief is not None
        try:
            script = await dialer.fetch_script(conversation.brief, self._settings.brief_secret.get_secret_value())
        except dialer.NoScript as missing:
            conversation.problem(str(missing))
            return
        conversation.script = script
        wanted = services.thinking(conversation.brief, script, self._settings)
        await self.session.queue_frame(LLMUpdateSettingsFrame(delta=wanted))
        self._context.set_tools(tools_for(conversation, script, self))

    # --- nobody listens to nothing ------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """See to it that neither side is left waiting, until the last words begin."""
        conversation = self.conversation
        while conversation.disposition is None:
            await asyncio.sleep(_TICK_S)
            if conversation.disposition is None:
                await self._look()

    async def _look(self) -> None:
        floor, now, conversation = self.floor, time.monotonic(), self.conversation
        limit_s = conversation.script.time_limit_s if conversation.script else self._settings.max_call_s
        if conversation.brief is None:
            limit_s = self._settings.unbriefed_call_s
        if conversation.seconds > limit_s:
            words = conversation.phrases.out_of_time
            conversation.conclude(Disposition.COMPLETED, "the call reached its time limit", words)
        elif floor.voice_is_late(now):
            await self._voice_failed("no sound came from it")
        elif self._machine:
            return
        elif floor.model_is_late(now):
            await self._model_failed("no answer came from it")
        elif floor.cut_short(now):
            await self._voice_failed("it broke off")
        elif floor.spoke_since and not floor.contact_speaking and now - floor.contact_heard_at > WORDS_WITHIN_S:
            await self._not_understood()
        elif self._screen is not None:
            if self._screen.overdue:
                conversation.conclude(Disposition.REJECTED, "a call screen kept us waiting, and nobody came", "")
        elif not floor.owed_since and floor.silent_s(now) > self._listening.patience_s:
            await self._nudge()
        elif floor.owed_since and now - max(floor.owed_since, floor.bot_heard_at) > SILENCE_S:
            self._fail("dead air: a provider did not answer")

    async def _nudge(self) -> None:
        conversation = self.conversation
        if not self._nudged:
            self._nudged = True
            await self.say(conversation.phrases.still_there)
        elif any(turn.role == "contact" for turn in conversation.turns):
            words = conversation.phrases.fell_silent
            conversation.conclude(Disposition.COMPLETED, "the contact fell silent", words)
        else:
            words = conversation.phrases.nobody_there
            conversation.conclude(Disposition.NO_ANSWER, "answered, but nobody spoke", words)

    async def _not_understood(self) -> None:
        """There was a voice, and no words came of it."""
        self.floor.spoke_since = 0.0
        if self.floor.bot_speaking or self.floor.owed_since:
            return
        if self._not_heard:
            self._fail("nothing of what was said could be understood")
            return
        self._not_heard = True
        await self.say(self.conversation.phrases.not_heard)

    async def _on_error(self, frame: ErrorFrame) -> None:
        processor = frame.processor
        name = type(processor).__name__
        self.conversation.problem(f"{name}: {frame.error}")
        if self.conversation.disposition is not None:
            return
        if isinstance(processor, CartesiaTTSService):
            if self.floor.pending:
                await self._voice_failed(frame.error)
        elif isinstance(processor, OpenAILLMService):
            if not self.floor.bot_speaking and not self.floor.to_say:  # or they have an answer, if not all of it
                await self._model_failed(frame.error)
        elif isinstance(processor, services.Ears) and not processor.is_usable:
            self._fail("the ears failed: Deepgram cannot be reached")

    async def _voice_failed(self, why: str) -> None:
        """Say it once more, with the fallback voice if there is one; then let the recording apologize."""
        brief, words = self.conversation.brief, self.floor.pending
        logger.warning("the voice failed: {}", why)
        if self._voice_again or not words:
            self._fail(f"the voice failed: {why}"[:200])
            return
        self._voice_again = True
        await self.fall_silent()
        self.floor.answered()
        if brief and brief.voice.fallback:
            wanted = CartesiaTTSService.Settings(voice=brief.voice.fallback)
            await self._lines.queue_frame(TTSUpdateSettingsFrame(delta=wanted))
            self.conversation.problem("went on with the fallback voice")
        await self.say(words)

    async def _model_failed(self, why: str) -> None:
        """Ask once more, the fallback model if there is one; meanwhile they are told that it takes a moment."""
        script = self.conversation.script
        logger.warning("the model failed: {}", why)
        if self._model_again:
            self._fail(f"the model failed: {why}"[:200])
            return
        self._model_again = True
        await self.fall_silent()
        self.floor.answered()
        if script and script.model.fallback:
            wanted = OpenAILLMService.Settings(model=script.model.fallback)
            await self._mind.queue_frame(LLMUpdateSettingsFrame(delta=wanted))
            self.conversation.problem("went on with the fallback model")
        await self.say(self.conversation.phrases.one_moment)
        await self._think()

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
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
