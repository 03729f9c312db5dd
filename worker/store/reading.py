"""Reading the record: how a campaign stands, what came of its contacts, and what happened to one of them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from campaigns.call import Disposition
from campaigns.places import Place
from worker.machine.batches import batches
from worker.rules.do_not_call import Listing, read_listings
from worker.rules.may_ring import Facts
from worker.rules.states import ContactState
from worker.store.base import Database, NounStore, columns
from worker.store.campaigns import CampaignStore
from worker.store.contacts import ContactStore
from worker.store.do_not_call import DoNotCallStore
from worker.store.keys import due_key, key
from worker.store.times import moment, ms
from worker.store.values import Standing, Status, contact_of
from worker.store.witnesses import read_evidence

_BATCH: Final = 500
"""Contacts that are read in one round trip: few enough that Redis can answer others in between."""


class ReadingStore(NounStore):
    """Views of the whole record, none of which changes it."""

    def __init__(
        self, database: Database, campaigns: CampaignStore, contacts: ContactStore, do_not_call: DoNotCallStore
    ) -> None:
        super().__init__(database)
        self._campaigns, self._contacts, self._do_not_call = campaigns, contacts, do_not_call

    def status(self, name: str) -> Status:
        """Count a campaign's contacts by state, in one round trip that reads none of them. Raises UnknownCampaign."""
        _, state, why = self._campaigns.get(name)
        places = self._campaigns.places(name)
        now_ms = ms(self._database.now())
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
            place: (count, moment(first[0][1]) if first else None)
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

    def outcomes(self, name: str) -> list[dict[str, Any]]:
        """Return one dict for each contact of a campaign, rung or not, in the order of its file: see docs/json.md."""
        return list(self.each_outcome(name))

    def each_outcome(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the same dicts one by one. Of contacts that come later, only the ids are in memory."""
        self._campaigns.get(name)
        states = self._states(name)
        ids = [contact_id for _, contact_id in sorted(self._lines(states))]
        return (row for batch in batches(ids, _BATCH) for row in self._outcomes_of(batch, states))

    def _states(self, name: str) -> dict[str, ContactState]:
        """Return the state of each contact of a campaign, in many short reads: Redis answers others in between."""
        due = [(due_key(name, number), ContactState.DUE) for number in self._campaigns.places(name).values()]
        live = (key("live", name), ContactState.LIVE)
        ended = [(key(state, name), state) for state in (ContactState.REFUSED, ContactState.DONE)]
        states: dict[str, ContactState] = {}
        # Live contacts are read first and last: a contact that changes its state meanwhile is in one of the sets.
        for queue, state in (live, *due, *ended, live):
            for member, _ in self._redis.zscan_iter(queue, count=_BATCH):
                states[contact_of(member)] = state
        return states

    def _lines(self, ids: Iterable[str]) -> Iterator[tuple[int, str]]:
        for batch in batches(ids, _BATCH):
            for contact_id, contact in zip(batch, self._contacts.read(batch), strict=True):
                yield int(contact["line"]), contact_id

    def _outcomes_of(self, ids: list[str], states: Mapping[str, ContactState]) -> Iterator[dict[str, Any]]:
        contacts = self._contacts.read(ids)
        with self._redis.pipeline(transaction=False) as pipe:
            for contact in contacts:
                pipe.hgetall(key("attempt", contact.get("attempt", "none")))
            attempts = pipe.execute()
        for contact_id, contact, attempt in zip(ids, contacts, attempts, strict=True):
            yield _outcome(states[contact_id], contact, attempt)

    def standing(self, contact_id: str) -> Standing | None:
        """Return where a contact stands, or None if there is no such contact."""
        (contact,) = self._contacts.read([contact_id])
        if not contact:
            return None
        name, made, phone = contact["campaign"], int(contact.get("made", "0")), contact["phone"]
        labels = {number: place for place, number in self._campaigns.places(name).items()}
        campaign, campaign_state, _ = self._campaigns.get(name)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.zscore(due_key(name, contact["zone"]), f"{contact_id}#{made + 1}")
            pipe.zscore(key("done", name), contact_id)
            pipe.zscore(key("refused", name), contact_id)
            pipe.zrange(key("rung", phone), 0, -1, withscores=True)
            due, done, refused, rung = pipe.execute()
        scores = {ContactState.DUE: due, ContactState.DONE: done, ContactState.REFUSED: refused}
        facts = Facts(
            campaign=campaign,
            phone=phone,
            place=labels.get(contact["zone"], Place()),
            columns=columns(contact),
            campaign_state=campaign_state,
            made=made,
            asked_back=contact.get("disposition") == Disposition.CALLBACK,
            rung=tuple(moment(at) for _, at in rung),
            listings=self._do_not_call.entries_of(phone),
            registries=self._do_not_call.registries(),
        )
        return Standing(
            phone=phone,
            line=int(contact["line"]),
            place=facts.place,
            state=next((state for state, score in scores.items() if score), ContactState.LIVE),
            disposition=contact.get("disposition", ""),
            reason=contact.get("reason", ""),
            made=made,
            due=moment(due) if due else None,
            facts=facts,
        )

    def journal(self, contact_id: str) -> list[dict[str, Any]]:
        """Return what happened to a contact, the oldest first."""
        return [json.loads(entry) for entry in self._redis.lrange(key("journal", contact_id), 0, -1)]  # type: ignore[union-attr]

    def listed_and_rung(self, phones: Sequence[str]) -> list[tuple[tuple[Listing, ...], list[datetime]]]:
        """Return each number's do-not-call entries, and when it was rung lately, in one round trip."""
        with self._redis.pipeline(transaction=False) as pipe:
            for phone in phones:
                pipe.hget(key("do_not_call"), phone)
                pipe.zrange(key("rung", phone), 0, -1, withscores=True)
            found = pipe.execute()
        each = zip(found[::2], found[1::2], strict=True)
        return [(read_listings(kept), [moment(at) for _, at in rung]) for kept, rung in each]


def _outcome(state: ContactState, contact: Mapping[str, str], attempt: Mapping[str, str]) -> dict[str, Any]:
    """Return a contact's row of `dialout results`: our columns first, then the columns of its file's row.

    A column of the file that has the name of one of ours is called `row_<name>`.
    """
    evidence = read_evidence(attempt) if attempt else None
    report = evidence.report if evidence else None
    waits = "not rung yet" if state is ContactState.DUE else ""
    ours: dict[str, Any] = {
        "phone": contact["phone"],
        "state": state.value,
        "disposition": contact.get("disposition") or None,
        "reason": contact.get("reason") or contact.get("postponed") or waits,
        "attempts": int(contact.get("made", "0")),
        "call_sid": (evidence.call_sid if evidence else "") or attempt.get("call_sid") or None,
        "duration_s": int(attempt["duration_s"]) if attempt.get("duration_s") else None,
        "answers": json.loads(attempt.get("answers") or "{}"),
        "answered_by": report.answered_by if report else None,
        "ended_by": report.ended_by if report else None,
        "first_audio_ms": report.first_audio_ms if report else None,
        "recording_url": (evidence.recording_url if evidence else "") or None,
        "usage": dict(report.usage) if report else {},
        "problems": list(report.problems) if report else [],
        "transcript": [turn.model_dump(mode="json") for turn in report.transcript] if report else [],
        "line": int(contact["line"]),
    }
    row = columns(contact)
    return ours | {(f"row_{name}" if name in ours else name): value for name, value in row.items()}
