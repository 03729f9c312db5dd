"""Callers in the record: people who ring us, whether we rang them before or not."""

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Final

from worker.rules.timing import INBOUND_KEPT
from worker.store.base import NounStore
from worker.store.keys import key
from worker.store.scripts import INBOUND_CALL, RING_BACK
from worker.store.times import ms
from worker.store.values import Caller, Case

_CALLER: Final = "caller#"
"""What the id of a caller whom we never rang begins with. No contact's id looks like it."""


class CallerStore(NounStore):
    """What is kept about people who ring us."""

    def call_began(self, call_sid: str) -> None:
        """Keep a line and a bot for a call to us until it ends. Saying it again changes nothing."""
        self._run(INBOUND_CALL, call_sid=call_sid, is_over=0)

    def call_ended(self, call_sid: str) -> None:
        """Free the line of a call to us. For a call that we do not know, nothing happens."""
        self._run(INBOUND_CALL, call_sid=call_sid, is_over=1)

    def last_attempt_to(self, phone: str) -> str | None:
        """Return the id of the last attempt that rang a number, or None."""
        return self._redis.hget(key("number", phone), "attempt")  # type: ignore[return-value]

    def ring_back(self, case: Case, call_sid: str, lease: timedelta) -> str:
        """Record that a contact whom we rang before rings us; return the id of this inbound attempt.

        The contact's waiting attempt is withdrawn while they talk. Recording the same call again changes nothing.
        """
        attempt_id = f"{case.contact_id}#i{hashlib.blake2b(call_sid.encode(), digest_size=5).hexdigest()}"
        self._run(
            RING_BACK,
            replace(case.subject, attempt_id=attempt_id, call_sid=call_sid),
            attempt_id=attempt_id,
            contact_id=case.contact_id,
            waiting_id=case.next_id,
            lease_ms=ms(lease),
            call_sid=call_sid,
        )
        return attempt_id

    def attempt_of(self, call_sid: str) -> str | None:
        """Return the inbound attempt that a call to us belongs to, or None: its callbacks cannot carry our id."""
        return self._redis.get(key("call", call_sid))  # type: ignore[return-value]

    def meet(self, call_sid: str, caller: Caller) -> str:
        """Remember for a day a caller whom we never rang; return an id for their call. For the same call it is the same."""
        hashed = hashlib.blake2b(call_sid.encode(), digest_size=10).hexdigest()
        kept = json.dumps({"phone": caller.phone, "campaign": caller.campaign})
        self._redis.set(key("caller", hashed), kept, px=ms(INBOUND_KEPT))
        return _CALLER + hashed

    def get(self, attempt_id: str) -> Caller | None:
        """Return the caller whom `meet` gave this id; None for an attempt's id, or after a day."""
        if not attempt_id.startswith(_CALLER):
            return None
        kept = self._redis.get(key("caller", attempt_id.removeprefix(_CALLER)))
        return Caller(**json.loads(str(kept))) if kept else None
