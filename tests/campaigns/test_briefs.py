"""What a campaign's brief tells the bot: about a contact who is called, one who rings back, and a stranger."""

from datetime import time
from pathlib import Path

import pytest
from samples import ADA, ADDRESSED, ROOT, ZONES, change

from campaigns.call import Brief, Direction, Hours, Listening
from campaigns.campaign import load_campaign
from campaigns.contacts import Contact
from campaigns.templates import RenderError


def brief_of(folder: Path) -> Brief:
    return load_campaign(folder).brief(ADA, ZONES, **ADDRESSED)


def test_a_brief_holds_only_the_columns_that_templates_use(folder: Path) -> None:
    columns = {"name": "Ada", "day": "Tuesday", "time": "nine", "iban": "GB33 BUKB", "dentist": "Dr. Chen"}
    brief = load_campaign(folder).brief(Contact("+12125550111", columns, 2), ZONES, **ADDRESSED)
    assert brief.contact == {"name": "Ada", "day": "Tuesday", "time": "nine", "dentist": "Dr. Chen"}


@pytest.mark.parametrize("name", ["{{ 7*7 }}", "{% for x in y %}", "{{ campaign.__class__ }}", "</Parameter>"])
def test_the_value_of_a_column_is_never_compiled(folder: Path, name: str) -> None:
    columns = {"name": name, "day": "Tuesday", "time": "nine"}
    contact = Contact("+12125550111", columns, 2)
    brief = load_campaign(folder).brief(contact, ZONES, **ADDRESSED)
    assert f"Hello {name}," in brief.greeting


def test_a_greeting_that_never_ends_is_refused_for_its_contact(folder: Path) -> None:
    columns = {"name": "x" * 10_000, "day": "Tuesday", "time": "nine"}
    with pytest.raises(RenderError, match=r"greeting\.j2 has 10,"):
        load_campaign(folder).brief(Contact("+12125550111", columns, 2), ZONES, **ADDRESSED)


def test_a_template_cannot_reach_python(folder: Path) -> None:
    change(folder, "{{ name }}", "{{ name.__class__.__mro__ }}", "greeting.j2")
    columns = {"name": "Ada", "day": "Tuesday", "time": "nine"}
    with pytest.raises(RenderError):
        load_campaign(folder).brief(Contact("+12125550111", columns, 2), ZONES, **ADDRESSED)


def test_a_brief_says_what_the_bot_may_do_how_it_listens_and_when_the_contact_may_be_called_again(folder: Path) -> None:
    change(folder, 'menus = "hang_up"', 'menus = "press_keys"')
    change(folder, "patience_s = 5", "patience_s = 7.5")
    change(folder, "[calling_window]", "[listening.options]\nnumerals = true\n[calling_window]")
    change(folder, "options = {}                            # passed to Deepgram", "#")
    brief = brief_of(folder)
    assert brief.listening == Listening(patience_s=7.5, keyterms=("Harbour Dental",), options={"numerals": True})
    script = brief.script
    assert script
    assert (script.menus, script.transfers) == ("press_keys", {"front_desk": "+12125550109"})
    assert script.hours == Hours(zone=ZONES[0], start=time(9), end=time(20), weekdays=(0, 1, 2, 3, 4, 5))
    assert "Harbour Dental" in script.screening
    assert script.time_limit_s == 280, "goodbye is said before the carrier cuts"


def test_the_shortest_time_limit_leaves_time_to_talk(folder: Path) -> None:
    change(folder, "time_limit_s = 300", "time_limit_s = 30")
    script = brief_of(folder).script
    assert script
    assert script.time_limit_s == 20


def test_without_a_known_time_zone_a_brief_names_no_hours(folder: Path) -> None:
    script = load_campaign(folder).brief(ADA, (), **ADDRESSED).script
    assert script
    assert script.hours is None


def test_a_call_that_is_recorded_says_so_in_every_greeting(folder: Path) -> None:
    change(folder, "record = false", "record = true")
    campaign = load_campaign(folder)
    briefs = [
        campaign.brief(ADA, ZONES, **ADDRESSED),
        campaign.inbound_brief(ADA, ZONES, called_at="2 PM", **ADDRESSED),
        campaign.unknown_brief(**ADDRESSED),
    ]
    assert [brief.greeting.endswith("? This call is recorded.") for brief in briefs] == [True] * 3


def test_a_greeting_that_says_the_notice_itself_says_it_once(folder: Path) -> None:
    change(folder, "record = false", "record = true")
    change(folder, 'record_notice = ""', 'record_notice = "We  record this."')
    change(folder, "Will you", "{{ campaign.record_notice }} Will you", "greeting.j2")
    greeting = brief_of(folder).greeting
    assert greeting.count("We record this.") == 1
    assert greeting.endswith("nine?")


def test_without_recording_no_greeting_mentions_it(folder: Path) -> None:
    change(folder, 'record_notice = ""', 'record_notice = "We record this."')
    assert "record" not in brief_of(folder).greeting


def test_a_stranger_hears_who_we_are_and_is_asked_no_questions(folder: Path) -> None:
    survey = load_campaign(ROOT / "campaigns" / "patient_survey")
    for campaign in (load_campaign(folder), survey):
        brief = campaign.unknown_brief(**ADDRESSED)
        assert (brief.direction, brief.contact) == (Direction.INBOUND, {})
        assert "Harbour Dental" in brief.greeting
        assert brief.script
        assert (brief.script.answers, brief.script.hours) == ((), None)
        assert brief.script.transfers == campaign.transfers
        assert "{{" not in brief.script.instructions
