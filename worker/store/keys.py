"""The keys of the store, all of them, and how a script's names for them are resolved.

They carry one hash tag, so that the store may live in a Redis Cluster: the limits of an account are only atomic within
one slot.

    {dialout}:salt                     string: what makes contact ids unguessable
    {dialout}:campaigns                hash: campaign -> when it was first enlisted (ms)
    {dialout}:campaign:<c>             hash: definition (JSON), version, state, why, since
    {dialout}:zones:<c>                hash: place (zones and regions) -> its short number
    {dialout}:rows:<c>                 hash: row of a file that was refused -> why (JSON)
    {dialout}:sheets                   hash: sheet (campaign, zone and columns, JSON) -> its short number, and back
    {dialout}:contact:<id>             string: until something happens to the contact: sheet, line, phone, values (JSON)
    {dialout}:contact:<id>             hash: then: campaign, phone, zone, line, :<column>… and, once rung: state, attempt, …
    {dialout}:due:<c>:<zone>           zset: the attempt to be made next -> due (ms)
    {dialout}:live:<c>                 zset: attempts claimed and not concluded -> since
    {dialout}:done:<c>, refused:<c>    zset: contact ids -> since
    {dialout}:counts:<c>               hash: disposition -> contacts that ended with it
    {dialout}:lines, lines:<c>         zset: attempts that hold a line -> lease end (ms)
    {dialout}:lines_from:<phone>       zset: attempts that hold one of a caller ID's lines, or held it -> lease end (ms)
    {dialout}:queued:<c>               zset: attempts claimed and not dialed yet -> lease end (ms)
    {dialout}:watch                    zset: attempts not settled yet -> when to look at them again (ms)
    {dialout}:inbound                  zset: sids of calls to us that go on -> since (ms)
    {dialout}:talking:<c>              zset: attempts that were answered and hold a line -> since (ms)
    {dialout}:awaiting:<c>             zset: answered attempts to which no bot has come yet -> since (ms)
    {dialout}:used                     zset: calls that had a bot and are over -> since (ms)
    {dialout}:odds:<c>                 hash: recent calls: answered, rung_out, and silent (answered, and no bot came)
    {dialout}:warm                     hash: how many bots Pipecat Cloud said were idle, and at what time (ms)
    {dialout}:shares                   hash: campaign -> how far its dials have taken it; @: where the last dial was
    {dialout}:pace, pace:<c>           string: when the next dial may leave (ms)
    {dialout}:left, left:<c>           zset: the last dials, as many as the pace allows in a second -> when they left (ms)
    {dialout}:slow                     hash: the factor by which refusals and silent answers slow the pace, and since when
    {dialout}:tick:<task>              string: when the next tick of a beat task may be taken (ms)
    {dialout}:attempt:<id>             hash: what we did, and heard:<kind> -> what a witness said (JSON)
    {dialout}:number:<phone>           hash: the last attempt to ring this number
    {dialout}:call:<sid>               string: the attempt that a call to us belongs to, for a day
    {dialout}:caller:<hash>            string: a caller whom no attempt rang (JSON), for a day
    {dialout}:rung:<phone>             zset: attempts that rang this number in the last day, any campaign's -> when (ms)
    {dialout}:dnc                      hash: phone -> its entries: since when, from whom, for what, until when (JSON)
    {dialout}:lists                    hash: do-not-call list that was imported -> which day it shows (JSON)
    {dialout}:journal:<contact>        list: each thing that happened (JSON)
    {dialout}:brakes:<c>               hash: begun (under the canary), approved, held, attempts, since; day (ms), today (calls)
    {dialout}:totals:<c>               hash: disposition or mark -> attempts that ended so
    {dialout}:window:<c>               zset: "marks attempt" of the last attempts that ended -> when
    {dialout}:people:<c>               hash: day (since 1970) -> calls that people answered, for a month
    {dialout}:abandoned:<c>            zset: attempts that were answered and abandoned -> when dialed
    {dialout}:caller_id:<phone>        hash: calls, answered, recent (1 and 0); day (ms), today, last (ms); rest, ours
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

ROOT: Final = "{dialout}"

_ACCOUNT: Final = frozenset(
    [
        "campaigns",
        "sheets",
        "salt",
        "do_not_call",
        "lists",
        "lines",
        "inbound",
        "used",
        "watch",
        "warm",
        "slow",
        "pace",
        "shares",
        "left",
    ]
)
"""Kinds of which there is one key."""

_KEPT_AS: Final = {"do_not_call": "dnc"}
"""Kinds whose keys are named otherwise. No rename of a key may make the dialer forget who asked not to be called."""

_OWNERS: Final = {
    **dict.fromkeys(
        [
            "campaign",
            "zones",
            "live",
            "done",
            "refused",
            "counts",
            "queued",
            "talking",
            "awaiting",
            "odds",
            "brakes",
            "totals",
            "window",
            "people",
            "abandoned",
        ],
        "campaign",
    ),
    "campaign_lines": "campaign",
    "campaign_pace": "campaign",
    "campaign_left": "campaign",
    "contact": "contact_id",
    "journal": "contact_id",
    "attempt": "attempt_id",
    "number": "phone",
    "rung": "phone",
    "call": "call_sid",
    "tick": "task",
}
"""Kinds of which each campaign, contact, … has a key -> the field of Subject that says whose key it is."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The campaign, the contact, … whose keys a script works on. None: it has none of these."""

    campaign: str | None = None
    contact_id: str | None = None
    attempt_id: str | None = None
    phone: str | None = None
    zone: str | None = None  # the short number of the contact's place
    call_sid: str | None = None
    task: str | None = None


ACCOUNT: Final = Subject()
"""The subject of scripts that work on nobody's keys but the account's."""


def key(kind: str, name: str = "") -> str:
    """Return the key of a kind: the account's, or that of a campaign, a contact or a number."""
    kind = _KEPT_AS.get(kind, kind)
    return f"{ROOT}:{kind}:{name}" if name else f"{ROOT}:{kind}"


def due_key(campaign: str, zone: str) -> str:
    """Return the key of the contacts of a place (by its short number) that wait to be rung."""
    return f"{ROOT}:due:{campaign}:{zone}"


def keys_of(names: Iterable[str], subject: Subject) -> list[str]:
    """Return the keys for a script's names of them; raises TypeError for a name that means no key of this subject."""
    return [_key_of(name, subject) for name in names]


def _key_of(name: str, subject: Subject) -> str:
    if name in _ACCOUNT:
        return key(name)
    if name == "due" and subject.campaign is not None and subject.zone is not None:
        return due_key(subject.campaign, subject.zone)
    owner = _OWNERS.get(name)
    whose = getattr(subject, owner) if owner else None
    if whose is None:
        raise TypeError(f"{name} means no key of {subject}")
    return f"{ROOT}:{name.removeprefix('campaign_')}:{whose}"
