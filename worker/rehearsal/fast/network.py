"""The telephone network of a fast rehearsal, the people on it, and the bot: they answer, talk and ring back by the odds.

It keeps records of its own, which `findings` reads. What it tells the dialer, it tells as the callbacks' routes do.

More than 300 lines: the network's calls, clock and callbacks are one state machine.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Final
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from campaigns.call import Disposition, Joined, OptOut, Report
from worker.rehearsal.fast.event_clock import EventClock
from worker.rehearsal.fast.odds import Fate, Odds, Pickup, PostAnswer
from worker.rehearsal.fast.records import NetworkCall, Post, event, found, moment
from worker.rules.evidence import AnsweredBy, CallState, Detection, FoundCall
from worker.settings import Settings
from worker.store import Store, witnesses
from worker.store.values import Reception
from worker.telnyx.order import Dialed, DialOrder
from worker.telnyx.refusals import CarrierBusy, DialRefused, DialUnconfirmed, DialWithheld
from worker.web import inbound

_LISTED_AFTER_MS: Final = 3000
"""How old a call is when the carrier's list first shows it."""

_RINGS_AFTER_S: Final = 1.2
_DETECTS_AFTER_S: Final = 3.5
_TELLS_AFTER_S: Final = 0.2
_REPORTS_AFTER_S: Final = 1.5
_COLD_START_S: Final = 12.0
"""How long a person waits for a bot when none is warm."""

_LISTENS_TO_NOTHING_S: Final = 25.0
"""How long a person waits whom no bot greets; the dialer hangs up on some before that."""

_UNANSWERED: Final = {Pickup.BUSY: "busy", Pickup.REJECTED: "rejected", Pickup.INVALID: "invalid"}


class FastNetwork:
    """The phone network on an event clock: a `worker.dialing.phone.Phone`."""

    def __init__(
        self,
        clock: EventClock,
        store: Store,
        settings: Settings,
        odds: Odds,
        *,
        zones: Mapping[str, Sequence[str]],
        own: Sequence[str],
    ) -> None:
        """Everybody lives in the first of their `zones`, by number; `own` are the numbers that may call.

        The settings say how many bots are warm at once, and how long after a call another takes the place of its bot.
        """
        self.posts: list[Post] = []
        self.calls: dict[str, NetworkCall] = {}
        self._clock, self._store, self._settings, self._odds = clock, store, settings, odds
        self._homes = {number: ZoneInfo(next(iter(theirs), "UTC")) for number, theirs in zones.items()}
        self._rings: Counter[str] = Counter()
        self._on_the_phone: dict[str, NetworkCall] = {}
        self._sids = count(1)
        self._warm, self._own = settings.bots_at_once, tuple(own)
        self._news = False

    def take_news(self) -> bool:
        """Tell whether the dialer was told anything of which something follows at once, since this was last asked."""
        news, self._news = self._news, False
        return news

    # --- what the dialer asks of it ------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Do nothing: on this clock, only sleep takes time."""

    def dial(self, order: DialOrder, may_leave: Callable[[], bool]) -> Dialed:
        """Take the one POST, and let the phone ring; raises as the carrier's own `dial` does."""
        if not may_leave():
            raise DialWithheld("nothing was sent: the dial may not leave now")
        attempt_id = parse_qs(urlsplit(order.status_url).query)["attempt"][0]
        post = Post(attempt_id, order.to, order.caller_id, self._clock.now_ms, PostAnswer.TAKEN)
        self.posts.append(post)
        fate = self._fate(order.to)
        post.answer = PostAnswer.BUSY if self._odds.is_congested(post.at_ms) else fate.post
        rings = post.answer in {PostAnswer.TAKEN, PostAnswer.LOST_RINGS}
        if rings:
            self._rings[order.to] += 1
            call = self._call(order.to, order.caller_id, attempt_id=attempt_id)
            post.call_sid = call.call_sid
            self._clock.after(fate.post_s / 2, partial(self._ring, call, order, fate))
        self._clock.sleep(fate.post_s)
        match post.answer:
            case PostAnswer.BUSY:
                raise CarrierBusy("the carrier is busy (429)", retry_after_s=2.0)
            case PostAnswer.REFUSED:
                raise DialRefused("the carrier knows no such number", Disposition.INVALID_NUMBER)
            case PostAnswer.LOST | PostAnswer.LOST_RINGS:
                self._clock.sleep(4.0)
                raise DialUnconfirmed("the carrier's answer did not come")
            case _:
                return Dialed(post.call_sid, None)  # every dial leaves on time here

    def numbers(self) -> dict[str, str]:
        """Return the numbers that may call: all that do call."""
        return dict.fromkeys(self._own, "")

    def find(self, to: str, begun_at: datetime) -> list[FoundCall]:
        """Return the listed calls to a number since an instant."""
        self._think()
        since_ms = begun_at.timestamp() * 1000 - 5000
        calls = (call for call in self.calls.values() if call.number == to and not call.inbound)
        return [found(call) for call in calls if call.created_ms >= since_ms and self._is_listed(call)]

    def fetch(self, call_sid: str) -> FoundCall | None:
        """Return one call, once it is listed."""
        self._think()
        call = self.calls.get(call_sid)
        return found(call) if call and self._is_listed(call) else None

    def hang_up(self, call_sid: str) -> None:
        """End a call."""
        self._think()
        if call := self.calls.get(call_sid):
            self._end(call, "completed" if call.answered_ms else "canceled", tells=True)

    def _think(self) -> None:
        self._clock.sleep(0.1)
        if self._odds.is_congested(self._clock.now_ms):
            raise CarrierBusy("the carrier is busy (429)")

    def _is_listed(self, call: NetworkCall) -> bool:
        return self._clock.now_ms >= call.created_ms + _LISTED_AFTER_MS

    # --- the person ---------------------------------------------------------------------------------------------------

    def _fate(self, number: str) -> Fate:
        hour = moment(self._clock.now_ms).astimezone(self._homes.get(number, UTC)).hour
        return self._odds.fate(number, self._rings[number] + 1, hour)

    def _call(self, number: str, caller_id: str, *, attempt_id: str = "", inbound: bool = False) -> NetworkCall:
        sid = f"v3:{next(self._sids):06}"
        self.calls[sid] = NetworkCall(sid, attempt_id, number, caller_id, inbound, self._clock.now_ms)
        return self.calls[sid]

    def _ring(self, call: NetworkCall, order: DialOrder, fate: Fate) -> None:
        self._tell(call, CallState.INITIATED)
        self._clock.sleep(_RINGS_AFTER_S)
        pickup = Pickup.BUSY if call.number in self._on_the_phone else fate.pickup
        if pickup in _UNANSWERED:
            self._clock.sleep(fate.pickup_s)
            self._end(call, _UNANSWERED[pickup], tells=fate.tells)
            return
        self._on_the_phone[call.number] = call
        self._tell(call, CallState.RINGING)
        self._clock.sleep(min(fate.pickup_s, order.ring_timeout_s))
        if call.ended_ms:
            return
        if fate.pickup_s < order.ring_timeout_s:
            self._talk(call, fate, order.time_limit_s, machine=pickup is Pickup.MACHINE)
        else:
            self._end(call, "no-answer", tells=fate.tells)
        if fate.rings_back_s and pickup is not Pickup.PERSON:
            self._clock.after(fate.rings_back_s, partial(self._ring_us, call))

    def _ring_us(self, missed: NetworkCall) -> None:
        if missed.number in self._on_the_phone:
            return
        call = self._call(missed.number, missed.caller_id, inbound=True)
        inbound.document(
            self._store, self._settings, {"CallSid": call.call_sid, "From": call.number, "To": call.caller_id}
        )
        call.attempt_id = self._store.callers.attempt_of(call.call_sid) or ""
        self._rings[call.number] += 1
        self._on_the_phone[call.number] = call
        self._talk(call, self._odds.fate(f"{call.number} rings us", self._rings[call.number], 0), 600, machine=False)

    def _talk(self, call: NetworkCall, fate: Fate, limit_s: float, *, machine: bool) -> None:
        call.answered_ms, call.cold = self._clock.now_ms, not self._take_bot()
        self._tell(call, CallState.ANSWERED)
        if not call.inbound:
            by = AnsweredBy.MACHINE if machine else AnsweredBy.HUMAN
            self._hear(call, _DETECTS_AFTER_S, witnesses.detected(Detection(call.call_sid, by)))
        if not fate.bot_comes:
            self._clock.sleep(_LISTENS_TO_NOTHING_S + fate.pickup_s)
            self._end(call, "completed", tells=fate.tells)
            return
        self._clock.sleep(fate.joins_s + (_COLD_START_S if call.cold else 0.0))
        if call.ended_ms:
            return
        call.joined_ms = self._clock.now_ms
        self._hear(call, 0.05, witnesses.joined(Joined(attempt_id=call.attempt_id, call_sid=call.call_sid)))
        says = Disposition.VOICEMAIL if machine else fate.says
        if says is Disposition.VOICEMAIL and not machine:
            says = Disposition.COMPLETED  # a machine rings nobody back
        talk_s = min(fate.talk_s, limit_s - fate.joins_s - 1)
        self._clock.sleep(talk_s * 0.6)
        if says is Disposition.DO_NOT_CALL and not call.ended_ms:
            self._opt_out(call)
        self._clock.sleep(talk_s * 0.4)
        if call.ended_ms:
            return
        self._end(call, "completed", tells=fate.tells)
        if fate.reports:
            self._clock.sleep(_REPORTS_AFTER_S)
            self._report(call, says, fate)

    def _take_bot(self) -> bool:
        if self._warm is None:
            return True
        self._warm -= 1
        return self._warm >= 0

    def _give_bot_back(self) -> None:
        if self._warm is not None:
            self._warm += 1

    def _opt_out(self, call: NetworkCall) -> None:
        call.opted_out_ms = self._clock.now_ms
        self._store.do_not_call.add(call.number, f"asked during {call.attempt_id}")
        self._say(call, witnesses.opted_out(OptOut(attempt_id=call.attempt_id, call_sid=call.call_sid)))

    def _report(self, call: NetworkCall, says: Disposition, fate: Fate) -> None:
        callback_at = None
        if says is Disposition.CALLBACK:
            call.wanted_ms = call.ended_ms + round(fate.callback_s * 1000)
            callback_at = moment(call.wanted_ms)
        call.says = says.value
        report = Report(
            report_id=call.call_sid,
            attempt_id=call.attempt_id,
            disposition=says,
            reason="by the odds",
            call_sid=call.call_sid,
            started_at=moment(call.joined_ms),
            ended_at=moment(call.ended_ms),
            callback_at=callback_at,
            ended_by="contact",
            answered_by="voicemail" if says is Disposition.VOICEMAIL else "human",
        )
        self._say(call, witnesses.reported(report))

    def _end(self, call: NetworkCall, status: str, *, tells: bool) -> None:
        if call.ended_ms:
            return
        call.ended_ms, call.status = self._clock.now_ms, status
        if call.answered_ms:
            self._clock.after(self._settings.bot_rest_s, self._give_bot_back)
        if self._on_the_phone.get(call.number) is call:
            del self._on_the_phone[call.number]
        if tells:
            self._tell(call, CallState.ENDED)

    # --- what the dialer is told --------------------------------------------------------------------------------------

    def _tell(self, call: NetworkCall, state: CallState) -> None:
        self._hear(call, _TELLS_AFTER_S, witnesses.told(event(call, state)))

    def _hear(self, call: NetworkCall, after_s: float, testimony: witnesses.Testimony) -> None:
        self._clock.after(after_s, lambda: self._say(call, testimony))

    def _say(self, call: NetworkCall, testimony: witnesses.Testimony) -> None:
        if self._store.attempts.witness(call.attempt_id, testimony) is Reception.NEWS:
            self._news = True
