"""A file becomes contacts, batch by batch; and the contacts a file of results."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from campaigns.campaign import Campaign
from campaigns.contacts import Contact, RowError, read_contacts
from campaigns.places import Place
from tests.search import examples
from worker.dialing.enlisting import Batch, enlist
from worker.machine.embedded import EmbeddedRedis
from worker.rules.admission import admitted
from worker.store import Store
from worker.store.values import Enlisted

SAMPLE = Path(__file__).parents[2] / "campaigns" / "appointment_reminder"
ROWS = 1234
PLACE = Place(("America/New_York",), ("US-NY",))


def table(rows: int) -> bytes:
    """Every hundredth row is no contact."""
    lines = (f"+1212{2_000_000 + n if n % 100 else 12},N{n},d,t" for n in range(1, rows + 1))
    return ("phone,name,day,time\n" + "\n".join(lines) + "\n").encode()


def rows_of(campaign: Campaign, data: bytes) -> Iterator[tuple[Contact, Place] | RowError]:
    return admitted(read_contacts(io.BytesIO(data), campaign), campaign, datetime(2026, 11, 23, 18, tzinfo=UTC))


def dialout(server: EmbeddedRedis, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.cli", *words]
    return subprocess.run(
        command, check=False, env=os.environ | {"REDIS_URL": server.url}, capture_output=True, text=True
    )


def test_every_row_of_a_long_file_is_enlisted_or_kept_with_its_reason(store: Store, reminder: Campaign) -> None:
    store.campaigns.define(reminder)
    batches = list(enlist(store, reminder, rows_of(reminder, table(ROWS))))
    assert sum(batch.rows for batch in batches) == ROWS
    assert [error.line for batch in batches for error in batch.refused] == list(range(101, ROWS, 100))
    status = store.reading.status(reminder.name)
    assert (status.due, status.rows_refused) == (ROWS - 12, 12)
    assert [row["line"] for row in store.reading.outcomes(reminder.name)] == [
        n for n in range(2, ROWS + 2) if (n - 1) % 100
    ]


def test_the_same_long_file_again_changes_nothing(store: Store, reminder: Campaign) -> None:
    store.campaigns.define(reminder)
    for _ in enlist(store, reminder, rows_of(reminder, table(ROWS))):
        pass
    before = store.reading.status(reminder.name)
    again = sum((batch.enlisted for batch in enlist(store, reminder, rows_of(reminder, table(ROWS)))), Enlisted())
    assert again == Enlisted(0, ROWS - 12, 0)
    after = store.reading.status(reminder.name)
    assert (after.contacts, after.due, after.rows_refused) == (before.contacts, before.due, before.rows_refused)


@pytest.mark.parametrize("lost", ["*", "*:zones:*", "*:sheets", "*:salt"])
def test_a_server_that_forgot_something_is_told_it_again_and_no_contact_is_lost(
    store: Store, server: EmbeddedRedis, reminder: Campaign, lost: str
) -> None:
    store.campaigns.define(reminder)
    store.contacts.enlist(reminder, [(Contact("+12122000001", {"name": "Ada"}, 2), PLACE)], store.now())
    store._redis.delete(*store._redis.keys(lost))
    store.campaigns.define(reminder)
    other = Store.at(server.url)  # somebody else enlists meanwhile, with another place and other columns
    elsewhere = Place(("America/Chicago",), ("US-IL",))
    other.contacts.enlist(reminder, [(Contact("+13122000001", {"first": "Bo"}, 3), elsewhere)], other.now())
    new = store.contacts.enlist(reminder, [(Contact("+12122000002", {"name": "Cy"}, 4), PLACE)], store.now())
    assert new == Enlisted(1, 0, 0)
    ids = {
        name: store.contacts.id_of(reminder.name, phone)
        for name, phone in (("Bo", "+13122000001"), ("Cy", "+12122000002"))
    }
    bo, cy = (store.reading.standing(ids[name]) for name in ("Bo", "Cy"))
    assert bo
    assert cy
    assert (bo.place, dict(bo.facts.columns), bo.state) == (elsewhere, {"first": "Bo"}, "due")
    assert (cy.place, dict(cy.facts.columns), cy.state) == (PLACE, {"name": "Cy"}, "due")
    assert other.contacts.id_of(reminder.name, "+12122000002") == ids["Cy"]


def test_a_file_without_rows_enlists_nobody(store: Store, reminder: Campaign) -> None:
    assert list(enlist(store, reminder, [])) == []
    assert Batch().rows == 0


def test_enlisting_in_a_store_that_cannot_be_reached_raises_its_error(reminder: Campaign) -> None:
    away = Store.at("redis://127.0.0.1:1/0", timeout_s=0.2)
    away.clock_ms = 1
    with pytest.raises(redis.ConnectionError):
        list(enlist(away, reminder, rows_of(reminder, table(3))))


def test_contacts_are_due_from_the_moment_that_their_batch_came(store: Store, reminder: Campaign) -> None:
    store.campaigns.define(reminder)
    began = store.now()
    list(enlist(store, reminder, rows_of(reminder, table(3))))
    ((_, first),) = store.reading.status(reminder.name).due_by_place.values()
    assert first
    assert began - timedelta(milliseconds=1) <= first <= store.now()


def test_rejects_of_every_batch_are_written(store: Store, server: EmbeddedRedis, tmp_path: Path) -> None:
    contacts, rejects = tmp_path / "contacts.csv", tmp_path / "rejects.csv"
    contacts.write_bytes(table(ROWS))
    done = dialout(server, "enqueue", str(SAMPLE), str(contacts), "--json", "--rejects", str(rejects))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["rows"], told["enlisted"], told["refused"]) == (ROWS, ROWS - 12, 12)
    with rejects.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["name"] for row in found] == [f"N{n}" for n in range(100, ROWS, 100)]
    assert all(row["reason"] == "phone is not a possible number" for row in found)


def test_results_are_the_same_rows_in_every_form(store: Store, server: EmbeddedRedis, tmp_path: Path) -> None:
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    first.write_bytes(table(3))
    second.write_text("phone,name,day,time,note\n+13035550112,Ada,d,t,late\n", "utf-8")
    for contacts in (first, second):
        assert dialout(server, "enqueue", str(SAMPLE), str(contacts)).returncode == 0
    rows = store.reading.outcomes(SAMPLE.name)
    assert len(rows) == 4
    assert dialout(server, "results", SAMPLE.name, "--json").stdout == (
        json.dumps(rows, ensure_ascii=False, indent=2) + "\n"
    )
    lines, sheet = tmp_path / "results.jsonl", tmp_path / "results.csv"
    for output in (lines, sheet):
        assert "4 contacts written" in dialout(server, "results", SAMPLE.name, "-o", str(output)).stderr
    assert [json.loads(line) for line in lines.read_text("utf-8").splitlines()] == rows
    with sheet.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    # A column that only one of the files had is a column of all.
    assert sorted((row["phone"], row["note"]) for row in found) == sorted((r["phone"], r.get("note", "")) for r in rows)


def test_a_campaign_without_contacts_has_results_that_are_empty(
    store: Store, reminder: Campaign, server: EmbeddedRedis
) -> None:
    store.campaigns.define(reminder)
    assert json.loads(dialout(server, "results", reminder.name, "--json").stdout) == []


def test_results_of_a_campaign_that_is_not_known_leave_the_file_alone(
    store: Store, server: EmbeddedRedis, tmp_path: Path
) -> None:
    output = tmp_path / "results.csv"
    output.write_text("last week's", "utf-8")
    done = dialout(server, "results", "unheard_of", "-o", str(output))
    assert done.returncode == 1
    assert output.read_text("utf-8") == "last week's"


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)


@examples(150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(columns=st.dictionaries(names, values, max_size=5), line=st.integers(2, 10**9))
@example(columns={"a": '"\\\u2028\x7f\n', "1": "007", "null": "null", "[]": "", "é": "𝄞"}, line=2)
def test_whatever_a_contact_s_columns_hold_is_read_as_it_was_written(
    store: Store, reminder: Campaign, columns: dict[str, str], line: int
) -> None:
    store._redis.flushall()
    fresh = Store(store._redis)
    fresh.campaigns.define(reminder)
    contact = Contact("+12125550111", columns, line)
    fresh.contacts.enlist(reminder, [(contact, PLACE)], fresh.now())
    contact_id = fresh.contacts.id_of(reminder.name, contact.phone)
    before = (fresh.reading.standing(contact_id), fresh.reading.outcomes(reminder.name))
    case = fresh.attempts.case(f"{contact_id}#1")
    assert case
    assert (case.phone, case.columns, case.place) == (contact.phone, columns, PLACE)
    # Reading it as a case has unfolded it, and that changes nothing.
    assert (fresh.reading.standing(contact_id), fresh.reading.outcomes(reminder.name)) == before
    assert before[1][0]["line"] == line


def test_a_waiting_contact_that_is_withdrawn_keeps_its_columns(store: Store, reminder: Campaign) -> None:
    store.campaigns.define(reminder)
    list(enlist(store, reminder, rows_of(reminder, table(1))))
    (before,) = store.reading.outcomes(reminder.name)
    assert store.do_not_call.add(before["phone"], "operator")
    (after,) = store.reading.outcomes(reminder.name)
    assert (after["state"], after["name"], after["line"]) == ("refused", before["name"], before["line"])


def test_a_contact_of_an_earlier_version_is_still_known_and_read(store: Store, reminder: Campaign) -> None:
    store.campaigns.define(reminder)
    contact = Contact("+12125550111", {"name": "Ada", "day": "d", "time": "t"}, 2)
    zone = store.contacts._zone_number(reminder.name, PLACE)
    contact_id = store.contacts.id_of(reminder.name, contact.phone)
    written = {"campaign": reminder.name, "phone": contact.phone, "zone": zone, "line": "2", ":name": "Ada"}
    store._redis.hset(f"{{dialout}}:contact:{contact_id}", mapping=written)
    assert store.contacts.enlist(reminder, [(contact, PLACE)], store.now()) == Enlisted(known=1)
    case = store.attempts.case(f"{contact_id}#1")
    assert case
    assert case.columns == {"name": "Ada"}
