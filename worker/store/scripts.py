"""The scripts, one for each transition: the keys and arguments that each of them takes.

Each file in lua/ begins by naming them in the same order: tests/worker/test_scripts.py holds the two together, and prints
what a file should begin with.
"""

import re
from typing import Final

from worker.store.constants import CONSTANTS
from worker.store.signature import LuaScript, constant_lines, read_lua, script

# --- campaigns --------------------------------------------------------------------------------------------------------

DEFINE: Final = script("define", keys="campaign campaigns", args="name definition version hold_back")
SET_STATE: Final = script("set_state", keys="campaign brakes totals window", args="state why")
PULL_BRAKE: Final = script("pull_brake", keys="campaign brakes", args="rule why attempts")
NUMBER_PLACE: Final = script("number_place", keys="zones", args="label")

# --- contacts ---------------------------------------------------------------------------------------------------------

NUMBER_SHEET: Final = script("number_sheet", keys="sheets", args="sheet")
ENLIST: Final = script(
    "enlist",
    keys="do_not_call refused counts sheets zones salt",
    args="due_ms purpose campaign_name salt_in_mind zones_in_mind sheets_in_mind",
    more_keys="contact due",
    more_args="contact_id phone row",
)
READ_CONTACTS: Final = script("read_contacts", keys="sheets", more_keys="contact")
WITHDRAW: Final = script(
    "withdraw",
    keys="contact due done refused counts journal sheets",
    args="contact_id waiting_id state disposition reason",
)
LIST_NUMBERS: Final = script("list_numbers", keys="do_not_call", args="entry", more_args="phone")

# --- the pace ---------------------------------------------------------------------------------------------------------

CLAIM: Final = script(
    "claim",
    keys="lines inbound used watch warm slow pace shares",
    args="most_lines lines_for_inbound warm_bots bot_rest_ms interval_ms ahead_ms lease_ms slow_to",
    # After a campaign's eight keys come the due sets of its open places.
    more_keys="campaign campaign_lines queued live campaign_pace talking awaiting odds",
    more_args="name open_places most_campaign_lines campaign_interval_ms weight answer_rate most_queued",
)
DEPARTURES: Final = script(
    "departures", keys="pace campaign_pace slow", args="interval_ms campaign_interval_ms count farthest_ms"
)
TICK: Final = script("tick", keys="tick", args="every_ms")

# --- attempts ---------------------------------------------------------------------------------------------------------

READ_CASES: Final = script("read_cases", keys="sheets do_not_call lists", more_keys="contact attempt")
BEGIN: Final = script(
    "begin",
    keys="attempt contact campaign do_not_call lines campaign_lines queued watch left campaign_left number journal slow brakes "
    "rung",
    args="attempt_id token contact_id attempt_number lease_ms first_look_ms interval_ms campaign_interval_ms departure_ms "
    "limits_json record_json",
    more_keys="caller_id lines_from",
    more_args="own_number day day_ends",
)
POSTPONE: Final = script(
    "postpone",
    keys="attempt contact lines campaign_lines queued live watch due number journal slow brakes rung",
    args="attempt_id token due_ms rule reason slow_to",
)
WITNESS: Final = script(
    "witness",
    keys="attempt contact lines watch journal used left",
    args="attempt_id kind what is_over token can_wait bot left_ms",
)
RECORD_ASKED: Final = script("record_asked", keys="attempt watch journal", args="attempt_id answer detail")
TAKE_UNSETTLED: Final = script("take_unsettled", keys="watch", args="limit again_after_ms")
CONCLUDE: Final = script(
    "conclude",
    keys="attempt contact lines campaign_lines live watch due done counts do_not_call journal queued talking used totals window "
    "abandoned people",
    args="attempt_id revision disposition reason is_guess next_id next_due_ms phone answers contact_id duration_s call_sid marks "
    "picked_up message_left",
)

# --- people who ring us -----------------------------------------------------------------------------------------------

INBOUND_CALL: Final = script("inbound_call", keys="inbound used", args="call_sid is_over")
RING_BACK: Final = script(
    "ring_back",
    keys="attempt contact due live done counts watch journal call",
    args="attempt_id contact_id waiting_id lease_ms call_sid",
)

SCRIPTS: Final[tuple[LuaScript, ...]] = tuple(
    value for value in list(globals().values()) if isinstance(value, LuaScript)
)


SHARED: Final = ("_rest", "_slowness", "_contact", "_do_not_call")
"""Files of functions that several scripts use."""


def read_scripts() -> dict[str, str]:
    """Return the whole text of each script, by its name."""
    return {one.name: _with_what_it_uses(one) for one in SCRIPTS}


def _with_what_it_uses(one: LuaScript) -> str:
    """Put in front of a script the clock, and of the shared functions and the constants those that it uses: each costs time."""
    text = one.body
    for functions in reversed(SHARED):
        shared = read_lua(functions)
        if any(_says(text, name) for name in re.findall(r"^local function (\w+)", shared, re.MULTILINE)):
            text = shared + text
    text = read_lua("_clock") + text
    return constant_lines({name: value for name, value in CONSTANTS.items() if _says(text, name)}) + text


def _says(text: str, name: str) -> bool:
    return re.search(rf"\b{name}\b", text) is not None
