"""Each rule of may_ring by its name, what the store's scripts enforce of them, and what the operator sees.

More than 300 lines: each rule of may_ring has its boundary cases.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from claiming import claim
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from campaigns.call import Disposition
from campaigns.campaign import Brakes, CallingWindow, Campaign, Consent, load_campaign
from campaigns.contacts import Contact
from campaigns.places import Place, place_of
from tests.search import examples
from worker.machine.embedded import EmbeddedRedis
from worker.rules import admission, do_not_call
from worker.rules.consent import consent_problem
from worker.rules.do_not_call import Listing, Registry, in_force
from worker.rules.law import Cap, law_of, national_law
from worker.rules.may_ring import Facts, may_ring, open_now
from worker.rules.rule import Rule
from worker.rules.states import CampaignState
from worker.store import Store
from worker.store.values import Begun

ROOT = Path(__file__).parents[2]
MONDAY = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)  # 13:00 in New York
NEW_YORK = Place(("America/New_York",), ("US-NY",))
PHONE = "+12125550111"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture(scope="session")
def lawful() -> Campaign:
    """The sample campaign as it is."""
    return load_campaign(ROOT / "campaigns" / "appointment_reminder")


@pytest.fixture(scope="session")
def selling(lawful: Campaign) -> Campaign:
    return lawful.model_copy(update={"purpose": "marketing", "name": "selling"})


def facts(campaign: Campaign, **known: object) -> Facts:
    return replace(Facts(campaign, PHONE, NEW_YORK), **known)  # type: ignore[arg-type]


def rule(found: Facts, at: datetime = MONDAY) -> str:
    return may_ring(found, at).rule or ""


def test_no_rule_speaks_against_the_sample_at_noon(lawful: Campaign) -> None:
    assert may_ring(facts(lawful), MONDAY).allowed


@pytest.mark.parametrize("state", [CampaignState.PAUSED, CampaignState.STOPPED])
def test_a_pause_or_a_stop_comes_first_and_is_asked_again_at_once(lawful: Campaign, state: CampaignState) -> None:
    verdict = may_ring(facts(lawful, campaign_state=state, listings=[Listing("x")]), MONDAY)
    assert (verdict.rule, verdict.until) == (state, MONDAY)


@pytest.mark.parametrize(
    ("listing", "forbids"),
    [
        (Listing("operator"), True),
        (Listing("operator", scope="informational"), True),
        (Listing("operator", scope="marketing"), False),
        (Listing("operator", scope="campaign:appointment_reminder"), True),
        (Listing("operator", scope="campaign:another"), False),
        (Listing("operator", expires_at=MONDAY + HOUR), True),
        (Listing("operator", expires_at=MONDAY), False),
    ],
)
def test_a_listing_forbids_the_calls_in_its_scope_until_it_expires(
    lawful: Campaign, listing: Listing, forbids: bool
) -> None:
    verdict = may_ring(facts(lawful, listings=[Listing("old", expires_at=MONDAY - DAY), listing]), MONDAY)
    assert (verdict.rule == "do_not_call") == forbids
    assert verdict.until is None


def test_a_toll_free_number_is_not_rung_even_if_it_was_enlisted(lawful: Campaign) -> None:
    verdict = may_ring(facts(lawful, phone="+18005551234"), MONDAY)
    assert (verdict.rule, verdict.until) == ("number_type", None)
    assert "toll-free" in verdict.reason


@pytest.mark.parametrize(
    ("purpose", "regions", "consent", "columns", "problem"),
    [
        ("informational", ("US-NY",), Consent(), {}, "says nothing"),
        ("informational", ("US-NY",), Consent(), {"consent_type": "none"}, "need express consent"),
        ("informational", ("US-NY",), Consent(), {"consent_type": "Express"}, ""),
        ("informational", ("US-NY",), Consent(), {"consent_type": "yes"}, "write none, express or written"),
        ("marketing", ("US-NY",), Consent(), {"consent_type": "express"}, "need written consent"),
        ("marketing", ("US-NY",), Consent(), {"consent_type": "written"}, ""),
        ("marketing", ("GB",), Consent(), {"consent_type": "express"}, ""),
        ("informational", ("GB",), Consent(), {}, "says nothing"),
        ("marketing", ("DE",), Consent(), {}, ""),
        ("marketing", ("US-NY",), Consent(attested_by="Ann", attested_at=date(2026, 1, 1)), {}, ""),
        ("marketing", ("US-NY",), Consent(attested_by="Ann", attested_at=date(2026, 1, 1)), {"consent_type": "none"}, "is none"),
        ("marketing", ("US-NY",), Consent(attested_by="Ann", attested_at=date(2026, 1, 1), max_age_days=30), {}, "attested_at is not within the last 30 days"),
        ("informational", ("US-NY",), Consent(max_age_days=30), {"consent_type": "express"}, "consent_at is empty"),
        ("informational", ("US-NY",), Consent(max_age_days=30),
         {"consent_type": "express", "consent_at": "2026-11-01T09:00:00-05:00"}, ""),
        ("informational", ("US-NY",), Consent(), {"consent_type": "express", "consent_at": "last year"}, "is not a date"),
        ("informational", ("US-NY",), Consent(max_age_days=30),
         {"consent_type": "express", "consent_at": "2026-10-23"}, "consent_at is not within the last 30 days"),
        ("informational", ("US-NY",), Consent(max_age_days=30),
         {"consent_type": "express", "consent_at": "2062-11-01"}, "consent_at is not within the last 30 days"),
    ],
)  # fmt: skip
def test_consent_must_be_on_record_as_the_law_of_the_place_asks(
    lawful: Campaign, purpose: str, regions: tuple[str, ...], consent: Consent, columns: dict[str, str], problem: str
) -> None:
    campaign = lawful.model_copy(update={"purpose": purpose, "consent": consent})
    said = consent_problem(campaign, Place(("UTC",), regions), columns, MONDAY)
    assert problem in said
    assert bool(problem) == bool(said)


def test_marketing_waits_for_a_copy_of_the_registry_that_is_no_older_than_31_days(selling: Campaign) -> None:
    campaign = selling
    fresh, old = (Registry(MONDAY.date() - timedelta(days=days), "marketing") for days in (31, 32))
    assert rule(facts(campaign, registries={"us-dnc": fresh})) == ""
    for lists in ({}, {"us-dnc": old}, {"other": fresh}):
        verdict = may_ring(facts(campaign, registries=lists), MONDAY)
        assert (verdict.rule, verdict.until) == ("registry", MONDAY + HOUR)
        assert "dialout dnc import FILE --list us-dnc" in verdict.reason
        assert open_now(campaign, [NEW_YORK], lists, MONDAY) == []
    assert open_now(campaign, [NEW_YORK], {"us-dnc": fresh}, MONDAY) == [NEW_YORK]
    assert do_not_call.checked_against(campaign, NEW_YORK, {"us-dnc": fresh}) == "list us-dnc as of 2026-10-23"


def test_max_attempts_is_the_last_but_for_a_call_back(lawful: Campaign) -> None:
    assert rule(facts(lawful, made=3)) == "attempts"
    assert rule(facts(lawful, made=3, asked_back=True)) == ""
    assert rule(facts(lawful, made=4, asked_back=True)) == "attempts"


def test_a_number_is_not_rung_a_fourth_time_in_24_hours_but_right_after_them(lawful: Campaign) -> None:
    rung = [MONDAY - 23 * HOUR, MONDAY - 2 * HOUR, MONDAY - HOUR]
    verdict = may_ring(facts(lawful, rung=rung), MONDAY)
    assert (verdict.rule, verdict.until) == ("number_limit", MONDAY + HOUR)
    assert rule(facts(lawful, rung=rung), MONDAY + HOUR) == ""


def test_an_unknown_zone_is_refused_and_not_guessed(reminder: Campaign) -> None:
    verdict = may_ring(Facts(reminder, PHONE, Place()), MONDAY)
    assert (verdict.allowed, verdict.rule, verdict.until) == (False, "zone_unknown", None)


def test_nobody_is_rung_more_often_than_the_campaign_says(reminder: Campaign) -> None:
    assert may_ring(Facts(reminder, PHONE, NEW_YORK, made=2), MONDAY).allowed
    assert may_ring(Facts(reminder, PHONE, NEW_YORK, made=3), MONDAY).rule == "attempts"


@pytest.mark.parametrize(
    ("at", "place", "purpose", "named"),
    [
        (datetime(2026, 11, 24, 0, 59, tzinfo=UTC), NEW_YORK, "informational", ""),
        (datetime(2026, 11, 24, 1, 0, tzinfo=UTC), NEW_YORK, "informational", "calling_window"),
        (datetime(2026, 11, 22, 18, 0, tzinfo=UTC), NEW_YORK, "informational", "calling_window"),  # a Sunday
        (datetime(2026, 11, 26, 18, 0, tzinfo=UTC), NEW_YORK, "informational", "holiday"),  # Thanksgiving
        (datetime(2026, 12, 24, 18, 0, tzinfo=UTC), NEW_YORK, "informational", "blackout"),
        (MONDAY, Place(("America/New_York",), ("US-RI",)), "marketing", ""),
        (MONDAY + 6 * HOUR, Place(("America/New_York",), ("US-RI",)), "marketing", "legal_hours"),  # 19:00
        (MONDAY + 6 * HOUR, Place(("America/New_York",), ("US-RI",)), "informational", ""),
        (MONDAY, Place(), "informational", "zone_unknown"),
    ],
)
def test_each_rule_about_the_time_has_its_name(
    lawful: Campaign, at: datetime, place: Place, purpose: str, named: str
) -> None:
    campaign = lawful.model_copy(update={"purpose": purpose})
    lists = {"us-dnc": Registry(at.date())}
    assert rule(facts(campaign, place=place, registries=lists), at) == named


def test_a_law_with_holidays_holds_although_the_campaign_keeps_none(selling: Campaign) -> None:
    window = selling.calling_window.model_copy(update={"holidays": False})
    campaign = selling.model_copy(update={"calling_window": window})
    thanksgiving, lists = datetime(2026, 11, 26, 18, 0, tzinfo=UTC), {"us-dnc": Registry(date(2026, 11, 20))}
    louisiana = Place(("America/Chicago",), ("US-LA",))
    assert rule(facts(campaign, registries=lists), thanksgiving) == ""
    assert rule(facts(campaign, place=louisiana, registries=lists), thanksgiving) == "holiday"


def test_of_two_laws_the_stricter_holds_and_for_an_unknown_state_the_strictest() -> None:
    both = law_of(("US-FL", "US-RI"), "marketing")
    assert both.hours[0] == law_of(("US-RI",), "marketing").hours[0]
    assert both.hours[6] is None
    unknown = law_of(("US",), "marketing")
    assert Cap(1, 8 * HOUR) in unknown.caps
    assert unknown.closed_on_holidays_of
    assert unknown.hours[6] is None
    assert law_of(("US-NY",), "marketing").registry == "us-dnc"
    assert national_law("FR", "marketing").consent == "none"


def test_a_campaign_whose_rules_are_wider_than_the_law_does_not_start(lawful: Campaign, selling: Campaign) -> None:
    def objects(**update: object) -> str:
        return "\n".join(admission.objections(lawful.model_copy(update=update), {}, MONDAY))

    def window(start: str, end: str, **others: object) -> CallingWindow:
        return CallingWindow.model_validate({"start": start, "end": end, **others})

    assert objects() == ""
    assert "is wider than the law's 08:00 to 21:00" in objects(calling_window=window("07:59", "20:00"))
    assert "is wider than the law's 08:00 to 21:00" in objects(calling_window=window("09:00", "21:01"))
    assert objects(calling_window=window("08:00", "21:00")) == ""
    assert "no public holidays of XX are known" in objects(calling_window=window("09:00", "20:00", holidays="XX"))
    assert "more than the 3 that the law allows" in objects(retry=lawful.retry.model_copy(update={"max_per_day": 4}))
    assert "was never imported" in "\n".join(admission.objections(selling, {}, MONDAY))


# --- what the scripts of the store enforce ----------------------------------------------------------------------------------------


def test_the_fourth_attempt_in_a_day_is_refused_from_another_campaign_too(store: Store, reminder: Campaign) -> None:
    store.clock_ms = int(MONDAY.timestamp() * 1000)
    caps = (Cap(3, DAY),)
    campaigns = [reminder.model_copy(update={"name": name}) for name in ("one", "two", "three", "four")]
    answers = [begin(store, campaign, caps) for campaign in campaigns]
    assert [begun.dial for begun in answers] == [True, True, True, False]
    assert (answers[3].rule, answers[3].until) == ("number_limit", MONDAY + DAY)
    (attempt_id,) = (attempt for attempt in store.attempts.live("four"))
    case = store.attempts.case(attempt_id)
    assert case
    assert len(case.rung) == 3


def test_an_attempt_that_was_given_back_does_not_count(store: Store, reminder: Campaign) -> None:
    store.clock_ms = int(MONDAY.timestamp() * 1000)
    one, two = (reminder.model_copy(update={"name": name}) for name in ("one", "two"))
    assert begin(store, one, (Cap(1, DAY),)).dial
    case = store.attempts.case(store.attempts.live("one")[0])
    assert case
    assert store.attempts.postpone(case, "t", MONDAY + HOUR, "carrier_busy", "429")
    assert begin(store, two, (Cap(1, DAY),)).dial


def begin(store: Store, campaign: Campaign, caps: tuple[Cap, ...]) -> Begun:
    contact = Contact(PHONE, {"name": "Ada", "day": "d", "time": "t"}, 2)
    store.campaigns.define(campaign)
    store.contacts.enlist(campaign, [(contact, place_of(contact))], store.now())
    (attempt_id,) = claim(store, campaign)
    case = store.attempts.case(attempt_id)
    assert case
    quick = timedelta(microseconds=1)
    begun = store.attempts.begin(
        case, "t", lease=HOUR, first_look=HOUR, account_interval=quick, campaign_interval=quick, caps=caps, record={}
    )  # fmt: skip
    store._redis.delete("{dialout}:lines")  # the call is over: these tests ask only how often the number was rung
    return begun


scopes = st.sampled_from(["", "informational", "marketing", "campaign:one", "campaign:two"])
listings = st.lists(
    st.builds(
        Listing,
        st.sampled_from(["operator", "import"]),
        scope=scopes,
        name=st.sampled_from(["", "us-dnc", "own"]),
        expires_at=st.none() | st.integers(-3, 3).map(lambda hours: MONDAY + hours * HOUR),
    ),
    max_size=5,
)


@given(entries=listings, name=st.sampled_from(["one", "two"]), purpose=st.sampled_from(["informational", "marketing"]))
@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_scripts_and_the_rule_agree_about_every_list_of_entries(
    store: Store, reminder: Campaign, entries: list[Listing], name: str, purpose: str
) -> None:
    store._redis.flushall()
    store.clock_ms = int(MONDAY.timestamp() * 1000)
    campaign = reminder.model_copy(update={"name": name, "purpose": purpose, "brakes": Brakes()})
    store.campaigns.define(campaign)
    for listing in entries:
        store.do_not_call.add_all([PHONE], listing)
    contact = Contact(PHONE, {}, 2)
    enlisted = store.contacts.enlist(campaign, [(contact, place_of(contact))], MONDAY)
    forbidden = in_force(store.do_not_call.entries_of(PHONE), name, purpose, MONDAY) is not None
    assert forbidden == (enlisted.refused == 1)
    # No entry takes back what another forbids, except that a newer copy of a list replaces the older one.
    for listing in entries:
        if listing.name == "" and listing.covers(name, purpose, MONDAY):
            assert forbidden


def test_an_entry_for_marketing_withdraws_from_marketing_only(store: Store, reminder: Campaign) -> None:
    contact = Contact(PHONE, {"name": "Ada", "day": "d", "time": "t"}, 2)
    for purpose in ("informational", "marketing"):
        campaign = reminder.model_copy(update={"name": purpose, "purpose": purpose, "brakes": Brakes()})
        store.campaigns.define(campaign)
        store.contacts.enlist(campaign, [(contact, place_of(contact))], store.now())
    assert store.do_not_call.add(PHONE, "operator", scope="marketing")
    assert (store.reading.status("marketing").refused, store.reading.status("informational").due) == (1, 1)
    assert not store.do_not_call.holds(PHONE)
    assert store.do_not_call.add(PHONE, "asked during x#1")
    assert store.do_not_call.holds(PHONE)
    assert store.reading.status("informational").dispositions == {Disposition.DO_NOT_CALL: 1}


def test_an_operators_entry_that_holds_longer_replaces_a_shorter_one(store: Store) -> None:
    store.clock_ms = int(MONDAY.timestamp() * 1000)
    assert store.do_not_call.add(PHONE, "operator", expires_at=MONDAY + HOUR)
    assert not store.do_not_call.add(PHONE, "asked during x#1")
    assert not store.do_not_call.add(PHONE, "operator", expires_at=MONDAY + DAY)
    assert [(one.source, one.expires_at) for one in store.do_not_call.entries_of(PHONE)] == [("asked during x#1", None)]


def test_a_dial_that_asks_again_sees_a_pause_or_a_listing_that_came_meanwhile(store: Store, reminder: Campaign) -> None:
    store.clock_ms = int(MONDAY.timestamp() * 1000)
    begun = begin(store, reminder, ())
    assert begun.dial
    case = store.attempts.case(store.attempts.live(reminder.name)[0])
    assert case

    quick = timedelta(microseconds=1)

    def why() -> Rule | None:
        store.clock_ms = (store.clock_ms or 0) + 1000  # the dial misses its moment each time
        return store.attempts.begin(
            case, "t", lease=HOUR, first_look=HOUR, account_interval=quick, campaign_interval=quick, record={}
        ).rule

    assert why() is None
    store.campaigns.set_state(reminder.name, CampaignState.PAUSED)
    assert why() == "paused"
    store.campaigns.set_state(reminder.name, CampaignState.RUNNING)
    store.do_not_call.add(PHONE, "operator")
    assert why() == "do_not_call"


# --- what the operator sees ---------------------------------------------------------------------------------------------


Dialout = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dialout(server: EmbeddedRedis, store: Store, tmp_path: Path) -> Dialout:
    def run(*arguments: object, code: int = 0) -> tuple[int, str, str]:
        command = [sys.executable, "-m", "worker.cli", *map(str, arguments)]
        environment = os.environ | {"REDIS_URL": server.url, "COLUMNS": "250"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


def folder(tmp_path: Path, *, purpose: str = "informational", consent: str = "") -> Path:
    made = tmp_path / "own"
    made.mkdir()
    (made / "campaign.toml").write_text(
        f'business_name = "Harbour Dental"\ncallback_number = "+12125550100"\npurpose = "{purpose}"\n{consent}', "utf-8"
    )
    (made / "greeting.j2").write_text("This is the automated assistant of Harbour Dental.", "utf-8")
    (made / "instructions.j2").write_text("Talk.", "utf-8")
    return made


def test_a_campaign_without_consent_is_refused_at_the_door_and_rows_without_it_one_by_one(
    dialout: Dialout, store: Store, tmp_path: Path
) -> None:
    campaign, file = folder(tmp_path), tmp_path / "c.csv"
    file.write_text("phone\n+12125550111\n", "utf-8")
    assert "need consent on record" in dialout("enqueue", campaign, file, code=1)[2]
    assert store.campaigns.names() == []
    assert "need consent on record" in dialout("check", campaign, file, code=1)[2]
    file.write_text("name,phone,consent_type\nA,+12125550111,express\nB,+12125550112,\nC,2125550113,none\n", "utf-8")
    rejects = tmp_path / "rejects.csv"
    told = json.loads(dialout("enqueue", campaign, file, "--json", "--rejects", rejects)[1])
    assert (told["enlisted"], told["refused"]) == (1, 2)
    assert [error["column"] for error in told["errors"]] == ["consent_type", "consent_type"]
    assert rejects.read_text("utf-8").splitlines()[2].startswith('C,+12125550113,none,"consent_type consent is none')


def test_marketing_starts_when_the_registry_was_imported_and_its_numbers_are_not_rung(
    dialout: Dialout, store: Store, tmp_path: Path
) -> None:
    campaign = folder(
        tmp_path, purpose="marketing", consent='[consent]\nattested_by = "Ann"\nattested_at = 2026-01-01\n'
    )
    file, registry = tmp_path / "c.csv", tmp_path / "registry.txt"
    file.write_text("phone\n+12125550111\n+12125550112\n", "utf-8")
    registry.write_text("212,5550111\n+12125550199\n(212) 555-0198\nnonsense1\n", "utf-8")
    assert "us-dnc was never imported" in dialout("enqueue", campaign, file, code=1)[2]
    today = store.now().date()
    words = ("--list", "us-dnc", "--scope", "marketing", "--as-of")
    assert "lies in the future" in dialout("dnc", "import", registry, *words, today + 2 * DAY, code=1)[2]
    assert "go together" in dialout("dnc", "import", registry, "--list", "us-dnc", code=1)[2]
    out = dialout("dnc", "import", registry, *words, today, code=1)[1]
    assert "3 numbers added, 0 were listed already, 1 line refused" in out
    assert f"us-dnc  as of {today}, 3 numbers, marketing" in dialout("dnc", "lists")[1]
    told = json.loads(dialout("enqueue", campaign, file, "--json")[1])
    assert (told["enlisted"], told["do_not_call"]) == (2, 1)
    why = json.loads(dialout("why", "+12125550111", "--json")[1])
    assert why["do_not_call"][0] | {"at": 0} == {
        "at": 0, "source": "import of registry.txt", "scope": "marketing", "list": "us-dnc", "as_of": str(today),
    }  # fmt: skip
    found = json.loads(dialout("check", campaign, file, "--json")[1])
    assert found["refused_by_rule"] == {"do_not_call": 1}
    assert (found["contacts"], found["store"], found["may_start"]) == (1, True, True)
    assert found["finish"]
    assert found["cost"] is None


def test_a_long_list_is_imported_in_batches_and_withdraws_contacts_that_wait(
    dialout: Dialout, store: Store, reminder: Campaign, tmp_path: Path
) -> None:
    contact = Contact("+12125552345", {"name": "Ada", "day": "d", "time": "t"}, 2)
    store.campaigns.define(reminder)
    store.contacts.enlist(reminder, [(contact, place_of(contact))], store.now())
    file = tmp_path / "many.txt"
    file.write_text("phone\n" + "".join(f"212555{n:04d}\n" for n in range(2000, 4500)), "utf-8")
    assert "2,500 numbers added" in dialout("dnc", "import", file)[1]
    assert "2,500 were listed already" in dialout("dnc", "import", file)[1]
    assert (store.reading.status(reminder.name).refused, store.reading.status(reminder.name).due) == (1, 0)


def test_telnyx_never_rings_the_contacts_of_a_rehearsal(
    store: Store, server: EmbeddedRedis, reminder: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    contact = Contact(PHONE, {"name": "Ada", "day": "d", "time": "t"}, 2)
    store.campaigns.define(reminder)
    store.contacts.enlist(reminder, [(contact, place_of(contact))], store.now())
    (attempt_id,) = claim(store, reminder)
    for name, value in {"REDIS_URL": server.url, "TELNYX_API_KEY": "k", "BRIEF_SECRET": "s"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TELNYX_BASE_URL", raising=False)
    program = "import sys; from worker.tasks import place_call; place_call(sys.argv[1])"
    subprocess.run([sys.executable, "-c", program, attempt_id], check=True, cwd=ROOT)
    (row,) = store.reading.outcomes(reminder.name)
    assert (row["state"], row["attempts"]) == ("refused", 0)
    assert row["reason"] == Rule.REHEARSED.sentence
