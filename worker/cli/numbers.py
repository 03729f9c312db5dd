"""`dialout numbers`: the numbers that we call from."""

from rich.table import Table

from worker.cli.inputs import open_store
from worker.cli.options import Json
from worker.cli.printing import out, print_json, when
from worker.dialing import own_numbers
from worker.rules import caller_ids
from worker.rules.caller_ids import NumberState
from worker.settings import load_settings


def numbers(as_json: Json = False) -> None:
    """Show each number that we call from: its calls today, how it is answered, and whether it rests."""
    store, settings = open_store(), load_settings()
    now = store.now()
    found = store.own_numbers.read(own_numbers.all_numbers(store, settings), now)
    limits = own_numbers.limits(settings)
    if as_json:
        print_json([one.facts(limits, now) for one in found])
        return
    if not found:
        out.print("No caller ID is set: put CALLER_IDS into .env, or caller_ids into a campaign.")
        return
    table = Table("number", "today", "answered", "before", "", box=None, pad_edge=False)
    for one in found:
        rates = ("" if rate is None else f"{rate:.0%}" for rate in (one.answer_rate, one.past_rate))
        until = when(caller_ids.free_at(one, limits, now))
        standing = _STANDINGS[caller_ids.state_of(one, limits, now)].format(until=until)
        table.add_row(one.number, f"{one.today:,}", *rates, standing)
    out.print(table)


_STANDINGS = {
    NumberState.FREE: "",
    NumberState.NOT_OURS: f"[red]not used: {own_numbers.NOT_OURS}[/]",
    NumberState.RESTS: "[yellow]rests until {until}: it was answered far less than before[/]",
    NumberState.DONE: "has made its calls of the day; the next is {until}",
    NumberState.COOLS: "cools down",
}
