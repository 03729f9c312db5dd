import pytest
from defusedxml.ElementTree import fromstring
from hypothesis import given
from hypothesis import strategies as st

from campaigns.call import Brief, Script, from_parameters
from worker.telnyx.texml import DocumentTooLong, connect_document, static_document, stream_url

SECRET = "secret"
URL = "wss://eu.example/ws?a=b&c=d"
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def brief(greeting: str, instructions: str = "i") -> Brief:
    return Brief(
        attempt_id="a#1", campaign="c", greeting=greeting, contact={"name": greeting}, report_url="https://x/r",
        brief_url="https://x/b", issued_at=1000, script=Script(instructions=instructions),
    )  # fmt: skip


def parameters(document: str) -> dict[str, str]:
    return {p.get("name", ""): p.get("value", "") for p in fromstring(document).iter("Parameter")}


@given(greeting=text, after=text)
def test_whatever_a_contact_is_called_arrives_and_is_never_markup_or_a_variable(greeting: str, after: str) -> None:
    document = connect_document(brief(greeting), SECRET, stream_url=URL, after=after)
    assert "{{" not in document
    root = fromstring(document)
    assert [verb.tag for verb in root] in (["Connect", "Say", "Hangup"], ["Connect", "Hangup"])
    stream = root.find("Connect/Stream")
    assert stream is not None
    assert (stream.get("url"), stream.get("bidirectionalMode")) == (URL, "rtp")
    assert from_parameters(parameters(document), SECRET, 1000).contact["name"] == greeting


def test_a_long_script_travels_by_url_and_a_short_one_inline() -> None:
    short = from_parameters(parameters(connect_document(brief("Hi"), SECRET, stream_url=URL, after="")), SECRET, 1000)
    assert short.script
    document = connect_document(brief("Hi", "x" * 5000), SECRET, stream_url=URL, after="")
    long = from_parameters(parameters(document), SECRET, 1000)
    assert (long.script, long.brief_url) == (None, "https://x/b")
    assert len(document) <= 4000


def test_a_greeting_that_cannot_travel_is_refused_with_how_much_too_long_it_is() -> None:
    with pytest.raises(DocumentTooLong, match="characters too long to travel"):
        connect_document(brief("x" * 3000), SECRET, stream_url=URL, after="")


def test_a_document_of_a_caller_that_nobody_knows_names_only_the_agent() -> None:
    document = static_document(URL)
    assert parameters(document) == {}
    assert fromstring(document).find("Connect/Stream") is not None


def test_the_stream_targets_the_agents_region() -> None:
    assert stream_url(region="eu-central", agent="dial", organization="org") == (
        "wss://eu-central.api.pipecat.daily.co/ws/telnyx?serviceHost=dial.org"
    )
    assert stream_url(region="", agent="dial", organization="org").startswith("wss://api.pipecat.daily.co/")
    assert stream_url(region="", agent="", organization="", override="ws://mine") == "ws://mine"
