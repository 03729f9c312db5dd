"""The keys of the store, all of them.

They carry one hash tag, so that the store may live in a Redis Cluster: the limits of an account are only atomic within
one slot.

    {dialout}:salt                     string: what makes contact ids unguessable
    {dialout}:campaigns                hash: campaign -> when it was first enlisted (ms)
    {dialout}:campaign:<c>             hash: definition (JSON), version, state, why, since
    {dialout}:zones:<c>                hash: place (zones and regions) -> its short number
    {dialout}:rows:<c>                 hash: rows refused at the door -> why (JSON)
    {dialout}:sheets                   hash: sheet (campaign, zone and columns, JSON) -> its short number, and back
    {dialout}:contact:<id>             string: until something happens to it: sheet, line, phone, values (JSON)
    {dialout}:contact:<id>             hash: then: campaign, phone, zone, line, :<column>… and, once rung: state, attempt, …
    {dialout}:due:<c>:<zone>           zset: the attempt to be made next -> due (ms)
    {dialout}:live:<c>                 zset: attempts claimed and not concluded -> since
    {dialout}:done:<c>, refused:<c>    zset: contact ids -> since
    {dialout}:counts:<c>               hash: disposition -> contacts that ended with it
    {dialout}:lines, lines:<c>         zset: attempts that hold a line -> lease end (ms)
    {dialout}:lines_from:<phone>       zset: attempts that hold one of a caller ID's lines, or held it -> lease end (ms)
    {dialout}:queued:<c>               zset: attempts claimed and not dialed yet -> lease end (ms)
    {dialout}:watch                    zset: attempts not settled yet -> when to look at them again (ms)
    {dialout}:inbound                  zset: calls to us that go on, by their sids -> since (ms)
    {dialout}:talking:<c>              zset: attempts that were answered and hold a line -> since (ms)
    {dialout}:awaiting:<c>             zset: those of them to which no bot has come yet -> since (ms)
    {dialout}:used                     zset: calls that had a bot and are over -> since (ms)
    {dialout}:odds:<c>                 hash: how many were answered and rung_out lately, and answered without a bot (silent)
    {dialout}:warm                     hash: how many bots were idle, by Pipecat Cloud, and when that was (ms)
    {dialout}:shares                   hash: campaign -> how far its dials have taken it; @: how far the last one's was
    {dialout}:pace, pace:<c>           string: when the next dial has its turn (ms)
    {dialout}:left, left:<c>           zset: the last attempts to be dialed, as many as the pace allows at once -> when (ms)
    {dialout}:slow                     hash: by how much refusals and silent answers slow the pace, and since when
    {dialout}:tick:<task>              string: a tick of beat was taken, and when the next one is due (ms)
    {dialout}:attempt:<id>             hash: what we did, and heard:<kind> -> what a witness said (JSON)
    {dialout}:number:<phone>           hash: the last attempt to ring this number
    {dialout}:call:<sid>               string: the attempt that an inbound call belongs to, for a day
    {dialout}:caller:<hash>            string: who rings us though no attempt rang them (JSON), for a day
    {dialout}:rung:<phone>             zset: attempts that rang this number in the last day -> when (ms); any campaign's
    {dialout}:dnc                      hash: phone -> its entries: since when, from whom, for what, until when (JSON)
    {dialout}:lists                    hash: do-not-call list that was imported -> as of when (JSON)
    {dialout}:journal:<contact>        list: each thing that happened (JSON)
    {dialout}:brakes:<c>               hash: begun (under the canary), approved, held, attempts, since; day (ms), today (calls)
    {dialout}:totals:<c>               hash: disposition or mark -> attempts that ended so
    {dialout}:window:<c>               zset: "marks attempt" of the last attempts that ended -> when
    {dialout}:people:<c>               hash: day (since 1970) -> calls that people answered, for a month
    {dialout}:abandoned:<c>            zset: attempts that were answered and abandoned -> when dialed
    {dialout}:caller_id:<phone>        hash: calls, answered, recent (1 and 0); day (ms), today, last (ms); rest, ours
"""

from typing import Final

from worker.store.values import Case

ROOT: Final = "{dialout}"


def key(kind: str, name: str = "") -> str:
    """Return the key of a kind: the account's, or that of a campaign, a contact or a number."""
    return f"{ROOT}:{kind}:{name}" if name else f"{ROOT}:{kind}"


def prefix(kind: str) -> str:
    """Return what the keys of a kind begin with, for a script that finds out the rest. They are in the one slot of all."""
    return f"{ROOT}:{kind}:"


def due_key(campaign: str, zone: str) -> str:
    """Return the key of the contacts of a place (by its short number) who wait for their turn."""
    return f"{ROOT}:due:{campaign}:{zone}"


def keys_of(case: Case, kinds: str) -> list[str]:
    """Return the keys of a case in a script's order: `lines` is the account's, `lines:c` the campaign's."""
    own = {"attempt": case.attempt_id, "contact": case.contact_id, "number": case.phone, "rung": case.phone,
           "journal": case.contact_id}  # fmt: skip
    name = case.campaign.name
    keys: list[str] = []
    for kind in kinds.split():
        if kind == "due":
            keys.append(due_key(name, case.zone))
        elif kind.endswith(":c"):
            keys.append(key(kind.removesuffix(":c"), name))
        else:
            keys.append(key(kind, own.get(kind, "")))
    return keys
