"""What a contact is called, or a campaign says, must not reach Telnyx as markup or as a variable of its templates."""

import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import example, given
from hypothesis import strategies as st

from campaigns.call import Brief, Question, Script, from_parameters, to_parameters
from worker.telnyx.texml import DocumentTooLong, connect_document

SECRET = "secret"
URL = "wss://x.example/ws?serviceHost=a.b&c=d"
# A fixed alphabet of what XML, JSON, Jinja and Mustache each mind: Hypothesis's own begins with seconds of tables.
HOSTILE = "{}[]<>&;#\"'/\\%\n\r\t\x00\x08\x1b\x7f\x85\xa0\u2028\u2029\ufeff\ufffd\ufffe\uffff é😀\U0010ffff a0n"
hostile = st.text(HOSTILE, max_size=60)
cut = st.text(HOSTILE, max_size=20).map(lambda text: f"{text}\ud83d{text}")  # an emoji cut in half


def brief(words: str, columns: dict[str, str], brief_url: str = "https://x/b") -> Brief:
    script = Script(instructions=words, voicemail=words, answers=(Question(key="a", ask=words),))
    return Brief(
        attempt_id="a#1", campaign="c", greeting=words, contact=columns, report_url="https://x/r",
        brief_url=brief_url, issued_at=1000, script=script,
    )  # fmt: skip


def parameters(document: str) -> dict[str, str]:
    return {p.get("name", ""): p.get("value", "") for p in fromstring(document).iter("Parameter")}


@given(words=hostile, value=hostile | cut, after=hostile | cut, limit=st.integers(100, 600))
@example(words="{{{x}}}", value="{{{{", after="{{{{{ call }}", limit=100)
def test_a_parser_reads_back_exactly_the_signed_parameters(words: str, value: str, after: str, limit: int) -> None:
    told = brief(words, {"name": value})
    document = connect_document(told, SECRET, stream_url=URL, after=after, document_limit=40_000, parameter_limit=limit)
    assert "{{" not in document
    assert not {c for c in document if ord(c) < 0x20}
    assert parameters(document) == to_parameters(told, SECRET, parameter_limit=limit)
    back = from_parameters(parameters(document), SECRET, 1000)
    assert back.script == told.script
    assert (back.greeting, back.contact) == (words, {"name": value})


@pytest.mark.parametrize("after", ["a {{CallSid}}", "{{{x}}}", "{{{{{{"])
def test_what_is_said_at_the_end_is_no_variable_of_telnyxs(after: str) -> None:
    document = connect_document(brief("Hi", {}), SECRET, stream_url=URL, after=after)
    assert "{{" not in document
    assert (fromstring(document).findtext("Say") or "").replace(" ", "") == after.replace(" ", "")


def test_what_is_said_at_the_end_keeps_its_words_apart() -> None:
    document = connect_document(brief("Hi", {}), SECRET, stream_url=URL, after="Harbour\nDental\t\x85called.\x00")
    assert fromstring(document).findtext("Say") == "Harbour Dental called."


@pytest.mark.parametrize("after", ["", "  \n", "\x00"])
def test_nothing_to_say_is_no_say(after: str) -> None:
    document = connect_document(brief("Hi", {}), SECRET, stream_url=URL, after=after)
    assert [verb.tag for verb in fromstring(document)] == ["Connect", "Hangup"]


def test_a_script_that_does_not_fit_is_never_dropped_for_want_of_a_place_to_fetch_it_from() -> None:
    with pytest.raises(DocumentTooLong, match=r"the brief, as a document, is .* characters too long"):
        connect_document(brief("x" * 2000, {}, brief_url=""), SECRET, stream_url=URL, after="")


def test_the_limit_is_kept_to_the_character() -> None:
    told = brief("Hi", {})
    size = len(connect_document(told, SECRET, stream_url=URL, after=""))
    assert from_parameters(
        parameters(connect_document(told, SECRET, stream_url=URL, after="", document_limit=size)), SECRET, 1000
    ).script
    shorter = connect_document(told, SECRET, stream_url=URL, after="", document_limit=size - 1)
    assert from_parameters(parameters(shorter), SECRET, 1000).script is None
