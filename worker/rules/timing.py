"""Every tuned time of one attempt, from the claim to the end of its lease, with its unit, its reason and its source.

Sources: `Telnyx`, by its documentation; `bench`, by `python -m bench.worker dials` or `pace` (figures in
docs/performance.md, and those of the trials in docs/decisions/0010); `chosen`, where the value follows from the others
or from what people put up with, and no bench decides it.

    beat     place_call     begin    departure    POST                answer       record
     |           |            |          |          |                   |            |
     |---------- AHEAD ------------------|          |                   |            |  claimed so far ahead of it
     |---------- CLAIM_LEASE --------- - - -        |                   |            |  not begun by then: given back
     |           |-- FARTHEST -----------|          |                   |            |  farther away: given back
     |           |            |- EARLY_S-|          |                   |            |
     |           |            |- LONGEST_WAIT at most                   |            |
     |           |            |          |- LATE ---|                   |            |  later: asks for another one
     |           |            |- POST_WITHIN_S -----|                   |            |  later: nothing is sent
     |           |            |          |          |- timeout (CARRIER_TIMEOUT_S)   |
     |           |            |          |          |                   |- INSIST_S -|  Redis is away: tried again
     |
     |- BEAT_S -|  the next beat; those within TICK of one another count as one

     the N-th dial before it                 departure
     |----- 1 s, longer by SPARE, and APART -----|- CATCH_UP: how long another dial may take it if it is missed

    departure        answer          end           report        lease end
     |                |               |              |              |
     |- FIRST_LOOK    |               |              |              |  nothing was heard: the carrier is asked
     |- RING_LOOK     |               |              |              |  it rings, and no news came: the carrier is asked
     |- NOT_PLACED    |               |              |              |  the carrier knows no such call: settled
     |                |- BOT_GRACE    |              |              |  no bot came: the carrier is asked
     |                |-- and HANG_UP_AFTER          |              |  still no bot: we hang up
     |                |- TALK_LOOK    |              |              |  the bot is there: the carrier is asked
     |                |               |- REPORT_GRACE|              |  settled without the bot's report
     |                |               |              |- END_GRACE   |  settled without the carrier's last callback
     |----------- ring time-out, time limit, LINGER ----------------|- HANG_UP_GRACE: settled at the last
"""

from datetime import timedelta
from typing import Final

# --- beat, and the claim ----------------------------------------------------------------------------------------------

BEAT_S: Final = 0.25
"""Seconds between two beats of the claim, and of the sweep. Short against AHEAD. Chosen."""

TICK: Final = timedelta(milliseconds=200)
"""Beats that come within this time of one another count as one.

A little less than BEAT_S, so that no beat that comes in time is lost. Chosen.
"""

COUNT_BEAT_S: Final = 3.0
COUNT_TICK: Final = timedelta(seconds=2.4)
"""The same for the count of warm bots. Pipecat Cloud starts a bot in about ten times as long. Chosen."""

TEND_BEAT_S: Final = 5.0
TEND_TICK: Final = timedelta(seconds=25)
"""The same for our own numbers: their state changes over hours. Chosen."""

BEAT_EXPIRES_S: Final = 300
"""Seconds after which a beat that no worker took is dropped.

It bounds the pile while no worker runs. It is far above any difference between two machines' clocks, which would void
every beat. Chosen.
"""

AHEAD: Final = timedelta(milliseconds=750)
"""How far ahead of their departures attempts are claimed.

More than passes between two beats, and little enough to wait in threads. Bench: pace.
"""

TOGETHER: Final = 16
"""Attempts in one message: a message costs a worker more than a dial does. Bench: dials."""

DIALS_AT_ONCE: Final = 32
"""Threads of a worker that dial. With one for each attempt they take the processor from one another. Bench: dials."""

CLAIM_LEASE: Final = timedelta(seconds=6)
"""From the claim to the departure. If no worker dials the attempt within it, the attempt is given back. Chosen."""

# --- the departure, and the POST --------------------------------------------------------------------------------------

FARTHEST: Final = timedelta(seconds=1)
"""The farthest away that a departure may be: a dial that would have to wait longer is given back.

A little above AHEAD. Chosen.
"""

EARLY_S: Final = 0.015
"""Seconds before its departure at which a dial is begun, so that it is ready to leave when the departure comes.

One round trip to Redis and the making of the request. Bench: pace.
"""

LONGEST_WAIT: Final = timedelta(milliseconds=100)
"""The longest that an attempt may stand as begun before it leaves.

A pause or an opt-out that comes meanwhile is not seen. Chosen.
"""

LATE: Final = timedelta(milliseconds=250)
"""The most by which a dial may miss its departure and still leave.

Its record says when it left, well before the N-th dial after it begins, and that one waits accordingly. A dial that is
later than this asks for another departure. Bench: pace.
"""

APART: Final = timedelta(milliseconds=10)
"""Minimum extra gap between a dial and the N-th dial before it, N being the dials of a second.

It absorbs jitter on the way to the carrier. Bench: pace; docs/decisions/0010.
"""

SPARE: Final = 0.016
"""Share by which departures are farther apart than the pace allows: it makes room for dials that were held up.

Bench: pace; docs/decisions/0010.
"""

CATCH_UP: Final = timedelta(milliseconds=250)
"""How long after it has passed a departure that nobody took may still be taken: about BEAT_S. Bench: pace."""

POST_WITHIN_S: Final = 10.0
"""Seconds after the store's permission within which the POST may leave.

A worker that stood still for longer (a sleeping laptop, a stopped container) has lost the permission. Chosen.
"""

LONGEST_WAY_S: Final = 0.25
"""The most seconds by which a slow answer counts as a request that was held up: the rest was the carrier's own doing.

As long as LATE. Bench: pace (worker/telnyx/arrival.py).
"""

SWITCH_S: Final = 0.001
"""Seconds for which a thread may keep the others of its process from running; Python's own is 0.005.

A dial whose departure has come waits for no longer. Bench: pace.
"""

# --- the answer, and its record ---------------------------------------------------------------------------------------

INSIST_S: Final = 10.0
INSIST_EVERY_S: Final = 0.2
"""Seconds for which, and between which, a write is tried again while Redis is away. Chosen: Redis restarts in less."""

SOON: Final = timedelta(seconds=5)
"""How long a contact waits for a reason that may be over at any moment: another call to the number, a busy carrier, a caller
ID whose lines are all taken.

Chosen: long enough not to ask in vain each time, short enough to lose little of the pace.
"""

SLOWEST_S: Final = 4.0
"""The slowest pace, in seconds between two dials, however busy the carrier is: its relief must be noticed. Chosen."""


def slowest(calls_per_second: float) -> float:
    """Return the most times that a pace is slowed by: down to SLOWEST_S between two dials, and at least to half."""
    return max(2.0, SLOWEST_S * calls_per_second)


LONGEST_BUSY_S: Final = 3600.0
"""The longest wait (s) that the carrier may ask for.

Telnyx documents x-ratelimit-reset once as a number of seconds and once as an instant, which would be a wait of decades.
"""

RECONNECT_EVERY_S: Final = 1.0
"""Seconds between two tries of a worker to reach its broker. Celery waits longer each time, up to 30 s. Chosen."""

# --- looking after a call ---------------------------------------------------------------------------------------------

LOOK_AGAIN: Final = timedelta(seconds=10)
"""When an attempt is looked at again whose look was taken by a worker that died. Chosen."""

FIRST_LOOK: Final = timedelta(seconds=12)
"""When the carrier is asked, and asked again, about a dial of which nothing was heard. Telnyx calls back in seconds."""

RING_LOOK: Final = timedelta(seconds=45)
"""How long a call that is on its way may be silent before the carrier is asked: longer than most calls ring."""

TALK_LOOK: Final = timedelta(seconds=120)
"""How long a talk may go on before the carrier is asked whether it does: the bot reports when it is over. Chosen."""

NOT_PLACED: Final = timedelta(seconds=60)
"""When a dial that the carrier still does not know counts as never placed.

A guess: Telnyx's list of calls is only eventually complete.
"""

BOT_GRACE: Final = timedelta(seconds=20)
"""How long after an answer the bot may take to say that it is there before the carrier is asked about it. Chosen."""

HANG_UP_AFTER: Final = timedelta(seconds=10)
"""How much longer the bot may then take before we hang up: nobody is kept listening to silence. Chosen."""

HANG_UP_GRACE: Final = timedelta(seconds=60)
"""How long we try to hang up, and then wait to hear that the call is over. Chosen."""

REPORT_GRACE: Final = timedelta(seconds=30)
"""How long after a call's end we wait for the bot's report: its retries take most of this if we were away."""

END_GRACE: Final = timedelta(seconds=15)
"""How long after the bot's report we wait for the carrier's last callback. Chosen."""

ASK_AGAIN: Final = timedelta(seconds=10)
"""When a request to the carrier that may have been lost is made again. Chosen."""

ASKED_LATELY: Final = timedelta(seconds=5)
"""How soon the carrier may be asked about an attempt again: requests pile up while it is slow. Chosen."""

ASKING_AT_ONCE: Final = 8
"""Threads of a worker that may ask the carrier at once: the others are for dialing and concluding. Chosen."""

CLOCKS_APART: Final = timedelta(seconds=5)
"""How far the carrier's clock may be from ours when its list is searched for our call. Chosen: both keep NTP."""

POST_TAKES: Final = timedelta(seconds=30)
"""How long after an attempt was begun its call may have been created: a POST that leaves later is not sent."""

LINGER: Final = timedelta(seconds=60)
"""How long a call may outlast its ring and its time limit before its line is taken to be free. Chosen."""

# --- lines and bots that others hold ----------------------------------------------------------------------------------

LONGEST_INBOUND: Final = timedelta(minutes=20)
"""How long a call to us holds a line if nobody tells us that it is over. Chosen: longer than a talk's time limit."""

INBOUND_KEPT: Final = timedelta(days=1)
"""How long a call to us and its caller are remembered: its callbacks come within minutes, a late report within hours."""

COUNT_KEPT: Final = timedelta(minutes=10)
"""How long a count of warm bots is kept. By then it says nothing: claim.lua halves its weight with each half minute."""
