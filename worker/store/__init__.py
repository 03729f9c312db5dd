"""Everything that knows that there is a Redis: one method per transition, one Lua script behind each.

A crash lands before a transition or after it, never inside. The keys are in worker/store/keys.py.
"""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any, Final

import redis

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import Place, read_label
from worker.machine.batches import batches
from worker.rules import brakes, caller_ids, hours, warm_bots
from worker.rules.brakes import Counted, Ended, Mark, Stop
from worker.rules.caller_ids import CallerId
from worker.rules.do_not_call import EVERYWHERE, Listing, Registry, in_force, read_listings, read_registries
from worker.rules.evidence import AnsweredBy
from worker.rules.law import Cap
from worker.rules.may_ring import Facts
from worker.rules.settlement import Settled
from worker.rules.states import CampaignState
from worker.rules.timing import (
    APART,
    CATCH_UP,
    COUNT_KEPT,
    LATE,
    LONGEST_INBOUND,
    LONGEST_WAIT,
    LOOK_AGAIN,
    SPARE,
)
from worker.store import ledger
from worker.store.keys import ROOT, due_key, key, keys_of, ms, prefix
from worker.store.redis_server import connect
from worker.store.views import (
    Begun,
    Bid,
    Caller,
    Case,
    Clock,
    Enlisted,
    Heard,
    Limits,
    Occupied,
    Standing,
    Status,
    StoreError,
    Turns,
    UnderWay,
    UnknownCampaign,
    contact_of,
)

_SCRIPTS: Final = (
    "define", "state", "brake", "zone", "sheet", "enlist", "contacts", "claim", "case", "turn", "begin", "postpone", "witness",
    "asked", "look", "conclude", "withdraw", "answer", "inbound", "tick", "list",
)  # fmt: skip
_BATCH: Final = 500
_LOOKS: Final = 3
_MS: Final = timedelta(milliseconds=1)
_DAY_MS: Final = 86_400_000
_CALLER: Final = "caller#"
"""What the attempt ids of callers whom we never rang begin with: no contact's id looks like it."""

NO_LIMITS: Final = caller_ids.CallerIdLimits()

_DETECTIONS: Final = (AnsweredBy.FAX, AnsweredBy.MACHINE_READY, AnsweredBy.MACHINE, AnsweredBy.HUMAN)
"""The strongest first: what is said later of one call is said with more to go on."""


class Store:
    """The record of the dialer. Safe to share between threads."""

    def __init__(
        self,
        client: "redis.Redis",
        *,
        clock_ms: int | None = None,
        salt: bytes | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wrap a client that decodes responses.

        For rehearsals of whole days, `clock_ms` replaces the server's clock, `monotonic` the process's (s), and `salt` the
        one of chance: contacts that are due together are claimed in the order of their ids.
        """
        self._redis = client
        self._monotonic = monotonic
        self.clock_ms = clock_ms
        self._scripts = {name: client.register_script(text) for name, text in read_scripts().items()}
        self._salt_given, self._salt_bytes = salt, b""
        self._campaigns: dict[tuple[str, str], Campaign] = {}
        self._zone_numbers: dict[tuple[str, Place], str] = {}
        self._sheet_numbers: dict[tuple[str, ...], int] = {}

    @classmethod
    def at(cls, url: str, *, timeout_s: float = 5.0) -> "Store":
        """Connect lazily to a REDIS_URL. No command is ever sent twice behind our back."""
        return cls(connect(url, timeout_s))

    def ping(self) -> None:
        """Raise StoreError with a sentence if the server cannot be reached."""
        try:
            self._redis.ping()
        except redis.RedisError as error:
            raise StoreError(f"cannot reach Redis: {error}; start it, or correct REDIS_URL") from error

    def now(self) -> datetime:
        """The store's own time, which every lease is measured by."""
        if self.clock_ms is not None:
            return ledger.moment(self.clock_ms)
        seconds, micros = self._redis.time()  # type: ignore[misc]
        return datetime.fromtimestamp(seconds + micros / 1e6, UTC)

    # --- campaigns ----------------------------------------------------------------------------------------------------

    def define(self, campaign: Campaign, *, paused: bool = False) -> None:
        """Keep a campaign's definition, so that workers need no files. A running one changes from its next dial on."""
        keys = [key("campaign", campaign.name), key("campaigns")]
        args = [campaign.name, campaign.model_dump_json(), campaign.version, int(paused)]
        if not self._run("define", keys, args):
            raise StoreError(f"the campaign {campaign.name} was stopped; give the folder a new name to begin again")

    def campaigns(self) -> list[str]:
        """The names of all campaigns, the oldest first."""
        known: dict[str, str] = self._redis.hgetall(key("campaigns"))  # type: ignore[assignment]
        return sorted(known, key=lambda name: int(known[name]))

    def campaign(self, name: str) -> tuple[Campaign, CampaignState, str]:
        """Return a campaign's definition, its state, and why it is in it."""
        kept: list[str | None] = self._redis.hmget(key("campaign", name), "definition", "version", "state", "why")  # type: ignore[assignment]
        definition, version, state, why = kept
        if definition is None or version is None:
            raise UnknownCampaign(f"no campaign named {name} was ever enqueued; `dialout status` lists those that were")
        return self._parsed(name, version, definition), CampaignState(state or CampaignState.RUNNING), why or ""

    def set_state(self, name: str, state: CampaignState, why: str = "") -> None:
        """Pause, resume or stop. Takes effect on the very next dial; a stopped campaign stays stopped."""
        keys = [key(kind, name) for kind in ("campaign", "brakes", "totals", "window")]
        was = self._run("state", keys, [state.value, why])
        if not was:
            raise UnknownCampaign(f"no campaign named {name} was ever enqueued; `dialout status` lists those that were")
        if was == CampaignState.STOPPED and state is not CampaignState.STOPPED:
            raise StoreError(f"the campaign {name} was stopped, and a stop is for good; enqueue it under a new name")

    # --- brakes -------------------------------------------------------------------------------------------------------

    def counted(self, campaign: Campaign, now: datetime) -> Counted:
        """Return what was counted for a campaign's brakes, in one round trip that costs the same however long it runs."""
        name, today = campaign.name, hours.day_of(campaign.day_zone, now)[0]
        month = ms(now - brakes.PERIOD)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hgetall(key("brakes", name))
            pipe.hgetall(key("totals", name))
            pipe.zrange(key("window", name), 0, -1)
            pipe.hgetall(key("people", name))
            pipe.zrangebyscore(key("abandoned", name), month, "+inf")
            pipe.zcard(key("live", name))
            kept, totals, window, people, abandoned, live = pipe.execute()
        seen = {field: int(value) for field, value in kept.items() if value.isdecimal()}
        totals = {mark: int(count) for mark, count in totals.items()}
        endings = (member.partition(" ") for member in window)
        return Counted(
            begun=seen.get("begun", 0),
            approved="approved" in kept,
            live=live,
            totals=totals,
            recent=[Ended(attempt_id, brakes.read_marks(marks)) for marks, _, attempt_id in endings],
            people=sum(int(count) for day, count in people.items() if int(day) >= month // _DAY_MS),
            abandoned=abandoned,
            people_since=totals.get(Mark.PERSON, 0) - seen.get("people", 0),
            abandoned_since=totals.get(Mark.ABANDONED, 0) - seen.get("abandoned", 0),
            today=seen.get("today", 0) if seen.get("day") == ms(today) else 0,
        )

    def brake(self, name: str, stop: Stop) -> bool:
        """Pause a campaign because its brakes say so; False if it did not run any more."""
        keys = [key("campaign", name), key("brakes", name)]
        return bool(self._run("brake", keys, [stop.rule, stop.why, json.dumps(stop.attempts)]))

    def held(self, name: str) -> tuple[str, list[str]]:
        """Return which brake holds a campaign, and the attempts that it is about; "" if none does."""
        kept: list[str | None] = self._redis.hmget(key("brakes", name), "held", "attempts")  # type: ignore[assignment]
        return kept[0] or "", json.loads(kept[1] or "[]")

    # --- caller IDs ---------------------------------------------------------------------------------------------------

    def own_numbers(self, pool: Iterable[str], now: datetime) -> list[CallerId]:
        """Return how these numbers of ours stand, in one round trip."""
        numbers = list(dict.fromkeys(pool))
        with self._redis.pipeline(transaction=False) as pipe:
            for number in numbers:
                pipe.hgetall(key("caller_id", number))
            kept = pipe.execute()
        return [_read_caller_id(number, fields, now) for number, fields in zip(numbers, kept, strict=True)]

    def rest(self, number: str, until: datetime) -> None:
        """Let a number of ours rest: nobody is called from it until then, and its health is judged anew from now on."""
        self._redis.hset(key("caller_id", number), mapping={"rest": ms(until), "recent": ""})

    def owned(self, ours: Mapping[str, bool]) -> None:
        """Keep which numbers the carrier says are ours. From one that is not, nobody is called."""
        with self._redis.pipeline(transaction=False) as pipe:
            for number, owned in ours.items():
                pipe.hset(key("caller_id", number), "ours", int(owned))
            pipe.execute()

    def _defined(self, name: str, version: str) -> Campaign:
        return self._campaigns.get((name, version)) or self.campaign(name)[0]

    def _parsed(self, name: str, version: str, definition: str) -> Campaign:
        if (name, version) not in self._campaigns:
            self._campaigns[name, version] = Campaign.model_validate_json(definition)
        return self._campaigns[name, version]

    # --- enlisting ----------------------------------------------------------------------------------------------------

    def contact_id(self, campaign: str, phone: str) -> str:
        """The id of a number in a campaign: always the same, and telling nothing to who does not know the salt."""
        digest = hashlib.blake2b(f"{campaign}:{phone}".encode(), key=self._salt, digest_size=10).digest()
        return base64.b32encode(digest).decode().lower()

    @property
    def _salt(self) -> bytes:
        if not self._salt_bytes:
            kept = key("salt")
            self._redis.set(kept, (self._salt_given or secrets.token_bytes(16)).hex(), nx=True)
            self._salt_bytes = bytes.fromhex(str(self._redis.get(kept)))
        return self._salt_bytes

    def enlist(self, campaign: Campaign, batch: Sequence[tuple[Contact, Place]], due: datetime) -> Enlisted:
        """Enlist a batch of contacts with their places, due at once. Whoever is in the campaign already stays as it is."""
        if not batch:
            return Enlisted()
        for _ in range(_LOOKS):
            if told := self._enlist(campaign, batch, due):
                return Enlisted(told[0], len(batch) - told[0], told[1])
            self._forget()
        raise StoreError("Redis forgets what it was just told; see that it is one server, and enqueue the file again")

    def _enlist(self, campaign: Campaign, batch: Sequence[tuple[Contact, Place]], due: datetime) -> list[int]:
        """Return how many were new and how many of these refused; nothing if what we have in mind stands there no more."""
        zones, sheets = dict[str, str](), dict[str, str]()
        keys, rows = list[str](), list[str]()
        for contact, place in batch:
            contact_id = self.contact_id(campaign.name, contact.phone)
            zones[place.label] = zone = self._zone_number(campaign.name, place)
            sheet = (campaign.name, zone, *contact.columns)
            number = self._sheet_number(sheet)
            sheets[_compact(sheet)] = str(number)
            keys += [key("contact", contact_id), due_key(campaign.name, zone)]
            row = _compact([number, contact.line, int(contact.phone), *contact.columns.values()])
            rows += [contact_id, contact.phone, row]
        own = [key(kind, campaign.name) for kind in ("refused", "counts")]
        keys = [key("dnc"), *own, key("sheets"), key("zones", campaign.name), key("salt"), *keys]
        known = [self._salt.hex(), json.dumps(zones), json.dumps(sheets)]
        return self._run("enlist", keys, [ms(due), campaign.purpose, campaign.name, *known, *rows])

    def _forget(self) -> None:
        """Keep nothing in mind that Redis may have forgotten."""
        self._zone_numbers.clear()
        self._sheet_numbers.clear()
        self._salt_bytes = b""

    def refuse_rows(self, campaign: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Keep why rows were refused at the door, each once however often its file is enqueued; returns the new ones."""
        mapping = {}
        for row in rows:
            text = json.dumps(row, ensure_ascii=False, sort_keys=True)
            mapping[hashlib.blake2b(text.encode(), digest_size=10).hexdigest()] = text
        return int(self._redis.hset(key("rows", campaign), mapping=mapping)) if mapping else 0  # type: ignore[arg-type]

    def _zone_number(self, campaign: str, place: Place) -> str:
        cached = self._zone_numbers.get((campaign, place))
        if cached is None:
            cached = str(self._run("zone", [key("zones", campaign)], [place.label]))
            self._zone_numbers[campaign, place] = cached
        return cached

    def _sheet_number(self, sheet: tuple[str, ...]) -> int:
        cached = self._sheet_numbers.get(sheet)
        if cached is None:
            cached = self._sheet_numbers[sheet] = int(self._run("sheet", [key("sheets")], [_compact(sheet)]))
        return cached

    def _contacts(self, ids: Sequence[str]) -> list[dict[str, str]]:
        """Return the fields of each contact, empty for one that there is not."""
        found = self._run("contacts", [key("sheets"), *(key("contact", contact_id) for contact_id in ids)], [])
        return [_pairs(fields) for fields in found]

    def places(self, campaign: str) -> dict[Place, str]:
        """Return the places of a campaign's contacts, with the number of each."""
        return _places(self._redis.hgetall(key("zones", campaign)))  # type: ignore[arg-type]

    # --- one attempt's way --------------------------------------------------------------------------------------------

    def claim(self, bids: Sequence[Bid], limits: Limits) -> dict[str, list[str]]:
        """Take due attempts of these campaigns, in fair shares, for all that is free now; returns their ids by campaign."""
        keys = [key(kind) for kind in ("lines", "inbound", "used", "watch", "warm", "slow", "pace", "shares")]
        args: list[float | str] = [
            limits.lines,
            limits.lines_for_inbound,
            ms(LONGEST_INBOUND),
            -1 if limits.warm_bots is None else limits.warm_bots,
            ms(limits.bot_rest),
            ms(warm_bots.BOT_WITHIN),
            warm_bots.LUCK,
            1000 / limits.calls_per_second,
            ms(limits.ahead),
            ms(limits.lease),
            limits.slow_to,
        ]
        for bid in bids:
            campaign = bid.campaign
            kinds = ("campaign", "lines", "queued", "live", "pace", "talking", "awaiting", "odds")
            keys += [key(kind, campaign.name) for kind in kinds]
            keys += [due_key(campaign.name, number) for number in bid.open_places]
            pacing = campaign.pacing
            args += [campaign.name, len(bid.open_places), bid.lines, 1000 / pacing.calls_per_second, pacing.weight]
            args += [bid.answer_rate, -1 if bid.most is None else bid.most]
        taken = self._run("claim", keys, args)
        return {bid.campaign.name: ids for bid, ids in zip(bids, taken, strict=True) if ids}

    def under_way(self) -> list[UnderWay]:
        """Return all campaigns, as a claim sees them."""
        names = self.campaigns()
        with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(key("campaign", name), "version", "state")
                pipe.zcard(key("live", name))
                pipe.hgetall(key("zones", name))
                pipe.hmget(key("odds", name), "answered", "rung_out")
            pipe.hgetall(key("lists"))
            *found, lists = pipe.execute()
        registries = read_registries(lists)
        each = zip(names, found[::4], found[1::4], found[2::4], found[3::4], strict=True)
        return [
            UnderWay(
                name=name,
                version=version or "",
                state=CampaignState(state or CampaignState.RUNNING),
                live=live,
                places=_places(zones),
                answered=int(odds[0] or 0),
                rung_out=int(odds[1] or 0),
                registries=registries,
            )
            for name, (version, state), live, zones, odds in each
        ]

    def definition(self, found: UnderWay) -> Campaign:
        """Return a campaign's definition, read once for each version."""
        return self._defined(found.name, found.version)

    def count_warm(self, idle: int, at: datetime) -> None:
        """Keep how many bots were idle at a moment. A count that grows old gives way to the setting."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(key("warm"), mapping={"idle": idle, "at": ms(at)})
            pipe.pexpire(key("warm"), ms(COUNT_KEPT))
            pipe.execute()

    def case(self, attempt_id: str) -> Case | None:
        """Return all that is known about an attempt, or None if there is no such contact."""
        return next(iter(self.cases([attempt_id])), None)

    def cases(self, attempt_ids: Sequence[str]) -> list[Case]:
        """Return all that is known about some attempts, leaving out those of contacts that there are not.

        One round trip, and another for a definition that is new to us.
        """
        keys = [key("sheets"), key("dnc"), key("lists")]
        for attempt_id in attempt_ids:
            keys += [key("contact", contact_of(attempt_id)), key("attempt", attempt_id)]
        now, lists, *found = self._run("case", keys, [prefix(kind) for kind in ("campaign", "zones", "rung")])
        read_at, registries = ledger.moment(now), read_registries(_pairs(lists))
        told = zip(attempt_ids, found, strict=True)
        return [self._case(attempt_id, one, read_at, registries) for attempt_id, one in told if one]

    def _case(self, attempt_id: str, told: list[Any], read_at: datetime, registries: Mapping[str, Registry]) -> Case:
        contact, attempt, version, state, label, listed, rung = told
        contact = _pairs(contact)
        name = contact["campaign"]
        return Case(
            attempt_id=attempt_id,
            contact_id=contact_of(attempt_id),
            campaign=self._defined(name, version),
            campaign_state=CampaignState(state or CampaignState.RUNNING),
            phone=contact["phone"],
            place=read_label(label),
            zone=contact["zone"],
            columns=_columns(contact),
            made=int(contact.get("made", "0")),
            attempt=_pairs(attempt),
            read_at=read_at,
            caller_id=contact.get("caller_id", ""),
            last=contact.get("disposition", ""),
            message_left="message_left" in contact,
            listings=read_listings(listed),
            rung=tuple(ledger.moment(at) for at in rung),
            registries=registries,
        )

    def turns(
        self,
        campaign: str,
        count: int,
        *,
        account_interval: timedelta,
        campaign_interval: timedelta,
        farthest: timedelta,
    ) -> Turns:
        """Take turns for so many dials of a campaign, as far as they are near."""
        keys = [key("pace"), key("pace", campaign), key("slow")]
        args = [(1 + SPARE) * (interval / _MS) for interval in (account_interval, campaign_interval)]
        args += [count, ms(farthest), ms(CATCH_UP)]
        asked_at = self._monotonic()
        now, *turns = self._run("turn", keys, args)
        clock = Clock(ledger.moment(now), asked_at, self._monotonic())
        after = next((ledger.moment(-turn) for turn in turns if turn < 0), None)
        return Turns(clock, [ledger.moment(turn) for turn in turns if turn > 0], after)

    def begin(
        self,
        case: Case,
        token: str,
        *,
        lease: timedelta,
        first_look: timedelta,
        account_interval: timedelta,
        campaign_interval: timedelta,
        caps: Sequence[Cap] = (),
        record: Mapping[str, str],
        pool: Sequence[str] = (),
        limits: caller_ids.CallerIdLimits = NO_LIMITS,
        turn: datetime | None = None,
    ) -> Begun:
        """Write down that a POST is about to be sent, if it may be, and when.

        Asked twice with one token, the answer is the same, unless that moment was missed: then it is a later one. `pool`
        are the caller IDs in the order in which they are to be tried: the first that may call now does.
        """
        keys = keys_of(
            case,
            "attempt contact campaign:c dnc lines lines:c queued:c watch left left:c number journal slow brakes:c rung",
        )
        keys += [key("caller_id", number) for number in pool] + [key("lines_from", number) for number in pool]
        args: list[Any] = [case.attempt_id, token, ms(lease), ms(first_look)]
        args += [account_interval / _MS, campaign_interval / _MS]
        args += [case.contact_id, case.attempt_id.rpartition("#")[2], _dialing_limits(case, pool, limits, caps)]
        pace = {"turn": ms(turn) if turn else 0, "apart": ms(APART), "longest": ms(LONGEST_WAIT), "late": ms(LATE)}
        args += [json.dumps(pace), *(part for pair in record.items() for part in pair)]
        asked_at = self._monotonic()
        verdict, *rest = self._run("begin", keys, args)
        if verdict == "no":
            return Begun(dial=False, why=rest[0], until=ledger.moment(rest[1]) if int(rest[1]) else None)
        clock = Clock(ledger.moment(rest[0]), asked_at, self._monotonic())
        if verdict == "wait":
            return Begun(dial=False, at=ledger.moment(rest[1]), clock=clock)
        return Begun(dial=True, at=ledger.moment(rest[1]), caller_id=rest[2] or "", clock=clock)

    def postpone(self, case: Case, token: str, due: datetime, rule: str, reason: str, *, slow_to: float = 1.0) -> bool:
        """Give an attempt back unspent, because nothing rang; False if it is not ours to give back.

        `slow_to`: the account's dials are spaced twice as far apart for a while, up to so many times their usual.
        """
        keys = keys_of(
            case, "attempt contact lines lines:c queued:c live:c watch due number journal slow brakes:c rung"
        )
        args = [case.attempt_id, token, ms(due), rule, reason, slow_to, prefix("caller_id")]
        return self._run("postpone", keys, args) == 1

    def witness(
        self, attempt_id: str, testimony: ledger.Testimony, *, token: str = "", left_at: datetime | None = None
    ) -> Heard:
        """Write down what a witness says about an attempt; the worker's own says when the dial left, too."""
        contact_id = contact_of(attempt_id)
        keys = [
            key("attempt", attempt_id),
            key("contact", contact_id),
            key("lines"),
            key("watch"),
            key("journal", contact_id),
            key("used"),
            key("left"),
        ]
        args = [attempt_id, testimony.kind, testimony.text, int(testimony.call_is_over), token, int(testimony.can_wait)]
        args += [testimony.bot, ms(warm_bots.BOT_WITHIN), ROOT + ":", ms(left_at) if left_at else 0]
        return Heard(self._run("witness", keys, args))

    def detected(self, attempt_id: str) -> AnsweredBy | None:
        """Return whom the carrier's answering-machine detection has heard, or None if it has said nothing yet."""
        heard: list[str | None] = self._redis.hmget(
            key("attempt", attempt_id), [f"heard:detected:{by}" for by in _DETECTIONS]
        )  # type: ignore[assignment]
        return next((by for by, word in zip(_DETECTIONS, heard, strict=True) if word), None)

    def asked(self, attempt_id: str, answer: str, detail: str = "") -> None:
        """Write down that the carrier was asked about an attempt: `found`, `not_found` or `no_answer`."""
        keys = [key("attempt", attempt_id), key("watch"), key("journal", contact_of(attempt_id))]
        self._run("asked", keys, [attempt_id, answer, detail])

    def conclude(
        self, case: Case, settled: Settled, next_due: datetime | None, marks: frozenset[str] = frozenset()
    ) -> str:
        """Record how an attempt ended and when its contact is rung again, if ever.

        `marks` are what the brakes count about it; none, and they don't.
        Returns "ok", "settled" (it was before), or "stale": more was heard meanwhile, decide again.
        """
        keys = keys_of(
            case,
            "attempt contact lines lines:c live:c watch due done:c counts:c dnc journal queued:c talking:c used "
            "totals:c window:c abandoned:c people:c",
        )
        if caller_id := case.attempt.get("caller_id"):
            keys.append(key("caller_id", caller_id))
        picked_up = caller_ids.picked_up(marks)
        follows = f"{case.contact_id}#{case.made + 1}" if next_due else ""
        args = [
            case.attempt_id,
            case.attempt["rev"],
            settled.disposition.value,
            settled.reason,
            int(settled.guess),
            follows,
            ms(next_due) if next_due else 0,
            case.phone,
            json.dumps(dict(settled.answers), ensure_ascii=False),
            case.contact_id,
            "" if settled.duration_s is None else settled.duration_s,
            case.evidence.call_sid,
            brakes.write_marks(marks),
            brakes.REMEMBERED,
            "" if picked_up is None else int(picked_up),
            int(settled.message_left),
        ]
        return self._run("conclude", keys, args)

    def watch(self, attempt_id: str, look_at: datetime) -> None:
        """Look at an attempt again at `look_at`, unless it was concluded meanwhile."""
        self._redis.zadd(key("watch"), {attempt_id: ms(look_at)}, xx=True)

    def look(self, limit: int = 200, *, again_after: timedelta = LOOK_AGAIN) -> list[str]:
        """Take attempts that are not settled and whose time to be looked at has come; no two callers get the same."""
        return self._run("look", [key("watch")], [limit, ms(again_after)])

    def next_look(self) -> datetime | None:
        """Return when the first of the attempts that are not settled is to be looked at again."""
        first: list[tuple[str, float]] = self._redis.zrange(key("watch"), 0, 0, withscores=True)  # type: ignore[assignment]
        return ledger.moment(first[0][1]) if first else None

    def tick(self, task: str, every: timedelta) -> bool:
        """True for the first of several ticks that come within `every`: doubled and piled-up ones change nothing."""
        return self._run("tick", [key("tick", task)], [ms(every)]) == 1

    # --- people who ring us, and people who must not be rung -------------------------------------------------------------

    def last_attempt_to(self, phone: str) -> str | None:
        """Return the id of the last attempt that rang a number."""
        return self._redis.hget(key("number", phone), "attempt")  # type: ignore[return-value]

    def answer(self, case: Case, call_sid: str, lease: timedelta) -> str:
        """Someone we rang before rings us: their queued attempt is withdrawn. Returns the id of this inbound attempt."""
        attempt_id = f"{case.contact_id}#i{hashlib.blake2b(call_sid.encode(), digest_size=5).hexdigest()}"
        name = case.campaign.name
        keys = [
            key("attempt", attempt_id),
            key("contact", case.contact_id),
            due_key(name, case.zone),
            key("live", name),
            key("done", name),
            key("counts", name),
            key("watch"),
            key("journal", case.contact_id),
            key("call", call_sid),
        ]
        args = [attempt_id, case.contact_id, f"{case.contact_id}#{case.made + 1}", ms(lease), call_sid]
        self._run("answer", keys, args)
        return attempt_id

    def rings_us(self, call_sid: str) -> None:
        """Somebody is on the line: it is not free for a dial, nor is the bot that answers."""
        self._run("inbound", [key("inbound"), key("used")], [call_sid, 0])

    def rang_off(self, call_sid: str) -> None:
        """Their call is over; of one that we do not know, nothing follows."""
        self._run("inbound", [key("inbound"), key("used")], [call_sid, 1])

    def attempt_of_call(self, call_sid: str) -> str | None:
        """Return the inbound attempt that a call belongs to: its callbacks cannot carry our id."""
        return self._redis.get(key("call", call_sid))  # type: ignore[return-value]

    def meet(self, call_sid: str, caller: Caller) -> str:
        """Keep who rings us for a day; returns the id that stands for an attempt's. Asked twice, it is the same."""
        hashed = hashlib.blake2b(call_sid.encode(), digest_size=10).hexdigest()
        kept = json.dumps({"phone": caller.phone, "campaign": caller.campaign})
        self._redis.set(key("caller", hashed), kept, px=_DAY_MS)
        return _CALLER + hashed

    def caller(self, attempt_id: str) -> Caller | None:
        """Return who rang us under this id; None for an attempt's, or after a day."""
        if not attempt_id.startswith(_CALLER):
            return None
        kept = self._redis.get(key("caller", attempt_id.removeprefix(_CALLER)))
        return Caller(**json.loads(str(kept))) if kept else None

    def withdraw(self, contact_id: str, state: str, disposition: Disposition, reason: str) -> bool:
        """End a waiting contact without ringing it; False if it was not waiting."""
        (contact,) = self._contacts([contact_id])
        if not contact:
            return False
        name = contact["campaign"]
        keys = [
            key("contact", contact_id),
            due_key(name, contact["zone"]),
            key(state, name),
            key("counts", name),
            key("journal", contact_id),
            key("sheets"),
        ]
        waiting = f"{contact_id}#{int(contact.get('made', '0')) + 1}"
        return self._run("withdraw", keys, [contact_id, waiting, state, disposition.value, reason]) == 1

    # --- the do-not-call list -----------------------------------------------------------------------------------------

    def add_do_not_call(
        self, phone: str, source: str, *, scope: str = EVERYWHERE, expires_at: datetime | None = None
    ) -> bool:
        """Nobody in the scope rings this number again: waiting attempts are withdrawn. False: it was listed before."""
        return self.list_numbers([phone], Listing(source, scope=scope, expires_at=expires_at)) == 1

    def list_numbers(self, phones: Sequence[str], listing: Listing) -> int:
        """List a batch of numbers with the same entry, and withdraw those that wait; returns how many were not listed so.

        One round trip, and for each campaign in the scope another; more only for numbers that are contacts of one.
        """
        now = self.now()
        listing = replace(listing, at=now)
        new = self._run("list", [key("dnc")], [json.dumps(listing.facts(), ensure_ascii=False), *phones])
        for name in self.campaigns():
            campaign, _, _ = self.campaign(name)
            if listing.covers(name, campaign.purpose, now):
                self._withdraw_listed(name, phones, str(listing))
        return new

    def _withdraw_listed(self, campaign: str, phones: Sequence[str], reason: str) -> None:
        ids = [self.contact_id(campaign, phone) for phone in phones]
        with self._redis.pipeline(transaction=False) as pipe:
            for contact_id in ids:
                pipe.exists(key("contact", contact_id))
            known = pipe.execute()
        for contact_id, is_contact in zip(ids, known, strict=True):
            if is_contact:
                self.withdraw(contact_id, "refused", Disposition.DO_NOT_CALL, reason)

    def imported(self, name: str, registry: Registry) -> None:
        """Write down that a list was imported as a whole, and what day it shows."""
        facts = replace(registry, imported_at=self.now()).facts()
        self._redis.hset(key("lists"), name, json.dumps(facts))

    def registries(self) -> dict[str, Registry]:
        """Return the lists that were imported, by name."""
        return read_registries(self._redis.hgetall(key("lists")))  # type: ignore[arg-type]

    def remove_do_not_call(self, phone: str) -> bool:
        """Take a number off the list, with all its entries. What was withdrawn because of it stays withdrawn."""
        return bool(self._redis.hdel(key("dnc"), phone))

    def do_not_call(self) -> Iterator[tuple[str, Listing]]:
        """Yield each entry of each listed number."""
        for phone, kept in self._redis.hscan_iter(key("dnc"), count=1000):
            for listing in read_listings(kept):
                yield phone, listing

    def listed(self, phone: str) -> tuple[Listing, ...]:
        """Return a number's entries on the list, those that have expired too."""
        return read_listings(self._redis.hget(key("dnc"), phone))  # type: ignore[arg-type]

    def rung_or_listed(self, phones: Sequence[str]) -> list[tuple[tuple[Listing, ...], list[datetime]]]:
        """Return of each number its entries on the list, and when it was rung lately; in one round trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            for phone in phones:
                pipe.hget(key("dnc"), phone)
                pipe.zrange(key("rung", phone), 0, -1, withscores=True)
            found = pipe.execute()
        pairs = zip(found[::2], found[1::2], strict=True)
        return [(read_listings(kept), [ledger.moment(at) for _, at in rung]) for kept, rung in pairs]

    def is_do_not_call(self, phone: str) -> bool:
        """True if nobody may ring the number, in any campaign."""
        return in_force(self.listed(phone), "", "", self.now()) is not None

    # --- reading ------------------------------------------------------------------------------------------------------

    def status(self, name: str) -> Status:
        """Count a campaign's contacts by state, in one round trip and without touching any of them."""
        _, state, why = self.campaign(name)
        places = self.places(name)
        now_ms = ms(self.now())
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zcard(key("live", name))
            pipe.zcard(key("done", name))
            pipe.zcard(key("refused", name))
            pipe.hlen(key("rows", name))
            pipe.hgetall(key("counts", name))
            pipe.zcount(key("lines", name), f"({now_ms}", "+inf")
            pipe.hmget(key("odds", name), "answered", "rung_out", "silent")
            for number in places.values():
                pipe.zcard(due_key(name, number))
                pipe.zrange(due_key(name, number), 0, 0, withscores=True)
            live, done, refused, rows, counts, lines, odds, *queues = pipe.execute()
        answered, rung_out, silent = (int(count or 0) for count in odds)
        waiting = {
            place: (count, ledger.moment(first[0][1]) if first else None)
            for place, count, first in zip(places, queues[::2], queues[1::2], strict=True)
        }
        due = sum(count for count, _ in waiting.values())
        return Status(
            campaign=name,
            state=state,
            why=why,
            contacts=due + live + done + refused,
            due=due,
            live=live,
            done=done,
            refused=refused,
            rows_refused=rows,
            dispositions={key: int(count) for key, count in sorted(counts.items()) if int(count)},
            lines_in_use=lines,
            due_by_place=waiting,
            answered=answered,
            rung_out=rung_out,
            silent=silent,
        )

    def occupied(self, bot_rest: timedelta) -> Occupied:
        """Return what all calls hold together; a used bot is warm again after `bot_rest`."""
        names, now_ms = self.campaigns(), ms(self.now())
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zcount(key("lines"), f"({now_ms}", "+inf")
            pipe.zcount(key("inbound"), f"({now_ms - ms(LONGEST_INBOUND)}", "+inf")
            pipe.zcount(key("used"), f"({now_ms - ms(bot_rest)}", "+inf")
            pipe.hmget(key("warm"), "idle", "at")
            for name in names:
                pipe.zcard(key("talking", name))
            lines, inbound, cooling, count, *talking = pipe.execute()
        return Occupied(
            lines=lines,
            inbound=inbound,
            ringing=max(0, lines - sum(talking)),
            cooling=cooling,
            idle=None if count[0] is None else int(count[0]),
            counted_at=ledger.moment(count[1]) if count[1] else None,
        )

    def waiting(self, name: str, limit: int) -> list[str]:
        """Return ids of contacts that wait to be rung, in no order."""
        found: list[str] = []
        for number in self.places(name).values():
            found += self._redis.zrange(due_key(name, number), 0, limit - len(found) - 1)  # type: ignore[arg-type]
            if len(found) >= limit:
                break
        return [contact_of(attempt_id) for attempt_id in found]

    def live(self, name: str) -> list[str]:
        """Return the ids of the attempts under way."""
        return self._redis.zrange(key("live", name), 0, -1)  # type: ignore[return-value]

    def outcomes(self, name: str) -> list[dict[str, Any]]:
        """Return one dict per contact of a campaign, rung or not, in the order of its file: see docs/json.md."""
        return list(self.each_outcome(name))

    def each_outcome(self, name: str) -> Iterator[dict[str, Any]]:
        """Return what `outcomes` does one by one, holding no more of all contacts at once than their ids."""
        self.campaign(name)
        states = self._states(name)
        ids = [contact_id for _, contact_id in sorted(self._lines(states))]
        return (row for batch in batches(ids, _BATCH) for row in self._outcomes_of(batch, states))

    def _states(self, name: str) -> dict[str, str]:
        """Return the state of each contact of a campaign: a few at a time, for others want to be answered meanwhile."""
        due = [(due_key(name, number), "due") for number in self.places(name).values()]
        live, ended = (key("live", name), "live"), [(key(state, name), state) for state in ("refused", "done")]
        states: dict[str, str] = {}
        # The live ones first and last: who moves on between the looks is in one of them at least.
        for queue, state in (live, *due, *ended, live):
            for member, _ in self._redis.zscan_iter(queue, count=_BATCH):
                states[contact_of(member)] = state
        return states

    def _lines(self, ids: Iterable[str]) -> Iterator[tuple[int, str]]:
        for batch in batches(ids, _BATCH):
            for contact_id, contact in zip(batch, self._contacts(batch), strict=True):
                yield int(contact["line"]), contact_id

    def _outcomes_of(self, ids: list[str], states: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        contacts = self._contacts(ids)
        with self._redis.pipeline(transaction=False) as pipe:
            for contact in contacts:
                pipe.hgetall(key("attempt", contact.get("attempt", "none")))
            attempts = pipe.execute()
        for contact_id, contact, attempt in zip(ids, contacts, attempts, strict=True):
            yield ledger.outcome(states[contact_id], contact, attempt, _columns(contact))

    def standing(self, contact_id: str) -> Standing | None:
        """Return how a contact stands, or None if there is no such contact."""
        (contact,) = self._contacts([contact_id])
        if not contact:
            return None
        name, made, phone = contact["campaign"], int(contact.get("made", "0")), contact["phone"]
        labels = {number: place for place, number in self.places(name).items()}
        campaign, state, _ = self.campaign(name)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zscore(due_key(name, contact["zone"]), f"{contact_id}#{made + 1}")
            pipe.zscore(key("done", name), contact_id)
            pipe.zscore(key("refused", name), contact_id)
            pipe.zrange(key("rung", phone), 0, -1, withscores=True)
            due, done, refused, rung = pipe.execute()
        facts = Facts(
            campaign=campaign,
            phone=phone,
            place=labels.get(contact["zone"], Place()),
            columns=_columns(contact),
            campaign_state=state,
            made=made,
            asked_back=contact.get("disposition") == Disposition.CALLBACK,
            rung=tuple(ledger.moment(at) for _, at in rung),
            listings=self.listed(phone),
            registries=self.registries(),
        )
        return Standing(
            phone=phone,
            line=int(contact["line"]),
            place=facts.place,
            state="due" if due else "done" if done else "refused" if refused else "live",
            disposition=contact.get("disposition", ""),
            reason=contact.get("reason", ""),
            made=made,
            due=ledger.moment(due) if due else None,
            facts=facts,
        )

    def journal(self, contact_id: str) -> list[dict[str, Any]]:
        """Return what happened to a contact, the oldest first."""
        return [json.loads(entry) for entry in self._redis.lrange(key("journal", contact_id), 0, -1)]  # type: ignore[union-attr]

    def _run(self, script: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        return self._scripts[script](keys=list(keys), args=[self.clock_ms or 0, *args])


def _read_caller_id(number: str, kept: Mapping[str, str], now: datetime) -> CallerId:
    def moment_of(name: str) -> datetime | None:
        return ledger.moment(kept[name]) if name in kept else None

    began, ends = hours.day_of(caller_ids.day_zone(number), now)
    return CallerId(
        number,
        calls=int(kept.get("calls", "0")),
        answered=int(kept.get("answered", "0")),
        recent=kept.get("recent", ""),
        today=int(kept.get("today", "0")) if moment_of("day") == began else 0,
        tomorrow=ends,
        last=moment_of("last"),
        rest=moment_of("rest"),
        ours=kept["ours"] == "1" if "ours" in kept else None,
    )


def _dialing_limits(case: Case, pool: Sequence[str], limits: caller_ids.CallerIdLimits, caps: Sequence[Cap]) -> str:
    """Return what begin.lua keeps to, as JSON."""
    campaign, zones = case.campaign, [caller_ids.day_zone(number) for number in pool]
    days = {zone: [ms(at) for at in hours.day_of(zone, case.read_at)] for zone in {campaign.day_zone, *zones}}
    return json.dumps(
        {
            "purpose": campaign.purpose,
            "name": campaign.name,
            "caps": [(cap.attempts, ms(cap.period)) for cap in caps],
            "canary": campaign.brakes.canary,
            "calls_per_day": campaign.pacing.calls_per_day,
            "day": days[campaign.day_zone][0],
            "calls_per_caller_id": limits.calls_per_day,
            "lines_per_caller_id": limits.lines,
            "cool_down": ms(limits.cool_down),
            "caller_ids": [(number, *days[zone]) for number, zone in zip(pool, zones, strict=True)],
        }
    )


def _pairs(flat: Sequence[str]) -> dict[str, str]:
    """Read a hash as a script returns it: each field followed by its value."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _places(kept: Mapping[str, str]) -> dict[Place, str]:
    return {read_label(label): number for label, number in kept.items()}


def _compact(value: Sequence[str | int]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _columns(contact: Mapping[str, str]) -> dict[str, str]:
    return {name[1:]: value for name, value in contact.items() if name.startswith(":")}


def read_scripts() -> dict[str, str]:
    """Return the text of each transition's script."""
    prelude = _read_lua("_prelude")
    return {name: prelude + _read_lua(name) for name in _SCRIPTS}


def _read_lua(name: str) -> str:
    return resources.files("worker.store").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
