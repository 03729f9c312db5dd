"""How many may ring at once, so that nobody answers to silence.

This module is the specification of the claim's warm-bot rule. The rule that production runs is its twin in
worker/store/lua/claim.lua, which decides inside one script, where no other worker can come in between. A differential test
holds the two together. What production takes from here is `answer_rate` and the constants.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

BOT_WITHIN: Final = timedelta(seconds=2)
"""How soon after an answer a bot must be there. Later than that, the call is abandoned (47 CFR 64.1200(a)(7))."""

LUCK: Final = 3.0
"""How many standard deviations above the mean number of answers there must be bots for. The answers exceed that about once
in a thousand half minutes at the limit."""

_DOUBT: Final = 2.0
"""How many standard errors above the answers so far the answer rate is taken to be."""

COUNT_FRESH: Final = timedelta(seconds=10)
"""How long Pipecat Cloud's count of idle bots is believed in full. It is asked every 3 s, so two answers may fail."""

COUNT_HALVES: Final = timedelta(seconds=30)
"""In what time the weight of an older count halves, in favour of the setting WARM_BOTS: about as long as a bot takes to be
warm, so the count says less and less about now."""

COUNT_LAGS: Final = timedelta(seconds=2)
"""How much earlier than a count a call may have begun and still not be in it. Such calls are taken off the count."""

USED_KEPT: Final = timedelta(minutes=10)
"""How long a used bot is remembered: twice as long as BOT_REST_S can be set to."""

ODDS_HALVE_AT: Final = 200
"""At how many answers, or calls that rang out, a campaign's counts of both are halved: people answer more at six than at ten,
so what was learned must fade."""


def answer_rate(answered: int, rung_out: int) -> float:
    """Return the highest share of calls, from 0 to 1, that may plausibly be answered.

    It is the upper bound of Wilson's interval for the calls that were answered and those that rang out, and 1 where there
    were none: everybody answers until they are known not to. Busy, refused and invalid calls are in neither number, for
    they are over before a bot could be missing.
    """
    calls = answered + rung_out
    if not calls:
        return 1.0
    share, doubt = answered / calls, _DOUBT**2 / calls
    spread = _DOUBT * math.sqrt(share * (1 - share) / calls + doubt / (4 * calls))
    return min(1.0, (share + doubt / 2 + spread) / (1 + doubt))


def answers_to_expect(ringing: Iterable[tuple[int, float]]) -> float:
    """Return how many of the ringing calls may plausibly be answered; `ringing` holds pairs of calls and their answer rate.

    That is the mean and LUCK standard deviations, and never more than there are calls.
    """
    groups = list(ringing)
    mean = sum(calls * rate for calls, rate in groups)
    variance = sum(calls * rate * (1 - rate) for calls, rate in groups)
    return min(sum(calls for calls, _ in groups), mean + LUCK * math.sqrt(variance))


def may_ring_one_more(warm: int, taken: int, ringing: Sequence[tuple[int, float]], rate: float) -> bool:
    """Decide whether one more contact may be rung.

    `warm` bots were counted; `taken` of them have begun a call since, or are not warm again yet. `ringing` holds the calls
    that are not answered yet, in pairs of calls and their campaign's answer rate; `rate` is the answer rate of the one more.
    """
    return answers_to_expect([*ringing, (1, rate)]) <= warm - taken
