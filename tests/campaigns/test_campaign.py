import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from campaigns.call import Disposition
from campaigns.campaign import Campaign, CampaignError, load_campaign
from campaigns.contacts import Contact, RowError, read_contacts
from campaigns.templates import RenderError

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(path.parent for path in (ROOT / "campaigns").glob("*/campaign.toml"))
NOW = datetime(2026, 11, 23, 18, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "campaigns" / "appointment_reminder", tmp_path / "reminder"))


def refusal(folder: Path) -> str:
    with pytest.raises(CampaignError) as caught:
        load_campaign(folder)
    return str(caught.value)


def change(folder: Path, old: str, new: str, file: str = "campaign.toml") -> None:
    path = folder / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")


def test_there_are_three_samples_of_different_kinds() -> None:
    assert len(SAMPLES) == 3
    loaded = [load_campaign(folder) for folder in SAMPLES]
    assert {campaign.purpose for campaign in loaded} == {"informational", "marketing"}
    assert any(campaign.answers for campaign in loaded)


@pytest.mark.parametrize("folder", SAMPLES, ids=lambda path: path.name)
def test_each_sample_has_good_rows_and_bad_ones_and_greets_everybody(folder: Path) -> None:
    campaign = load_campaign(folder)
    with (folder / "contacts.csv").open("rb") as file:
        rows = list(read_contacts(file, campaign))
    contacts = [row for row in rows if isinstance(row, Contact)]
    assert len(rows) >= 20
    assert len([row for row in rows if isinstance(row, RowError)]) >= 4
    for contact in contacts:
        brief = campaign.brief(contact, attempt_id="x#1", report_url="r", brief_url="b", now=NOW)
        assert campaign.business_name in brief.greeting
        assert contact.columns["name"] in brief.greeting
        campaign.inbound_brief(contact, attempt_id="x", report_url="r", brief_url="b", now=NOW, called_at="2 PM")


@pytest.mark.parametrize("folder", SAMPLES, ids=lambda path: path.name)
def test_a_campaign_survives_being_kept_as_json(folder: Path) -> None:
    campaign = load_campaign(folder)
    kept = Campaign.model_validate_json(campaign.model_dump_json())
    assert kept == campaign
    assert kept.version == campaign.version


def test_an_unknown_key_is_named_with_the_one_that_was_meant(folder: Path) -> None:
    change(folder, "ring_timeout_s", "ring_timeout")
    assert "call.ring_timeout: there is no such key; did you mean ring_timeout_s?" in refusal(folder)


def test_a_missing_key_is_named(folder: Path) -> None:
    change(folder, 'purpose = "informational"', "")
    assert "campaign.toml: purpose: this key is missing" in refusal(folder)


def test_bad_toml_is_told_with_its_line(folder: Path) -> None:
    change(folder, 'language = "en"', "language = en")
    assert "line 7" in refusal(folder)


def test_a_template_with_a_broken_tag_is_told_with_its_line(folder: Path) -> None:
    (folder / "greeting.j2").write_text("Hello\n{{ name }", "utf-8")
    assert "greeting.j2: line 2" in refusal(folder)


def test_a_missing_template_is_told(folder: Path) -> None:
    (folder / "instructions.j2").unlink()
    assert "instructions.j2: this template is missing" in refusal(folder)


def test_a_greeting_must_name_the_business(folder: Path) -> None:
    (folder / "greeting.j2").write_text("Hello {{ name }}, this is an automated call.", "utf-8")
    assert "must name the business" in refusal(folder)


def test_a_greeting_must_say_that_nobody_human_speaks(folder: Path) -> None:
    (folder / "greeting.j2").write_text("Hello {{ name }}, Harbour Dental here.", "utf-8")
    assert "automated call" in refusal(folder)


def test_a_voicemail_must_say_where_to_call_back(folder: Path) -> None:
    (folder / "voicemail.j2").write_text("This is Harbour Dental. Bye.", "utf-8")
    assert "number to call back" in refusal(folder)


def test_a_window_that_never_opens_is_refused(folder: Path) -> None:
    change(folder, "start = 09:00:00", "start = 21:00:00")
    assert "must be before end" in refusal(folder)


def test_a_misspelt_duration_is_refused(folder: Path) -> None:
    change(folder, '["1h", "4h"]', '["1 hour"]')
    assert "write a number and a unit" in refusal(folder)


def test_the_columns_are_those_that_the_templates_use(folder: Path) -> None:
    campaign = load_campaign(folder)
    assert campaign.required_columns == {"name", "day", "time"}
    assert campaign.columns == {"name", "day", "time", "dentist"}


def test_a_brief_tells_only_the_columns_that_templates_use(folder: Path) -> None:
    columns = {"name": "Ada", "day": "Tuesday", "time": "nine", "iban": "GB33 BUKB", "dentist": "Dr. Chen"}
    brief = load_campaign(folder).brief(
        Contact("+12125550111", columns, 2), attempt_id="x#1", report_url="r", brief_url="b", now=NOW
    )
    assert brief.contact == {"name": "Ada", "day": "Tuesday", "time": "nine", "dentist": "Dr. Chen"}


@pytest.mark.parametrize("name", ["{{ 7*7 }}", "{% for x in y %}", "{{ campaign.__class__ }}", "</Parameter>"])
def test_a_columns_value_is_never_compiled(folder: Path, name: str) -> None:
    columns = {"name": name, "day": "Tuesday", "time": "nine"}
    contact = Contact("+12125550111", columns, 2)
    brief = load_campaign(folder).brief(contact, attempt_id="x#1", report_url="r", brief_url="b", now=NOW)
    assert f"Hello {name}," in brief.greeting


def test_a_greeting_that_never_ends_is_refused_for_its_contact(folder: Path) -> None:
    columns = {"name": "x" * 10_000, "day": "Tuesday", "time": "nine"}
    with pytest.raises(RenderError, match=r"greeting\.j2 comes to 10,"):
        load_campaign(folder).brief(
            Contact("+12125550111", columns, 2), attempt_id="x#1", report_url="r", brief_url="b", now=NOW
        )


def test_a_template_cannot_reach_python(folder: Path) -> None:
    change(folder, "{{ name }}", "{{ name.__class__.__mro__ }}", "greeting.j2")
    columns = {"name": "Ada", "day": "Tuesday", "time": "nine"}
    with pytest.raises(RenderError):
        load_campaign(folder).brief(
            Contact("+12125550111", columns, 2), attempt_id="x#1", report_url="r", brief_url="b", now=NOW
        )


def test_each_dispositions_delays_are_used_in_turn(folder: Path) -> None:
    retry = load_campaign(folder).retry
    assert retry.delay_after(Disposition.NO_ANSWER, 1) == timedelta(hours=1)
    assert retry.delay_after(Disposition.NO_ANSWER, 2) == timedelta(hours=4)
    assert retry.delay_after(Disposition.NO_ANSWER, 3) is None
    assert retry.delay_after(Disposition.COMPLETED, 1) is None
