"""The do-not-call list in the record: its entries, and the registries that were imported into it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from campaigns.call import Disposition
from worker.rules.do_not_call import EVERYWHERE, Listing, Registry, in_force, read_listings, read_registries
from worker.rules.states import ContactState
from worker.store.base import Database, NounStore
from worker.store.campaigns import CampaignStore
from worker.store.contacts import ContactStore
from worker.store.keys import key
from worker.store.scripts import LIST_NUMBERS


class DoNotCallStore(NounStore):
    """The numbers that may not be rung."""

    def __init__(self, database: Database, campaigns: CampaignStore, contacts: ContactStore) -> None:
        super().__init__(database)
        self._campaigns, self._contacts = campaigns, contacts

    def add(self, phone: str, source: str, *, scope: str = EVERYWHERE, expires_at: datetime | None = None) -> bool:
        """List a number; its contacts that wait in the scope are refused. False if it was listed so before."""
        return self.add_all([phone], Listing(source, scope=scope, expires_at=expires_at)) == 1

    def add_all(self, phones: Sequence[str], listing: Listing) -> int:
        """Give a batch of numbers the same entry, and refuse their contacts that wait; return how many entries are new.

        This takes one round trip, and another for each campaign in the scope; more only for numbers of its contacts.
        """
        now = self._database.now()
        listing = replace(listing, at=now)
        entry = json.dumps(listing.facts(), ensure_ascii=False)
        new = self._run(LIST_NUMBERS, entry=entry, more_args=phones)
        for name in self._campaigns.names():
            campaign, _, _ = self._campaigns.get(name)
            if listing.covers(name, campaign.purpose, now):
                self._refuse_waiting(name, phones, str(listing))
        return new

    def _refuse_waiting(self, campaign: str, phones: Sequence[str], reason: str) -> None:
        ids = [self._contacts.id_of(campaign, phone) for phone in phones]
        with self._redis.pipeline(transaction=False) as pipe:
            for contact_id in ids:
                pipe.exists(key("contact", contact_id))
            found = pipe.execute()
        for contact_id, is_contact in zip(ids, found, strict=True):
            if is_contact:
                self._contacts.withdraw(contact_id, ContactState.REFUSED, Disposition.DO_NOT_CALL, reason)

    def remove(self, phone: str) -> bool:
        """Delete all entries of a number; False if it had none. Contacts that were refused stay refused."""
        return bool(self._redis.hdel(key("do_not_call"), phone))

    def entries(self) -> Iterator[tuple[str, Listing]]:
        """Yield each entry of each listed number."""
        for phone, kept in self._redis.hscan_iter(key("do_not_call"), count=1000):
            for listing in read_listings(kept):
                yield phone, listing

    def entries_of(self, phone: str) -> tuple[Listing, ...]:
        """Return a number's entries, including those that have expired."""
        return read_listings(self._redis.hget(key("do_not_call"), phone))  # type: ignore[arg-type]

    def holds(self, phone: str) -> bool:
        """Return True if no campaign may ring the number."""
        return in_force(self.entries_of(phone), "", "", self._database.now()) is not None

    def record_import(self, name: str, registry: Registry) -> None:
        """Record that a whole list was imported, and which day it shows."""
        facts = replace(registry, imported_at=self._database.now()).facts()
        self._redis.hset(key("lists"), name, json.dumps(facts))

    def registries(self) -> dict[str, Registry]:
        """Return the lists that were imported, by name."""
        return read_registries(self._redis.hgetall(key("lists")))  # type: ignore[arg-type]
