"""The tuned times and counts of the store, and the constants that the scripts take from Python.

In Lua, a name in CAPITALS is one of CONSTANTS.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from campaigns.call import Disposition
from worker.rules import brakes, caller_ids, policy
from worker.rules.brakes import Mark
from worker.rules.rule import Rule
from worker.rules.states import CampaignState, ContactState
from worker.store.keys import ROOT
from worker.store.times import ms
from worker.store.values import Reception
from worker.store.witnesses import BotNeed

# --- the pace: docs/decisions/0010 and 0011 say why -------------------------------------------------------------------

SPARE: Final = 0.016
"""Share by which departures are farther apart than the pace asks. It makes room for dials that were held up."""

CATCH_UP: Final = timedelta(milliseconds=250)
"""How long after its time a departure that no dial took can still be taken: about the time between two claims."""

APART: Final = timedelta(milliseconds=10)
"""Minimum extra gap between a dial and the N-th dial before it, N being the dials of a second. It absorbs jitter on the way
to the carrier."""

LONGEST_WAIT: Final = timedelta(milliseconds=100)
"""How long before its departure an attempt may be begun. A pause or an opt-out that comes after that comes too late for it."""

LATE: Final = timedelta(milliseconds=250)
"""How late a dial may be for its departure and still leave. The dials after it wait so much longer, because its witness
reports the delay before the N-th of them begins. A dial that is later than this asks for another departure."""

LINES_TAKEN: Final = timedelta(seconds=5)
"""When a contact is tried again after all lines of its caller IDs were taken."""

LOOK_AGAIN: Final = timedelta(seconds=10)
"""When an attempt is due for a look again, if the caller that took it dies before it has looked."""

# --- lines and bots ---------------------------------------------------------------------------------------------------

LONGEST_INBOUND: Final = timedelta(minutes=20)
"""How long a call to us holds a line if nobody tells us that it is over."""

INBOUND_KEPT: Final = timedelta(days=1)
"""How long a call to us and its caller are remembered: its callbacks come within minutes, a late report within hours."""

USED_KEPT: Final = timedelta(minutes=10)
"""How long a bot's last call is remembered: longer than any bot rests (BOT_REST_S is at most 300)."""

COUNT_KEPT: Final = timedelta(minutes=10)
"""How long a count of warm bots is kept. By then it has no weight left."""

COUNT_FRESH: Final = timedelta(seconds=10)
COUNT_HALVES: Final = timedelta(seconds=30)
"""A count of warm bots has its full weight while it is fresh; then the weight halves in each such time."""

COUNT_LAG: Final = timedelta(seconds=2)
"""A bot that was taken so shortly before a count may not be in it yet."""

ODDS_FULL: Final = 200
"""After so many answers, or calls that rang out, both counts are halved: people answer more at six than at ten."""

CONSTANTS: Final[Mapping[str, int | float | str]] = {
    "ROOT": f"{ROOT}:",
    "SECOND_MS": ms(timedelta(seconds=1)),
    "MINUTE_MS": ms(timedelta(minutes=1)),
    "DAY_MS": ms(timedelta(days=1)),
    # states, as worker/rules/states.py names them
    "RUNNING": CampaignState.RUNNING.value,
    "PAUSED": CampaignState.PAUSED.value,
    "STOPPED": CampaignState.STOPPED.value,
    "LIVE": ContactState.LIVE.value,
    "DONE": ContactState.DONE.value,
    "REFUSED": ContactState.REFUSED.value,
    # words of the rules, of the brakes and of witnesses
    "DO_NOT_CALL": Disposition.DO_NOT_CALL.value,
    "CANARY": Rule.CANARY.value,
    "PERSON": Mark.PERSON.value,
    "ABANDONED": Mark.ABANDONED.value,
    "ANSWERED": BotNeed.ANSWERED.value,
    "JOINED": BotNeed.JOINED.value,
    "RUNG_OUT": BotNeed.RUNG_OUT.value,
    "WORD_NOTED": Reception.NOTED.value,
    "WORD_IS_NEWS": Reception.NEWS.value,
    "WORD_REPEATED": Reception.REPEATED.value,
    "WORD_UNKNOWN": Reception.UNKNOWN.value,
    # the pace
    "CATCH_UP_MS": ms(CATCH_UP),
    "APART_MS": ms(APART),
    "LONGEST_WAIT_MS": ms(LONGEST_WAIT),
    "LATE_MS": ms(LATE),
    "LINES_TAKEN_MS": ms(LINES_TAKEN),
    # lines and bots
    "LONGEST_INBOUND_MS": ms(LONGEST_INBOUND),
    "INBOUND_KEPT_MS": ms(INBOUND_KEPT),
    "USED_KEPT_MS": ms(USED_KEPT),
    "BOT_WITHIN_MS": ms(policy.BOT_WITHIN),
    "LUCK": policy.LUCK,
    "COUNT_FRESH_MS": ms(COUNT_FRESH),
    "COUNT_HALVES_MS": ms(COUNT_HALVES),
    "COUNT_LAG_MS": ms(COUNT_LAG),
    "ODDS_FULL": ODDS_FULL,
    # brakes and caller IDs
    "ASK_OWNED_MS": ms(caller_ids.ASK_EVERY),
    "RECENT_CALLS": caller_ids.RECENT,
    "WINDOW": brakes.REMEMBERED,
    "PERIOD_DAYS": brakes.PERIOD.days + 1,  # it begins and ends within a day
}
