"""`dialout why`: every decision about a number, with its rule, its time and its witness."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from campaigns.call import Disposition
from worker.cli.inputs import any_number, open_store
from worker.cli.options import Json, Region
from worker.cli.printing import describe, listing_facts, out, print_json, when
from worker.rules.may_ring import may_ring
from worker.rules.rule import Rule
from worker.rules.states import ContactState
from worker.store import Store, times
from worker.store.values import Standing, contact_of

_WITNESSES: Final = {
    "dial": "the carrier's answer to our POST",
    "call": "the carrier's callback",
    "found": "the carrier's list of calls",
    "detected": "the carrier's answering-machine detection",
    "joined": "the bot",
    "report": "the bot",
    "opt_out": "the person, by way of the bot",
    "hung_up": "the dialer",
}

_WORDS: Final = {
    "dial": "it answered",
    "joined": "it joined the call",
    "report": "it reported on the call",
    "opt_out": "asked not to be called again",
    "hung_up": "it hung up",
}
"""What a witness said, where the name of its kind does not say it."""

_EVENTS: Final = {
    "dialed": ("dialed", "the rules and the pace allowed it"),
    "postponed": ("not dialed", ""),
    "heard": ("heard", ""),
    "asked": ("asked the carrier", ""),
    "concluded": ("concluded", ""),
    "withdrawn": ("withdrawn", ""),
    "rang_us": ("they called us", ""),
}


NumberOrAttempt = Annotated[str, typer.Argument(metavar="NUMBER", help="A telephone number, or the id of an attempt.")]


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision about a contact."""

    at: datetime
    attempt: str  # 1, 2, …; or i… for a call from the contact to us
    event: str
    rule: str
    witness: str
    reason: str
    due: datetime | None = None  # when the contact is to be called next, if that was decided

    def facts(self) -> dict[str, Any]:
        """Return it as JSON facts: see docs/json.md."""
        due = self.due.isoformat() if self.due else None
        return {name: getattr(self, name) for name in ("attempt", "event", "rule", "witness", "reason")} | {
            "at": self.at.isoformat(),
            "due": due,
        }


@dataclass(frozen=True, slots=True)
class Story:
    """Everything that one campaign knows about a number, and what would happen to it now."""

    campaign: str
    line: int
    zones: tuple[str, ...]
    state: ContactState
    disposition: str
    now: str  # a sentence: what would happen at this moment
    rule: str  # the Rule that forbids a call now, or the disposition that is final; "" if nothing forbids a call
    decisions: tuple[Decision, ...]

    def facts(self) -> dict[str, Any]:
        """Return it as JSON facts: see docs/json.md."""
        names = ("campaign", "line", "zones", "state", "disposition", "now", "rule")
        return {name: getattr(self, name) for name in names} | {"decisions": [d.facts() for d in self.decisions]}


def why(number: NumberOrAttempt, region: Region = "US", as_json: Json = False) -> None:
    """Explain each decision about a number or an attempt: called or not, by which rule, and on whose word."""
    store = open_store()
    named = store.reading.standing(contact_of(number)) if re.fullmatch(r"[a-z2-7]{16}(#\w+)?", number) else None
    phone = named.phone if named else any_number(number, region)
    told, listed, lists = stories(store, phone), store.do_not_call.entries_of(phone), store.do_not_call.registries()
    if as_json:
        entries = [listing_facts(listing, lists) for listing in listed]
        print_json({"phone": phone, "do_not_call": entries, "campaigns": [story.facts() for story in told]})
        return
    for listing in listed:
        out.print(f"{phone} is {describe(listing, lists)}.", style="magenta")
    if not told:
        out.print(f"{phone} is in no campaign.")
    for story in told:
        zones = ", ".join(story.zones) or "time zone unknown"
        out.print(f"\n{story.campaign}, row {story.line}, {zones}", style="bold")
        out.print(f"{story.state}: {story.now}.")
        if story.decisions:
            out.print(_decisions_table(story.decisions))


def _decisions_table(decisions: tuple[Decision, ...]) -> Table:
    table = Table("when", "attempt", "event", "rule", "witness", "reason", box=None, pad_edge=False)
    for one in decisions:
        due = f"; due {when(one.due)}" if one.due else ""
        at = f"{one.at.astimezone():%m-%d %H:%M:%S}"
        table.add_row(at, one.attempt, one.event, one.rule, one.witness, one.reason + due)
    return table


def stories(store: Store, phone: str) -> list[Story]:
    """Return the story of a number in each campaign that has it, the oldest campaign first."""
    return [story for name in store.campaigns.names() if (story := _story(store, name, phone))]


def _story(store: Store, name: str, phone: str) -> Story | None:
    contact_id = store.contacts.id_of(name, phone)
    kept = store.reading.standing(contact_id)
    if kept is None:
        return None
    now, rule = _now(store, name, kept)
    decisions = tuple(_decision(entry) for entry in store.reading.journal(contact_id))
    return Story(name, kept.line, kept.place.zones, kept.state, kept.disposition, now, rule, decisions)


def _decision(entry: Mapping[str, Any]) -> Decision:
    event, default = _EVENTS.get(entry["event"], (entry["event"], ""))
    rule, reason = str(entry.get("rule") or ""), str(entry.get("reason") or default)
    kind, _, detail = rule.partition(":")
    witness = _WITNESSES.get(kind, "") if entry["event"] == "heard" else ""
    if entry["event"] == "heard":
        rule, reason = "", reason or detail.replace("ended:", "ended, ").replace("_", " ") or _WORDS.get(kind, kind)
    elif entry["event"] == "asked":
        rule, reason, witness = "", rule.replace("_", " ") + (f": {reason}" if reason else ""), _WITNESSES["found"]
    elif entry["event"] == "concluded":
        # Evidence may still come about a person who asked for no more calls, but it changes nothing.
        unsure = entry.get("guess") and rule != Disposition.DO_NOT_CALL
        witness = "not certain: later evidence may correct it" if unsure else ""
    due = times.moment(entry["due"]) if entry.get("due") else None
    attempt = str(entry["attempt"]).partition("#")[2]
    return Decision(times.moment(entry["at"]), attempt, event, rule, witness, reason, due)


def _now(store: Store, name: str, kept: Standing) -> tuple[str, str]:
    """Return what would happen to a contact now, and the rule that forbids a call, or ""."""
    _, state, why = store.campaigns.get(name)
    if kept.state is ContactState.LIVE:
        return "an attempt is in progress", Rule.ON_A_CALL
    if kept.state is not ContactState.DUE:
        return f"will not be called again: {kept.reason}", kept.disposition
    moment = store.now()
    verdict = may_ring(kept.facts, moment)
    if verdict.rule:
        more = f" ({why})" if why and verdict.rule == state else ""
        not_called = "not called now" if verdict.until else "will not be called"
        return f"{not_called}: {verdict.reason}{more}", verdict.rule
    if kept.due and kept.due > moment:
        return f"not called now: the next attempt is due {when(kept.due)}", Rule.DUE
    return "will be called as soon as a line is free and the pace allows it", ""
