"""The constants that the scripts take from Python. In Lua, a name in CAPITALS is one of CONSTANTS."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from campaigns.call import Disposition
from worker.rules import brakes, caller_ids, retries, timing, warm_bots
from worker.rules.brakes import Mark
from worker.rules.rule import Rule
from worker.rules.states import CampaignState, ContactState
from worker.store.keys import ROOT
from worker.store.times import ms
from worker.store.values import Reception
from worker.store.witnesses import BotNeed

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
    "CATCH_UP_MS": ms(timing.CATCH_UP),
    "APART_MS": ms(timing.APART),
    "LONGEST_WAIT_MS": ms(timing.LONGEST_WAIT),
    "LATE_MS": ms(timing.LATE),
    "SOON_MS": ms(timing.SOON),
    # lines and bots
    "LONGEST_INBOUND_MS": ms(timing.LONGEST_INBOUND),
    "INBOUND_KEPT_MS": ms(timing.INBOUND_KEPT),
    "RUNG_KEPT_MS": ms(retries.RUNG_KEPT),
    "USED_KEPT_MS": ms(warm_bots.USED_KEPT),
    "BOT_WITHIN_MS": ms(warm_bots.BOT_WITHIN),
    "LUCK": warm_bots.LUCK,
    "COUNT_FRESH_MS": ms(warm_bots.COUNT_FRESH),
    "COUNT_HALVES_MS": ms(warm_bots.COUNT_HALVES),
    "COUNT_LAG_MS": ms(warm_bots.COUNT_LAGS),
    "ODDS_FULL": warm_bots.ODDS_HALVE_AT,
    # brakes and caller IDs
    "ASK_OWNED_MS": ms(caller_ids.ASK_EVERY),
    "RECENT_CALLS": caller_ids.RECENT,
    "WINDOW": brakes.REMEMBERED,
    "PERIOD_DAYS": brakes.KEPT.days,
}
