import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel
from samples import ADDRESSED, ROOT, change

from campaigns.call import Disposition, Listening, Model, Question, Voice
from campaigns.campaign import Campaign, CampaignError, load_campaign
from campaigns.contacts import Contact, RowError, read_contacts
from campaigns.places import place_of
from campaigns.templates import Templates

SAMPLES = sorted(path.parent for path in (ROOT / "campaigns").glob("*/campaign.toml"))


def refusal(folder: Path) -> str:
    with pytest.raises(CampaignError) as caught:
        load_campaign(folder)
    return str(caught.value)


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
        brief = campaign.brief(contact, place_of(contact).zones, **ADDRESSED)
        assert campaign.business_name in brief.greeting
        assert contact.columns["name"] in brief.greeting
        assert brief.script
        assert campaign.business_name in brief.script.screening
        assert contact.columns["name"] not in brief.script.screening
        campaign.inbound_brief(contact, place_of(contact).zones, called_at="2 PM", **ADDRESSED)


@pytest.mark.parametrize("folder", SAMPLES, ids=lambda path: path.name)
def test_a_campaign_survives_being_kept_as_json(folder: Path) -> None:
    campaign = load_campaign(folder)
    kept = Campaign.model_validate_json(campaign.model_dump_json())
    assert kept == campaign
    assert kept.version == campaign.version


def test_an_unknown_key_is_named_with_the_nearest_known_one(folder: Path) -> None:
    change(folder, "ring_timeout_s", "ring_timeout")
    assert "call.ring_timeout: there is no such key; did you mean ring_timeout_s?" in refusal(folder)


def test_a_missing_key_is_named(folder: Path) -> None:
    change(folder, 'purpose = "informational"', "")
    assert "campaign.toml: purpose: this key is missing" in refusal(folder)


def test_bad_toml_is_reported_with_its_line(folder: Path) -> None:
    change(folder, 'language = "en"', "language = en")
    assert "line 7" in refusal(folder)


def test_a_template_with_a_broken_tag_is_reported_with_its_line(folder: Path) -> None:
    (folder / "greeting.j2").write_text("Hello\n{{ name }", "utf-8")
    assert "greeting.j2: line 2" in refusal(folder)


def test_a_missing_template_is_reported(folder: Path) -> None:
    (folder / "instructions.j2").unlink()
    assert "instructions.j2: this template is missing" in refusal(folder)


def test_a_greeting_must_name_the_business(folder: Path) -> None:
    (folder / "greeting.j2").write_text("Hello {{ name }}, this is an automated call.", "utf-8")
    assert "must name the business" in refusal(folder)


def test_a_greeting_must_say_that_no_human_speaks(folder: Path) -> None:
    (folder / "greeting.j2").write_text("Hello {{ name }}, Harbour Dental here.", "utf-8")
    assert "automated call" in refusal(folder)


@pytest.mark.parametrize("name", ["greeting", "screening", "inbound_greeting", "unknown_greeting"])
def test_all_first_words_must_name_the_business_and_say_that_no_human_speaks(folder: Path, name: str) -> None:
    (folder / f"{name}.j2").write_text("Hello, how are you?", "utf-8")
    assert (folder / f"{name}.j2").as_posix() in refusal(folder)
    business, automated = refusal(folder).splitlines()
    assert "must name the business" in business
    assert "automated call" in automated


@pytest.mark.parametrize("name", ["unknown_greeting", "unknown_instructions"])
@pytest.mark.parametrize("word", ["name", "called_at"])
def test_the_templates_for_strangers_may_use_no_columns(folder: Path, name: str, word: str) -> None:
    text = f"Hello {{{{ {word} }}}}, this is the automated assistant of Harbour Dental."
    (folder / f"{name}.j2").write_text(text, "utf-8")
    assert (
        f"{name}.j2: we know nothing about this caller, so the template may use only campaign, not {word}"
        in refusal(folder)
    )


def test_a_greeting_for_strangers_that_cannot_be_rendered_is_reported_at_once(folder: Path) -> None:
    (folder / "unknown_greeting.j2").write_text("An automated voice of Harbour Dental {{ campaign.nam }}.", "utf-8")
    assert "unknown_greeting.j2 cannot be rendered" in refusal(folder)


def test_a_campaign_in_another_language_needs_every_spoken_template(folder: Path) -> None:
    change(folder, 'language = "en"', 'language = "de"')
    for name in ("screening", "inbound_greeting", "unknown_greeting"):
        (folder / f"{name}.j2").unlink()
    told = refusal(folder)
    for name in ("screening", "inbound_greeting", "unknown_greeting"):
        assert f"{name}.j2: this template is missing, and its default is English: write it in 'de'" in told
    assert "greeting.j2: the first words must say that this is an automated call" in told


def test_a_campaign_that_an_older_version_enlisted_goes_on_whatever_folders_must_have_now(folder: Path) -> None:
    campaign = load_campaign(folder)
    old = campaign.templates.model_dump() | {"greeting": "Hello?"}
    for name in ("screening", "unknown_greeting", "unknown_instructions"):
        del old[name]
    kept = campaign.model_dump(mode="json", exclude={"listening", "transfers"}) | {"templates": old}
    assert Campaign.model_validate(kept).templates.screening == Templates.model_fields["screening"].default


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


def test_each_dispositions_delays_are_used_in_turn(folder: Path) -> None:
    retry = load_campaign(folder).retry
    assert retry.delay_after(Disposition.NO_ANSWER, 1) == timedelta(hours=1)
    assert retry.delay_after(Disposition.NO_ANSWER, 2) == timedelta(hours=4)
    assert retry.delay_after(Disposition.NO_ANSWER, 3) is None
    assert retry.delay_after(Disposition.COMPLETED, 1) is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('front_desk = "555-0109"', "transfers.front_desk: write the number with +"),
        ('Front-Desk = "+12125550109"', "transfers.Front-Desk: name it with a-z, 0-9 and _"),
    ],
)
def test_a_bad_transfer_is_named(folder: Path, line: str, told: str) -> None:
    change(folder, 'front_desk = "+12125550109"', line)
    assert told in refusal(folder)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("patience_s", "patience", "listening.patience: there is no such key; did you mean patience_s?"),
        ("volume", "volum", "voice.volum: there is no such key; did you mean volume?"),
        ("temperature", "temprature", "model.temprature: there is no such key; did you mean temperature?"),
        ('menus = "hang_up"', 'menus = "press"', "call.menus: input should be 'hang_up' or 'press_keys'"),
        ("speed = 1.0", 'language = "fr"', "voice.language: the voice speaks the campaign's language"),
    ],
)
def test_a_bad_key_of_any_table_is_named(folder: Path, old: str, new: str, told: str) -> None:
    change(folder, old, new)
    assert told in refusal(folder)


def test_a_recording_notice_must_be_written_for_a_language_that_we_have_none_for(folder: Path) -> None:
    change(folder, 'language = "en"', 'language = "fr"')
    change(folder, "record = false", "record = true")
    assert "call.record_notice: say in 'fr' that the call is recorded" in refusal(folder)


def test_the_first_sample_shows_every_key_once_and_with_a_comment() -> None:
    text = (ROOT / "campaigns" / "appointment_reminder" / "campaign.toml").read_text("utf-8")
    shown = tomllib.loads(text)

    def missing(model: type[BaseModel], table: dict[str, object]) -> set[str]:
        return set(model.model_fields) - set(table)

    assert missing(Campaign, shown) == {"name", "templates", "answers", "rehearsed"}
    assert missing(Voice, shown["voice"]) == {"language"}
    for name, model in (("model", Model), ("listening", Listening)):
        assert missing(model, shown[name]) == set()
    for name in ("call", "pacing", "retry", "calling_window", "consent"):
        field = Campaign.model_fields[name].annotation
        assert isinstance(field, type)
        assert issubclass(field, BaseModel)
        assert missing(field, shown[name]) == set()
    survey = tomllib.loads((ROOT / "campaigns" / "patient_survey" / "campaign.toml").read_text("utf-8"))
    questions = set[str]().union(*(set(question) for question in survey["answers"].values()))
    assert set(Question.model_fields) - questions == {"key", "choices"}
