"""`dialout numbers`: the caller IDs."""

from typing import Final

from rich.table import Table
from rich.text import Text

from worker.cli.inputs import open_store
from worker.cli.options import Json
from worker.cli.printing import out, print_json, when
from worker.dialing import own_numbers
from worker.rules import caller_ids
from worker.rules.caller_ids import NumberState
from worker.settings import load_settings

_STATES: Final = {
    NumberState.FREE: ("may call", ""),
    NumberState.NOT_OURS: (f"is not used: {own_numbers.NOT_OURS}", "red"),
    NumberState.RESTS: ("rests until {until}: far fewer calls were answered than before", "yellow"),
    NumberState.DONE: ("has reached its daily limit; it may call again at {until}", ""),
    NumberState.COOLS: ("waits between two calls (CALLER_ID_COOL_DOWN_S)", ""),
}


def numbers(as_json: Json = False) -> None:
    """Show each caller ID: its calls today, how many of them are answered, and whether it may call now."""
    store, settings = open_store(), load_settings()
    now = store.now()
    found = store.own_numbers.read(own_numbers.all_numbers(store, settings), now)
    limits = own_numbers.limits(settings)
    if as_json:
        print_json([one.facts(limits, now) for one in found])
        return
    if not found:
        out.print("No caller IDs are set: put CALLER_IDS into .env, or caller_ids into a campaign.")
        return
    table = Table("number", "calls today", "answered lately", "before", "now", box=None, pad_edge=False)
    for one in found:
        rates = ("" if rate is None else f"{rate:.0%}" for rate in (one.answer_rate, one.past_rate))
        sentence, style = _STATES[caller_ids.state_of(one, limits, now)]
        told = sentence.format(until=when(caller_ids.free_at(one, limits, now)))
        table.add_row(one.number, f"{one.today:,}", *rates, Text(told, style))
    out.print(table)
