import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.call import (
    Brief,
    BriefRefused,
    MessageRefused,
    Question,
    Script,
    from_parameters,
    sign_message,
    to_parameters,
    verify_message,
)

SECRET = "a secret"
NOW = 1_800_000_000
HOSTILE = [
    "</Parameter>",
    "{{ 7*7 }}",
    "{{{{",
    "a & b",
    '"quoted"',
    "'",
    "<![CDATA[",
    "שלום",
    "🦷🦷",
    "line\nbreak\ttab",
    "\\{\\",
]


def brief(greeting: str = "Hello Ada", name: str = "Ada", script: Script | None = None) -> Brief:
    return Brief(
        attempt_id="abc#1", campaign="reminder", greeting=greeting, contact={"name": name}, report_url="https://x/reports",
        brief_url="https://x/briefs/abc", issued_at=NOW, script=script,
    )  # fmt: skip


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=1500)


@given(greeting=text, name=text, instructions=text)
def test_a_brief_arrives_as_it_was_whatever_it_says(greeting: str, name: str, instructions: str) -> None:
    sent = brief(greeting, name, Script(instructions=instructions, answers=(Question(key="score", ask=greeting[:20]),)))
    sent = sent.model_copy(update={"brief_url": ""})
    wire = to_parameters(sent, SECRET)
    assert from_parameters(wire, SECRET, NOW) == sent
    assert not any("{{" in value for value in wire.values())
    assert all(len(name) + len(value) <= 500 for name, value in wire.items())


@pytest.mark.parametrize("words", HOSTILE)
def test_no_parameter_can_hold_what_telnyx_would_interpret(words: str) -> None:
    wire = to_parameters(brief(words, words), SECRET)
    assert not any("{{" in value or "\n" in value or "\t" in value for value in wire.values())
    assert from_parameters(wire, SECRET, NOW).contact["name"] == words


@pytest.mark.parametrize("name", ["greeting", "attempt_id", "contact_name", "issued_at", "report_url"])
def test_a_changed_parameter_is_noticed(name: str) -> None:
    wire = to_parameters(brief(), SECRET)
    with pytest.raises(BriefRefused, match="signature"):
        from_parameters({**wire, name: wire[name] + "1"}, SECRET, NOW)


def test_a_missing_an_added_and_a_cut_parameter_are_noticed() -> None:
    wire = to_parameters(brief("long " * 300), SECRET)
    cut = {**wire, "greeting.2": wire["greeting.2"][:-5]}
    missing = {name: value for name, value in wire.items() if name != "greeting.2"}
    for changed in (cut, missing, {**wire, "contact_age": "36"}):
        with pytest.raises(BriefRefused):
            from_parameters(changed, SECRET, NOW)


def test_another_secret_or_no_signature_is_refused() -> None:
    wire = to_parameters(brief(), SECRET)
    with pytest.raises(BriefRefused):
        from_parameters(wire, "another", NOW)
    with pytest.raises(BriefRefused):
        from_parameters({name: value for name, value in wire.items() if name != "signature"}, SECRET, NOW)


@pytest.mark.parametrize("age_s", [901, -61])
def test_a_brief_of_another_time_is_refused(age_s: int) -> None:
    with pytest.raises(BriefRefused, match="old"):
        from_parameters(to_parameters(brief(), SECRET), SECRET, NOW + age_s)


def test_a_signed_message_is_believed_once_for_its_purpose_and_for_five_minutes() -> None:
    header = sign_message(b"body", SECRET, purpose="report", now=NOW)
    verify_message(b"body", header, SECRET, purpose="report", now=NOW + 299)
    for body, purpose, now in ((b"other", "report", NOW), (b"body", "script", NOW), (b"body", "report", NOW + 301)):
        with pytest.raises(MessageRefused):
            verify_message(body, header, SECRET, purpose=purpose, now=now)


@pytest.mark.parametrize("header", ["", "t=1", "v1=00", "t=x,v1=" + "0" * 64, "t=99999999999999,v1=" + "0" * 64])
def test_a_malformed_signature_header_is_refused(header: str) -> None:
    with pytest.raises(MessageRefused):
        verify_message(b"body", header, SECRET, purpose="report", now=NOW)
