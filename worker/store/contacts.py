"""Contacts in the record: enlisting them, withdrawing them, and the short form in which they wait."""

import base64
import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from campaigns.call import Disposition
from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import Place
from worker.rules.states import ContactState
from worker.store.base import Database, NounStore, pairs
from worker.store.campaigns import CampaignStore
from worker.store.errors import StoreError
from worker.store.keys import Subject, due_key, key
from worker.store.scripts import ENLIST, NUMBER_PLACE, NUMBER_SHEET, READ_CONTACTS, WITHDRAW
from worker.store.times import ms
from worker.store.values import Enlisted, contact_of

_LOOKS: Final = 3
"""How often a batch is sent again because Redis has forgotten what this process remembers."""


class ContactStore(NounStore):
    """What is kept about contacts."""

    def __init__(self, database: Database, campaigns: CampaignStore, salt: bytes | None = None) -> None:
        """Take the salt of contact ids from Redis; `salt` is kept there first if Redis has none."""
        super().__init__(database)
        self._campaigns = campaigns
        self._salt_given, self._salt_bytes = salt, b""
        self._zone_numbers: dict[tuple[str, Place], str] = {}
        self._sheet_numbers: dict[tuple[str, ...], int] = {}

    def id_of(self, campaign: str, phone: str) -> str:
        """Return the id of a number in a campaign: always the same, and without the salt it does not give away the number."""
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
        """Enlist a batch of contacts, each with its place. They may be rung from `due` on.

        Contacts that are in the campaign already stay as they are. Raises StoreError if Redis keeps forgetting.
        """
        if not batch:
            return Enlisted()
        for _ in range(_LOOKS):
            if told := self._enlist(campaign, batch, due):
                return Enlisted(told[0], len(batch) - told[0], told[1])
            self._forget()
        raise StoreError("Redis forgets what it was just told; see that it is one server, and enqueue the file again")

    def _enlist(self, campaign: Campaign, batch: Sequence[tuple[Contact, Place]], due: datetime) -> list[int]:
        """Return how many contacts were new and how many of these were refused.

        The list is empty, and nothing was written, if Redis does not know the salt or a number that this process remembers.
        """
        zones, sheets = dict[str, str](), dict[str, str]()
        keys, rows = list[str](), list[str]()
        for contact, place in batch:
            contact_id = self.id_of(campaign.name, contact.phone)
            zones[place.label] = zone = self._zone_number(campaign.name, place)
            sheet = (campaign.name, zone, *contact.columns)
            number = self._sheet_number(sheet)
            sheets[_compact(sheet)] = str(number)
            keys += [key("contact", contact_id), due_key(campaign.name, zone)]
            row = _compact([number, contact.line, int(contact.phone), *contact.columns.values()])
            rows += [contact_id, contact.phone, row]
        return self._run(
            ENLIST,
            Subject(campaign=campaign.name),
            due_ms=ms(due),
            purpose=campaign.purpose,
            campaign_name=campaign.name,
            salt_in_mind=self._salt.hex(),
            zones_in_mind=json.dumps(zones),
            sheets_in_mind=json.dumps(sheets),
            more_keys=keys,
            more_args=rows,
        )

    def _forget(self) -> None:
        """Forget all that Redis may have forgotten."""
        self._zone_numbers.clear()
        self._sheet_numbers.clear()
        self._salt_bytes = b""

    def _zone_number(self, campaign: str, place: Place) -> str:
        cached = self._zone_numbers.get((campaign, place))
        if cached is None:
            cached = str(self._run(NUMBER_PLACE, Subject(campaign=campaign), label=place.label))
            self._zone_numbers[campaign, place] = cached
        return cached

    def _sheet_number(self, sheet: tuple[str, ...]) -> int:
        cached = self._sheet_numbers.get(sheet)
        if cached is None:
            cached = self._sheet_numbers[sheet] = int(self._run(NUMBER_SHEET, sheet=_compact(sheet)))
        return cached

    def refuse_rows(self, campaign: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Keep why rows of a file were refused, each once however often the file is enqueued; return how many were new."""
        mapping = {}
        for row in rows:
            text = json.dumps(row, ensure_ascii=False, sort_keys=True)
            mapping[hashlib.blake2b(text.encode(), digest_size=10).hexdigest()] = text
        return int(self._redis.hset(key("rows", campaign), mapping=mapping)) if mapping else 0  # type: ignore[arg-type]

    def read(self, ids: Sequence[str]) -> list[dict[str, str]]:
        """Return the fields of each contact; none for an id that no contact has."""
        found = self._run(READ_CONTACTS, more_keys=[key("contact", contact_id) for contact_id in ids])
        return [pairs(fields) for fields in found]

    def waiting(self, campaign: str, limit: int) -> list[str]:
        """Return ids of contacts that wait to be rung, in no order."""
        found: list[str] = []
        for number in self._campaigns.places(campaign).values():
            found += self._redis.zrange(due_key(campaign, number), 0, limit - len(found) - 1)  # type: ignore[arg-type]
            if len(found) >= limit:
                break
        return [contact_of(attempt_id) for attempt_id in found]

    def withdraw(self, contact_id: str, state: ContactState, disposition: Disposition, reason: str) -> bool:
        """End a waiting contact without ringing it, as DONE or REFUSED; False if it was not waiting."""
        (contact,) = self.read([contact_id])
        if not contact:
            return False
        withdrawn = self._run(
            WITHDRAW,
            Subject(campaign=contact["campaign"], contact_id=contact_id, zone=contact["zone"]),
            contact_id=contact_id,
            waiting_id=f"{contact_id}#{int(contact.get('made', '0')) + 1}",
            state=state.value,
            disposition=disposition.value,
            reason=reason,
        )
        return withdrawn == 1


def _compact(value: Sequence[str | int]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
