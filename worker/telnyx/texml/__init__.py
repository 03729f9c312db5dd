"""The TeXML documents, which tell Telnyx what to do with a call once it is answered."""

import re
from functools import lru_cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from campaigns.call import Brief, to_parameters

# XML 1.0 cannot carry most of these characters, not even escaped; the others cannot be spoken.
_UNSPEAKABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")


class DocumentTooLong(ValueError):
    """A contact's document is too long for Telnyx. The message says by how much, and what to shorten."""


def stream_url(*, region: str, agent: str, organization: str, override: str = "") -> str:
    """Return the address of the WebSocket that the carrier opens: the agent on Pipecat Cloud, or a bot of your own."""
    if override:
        return override
    prefix = f"{region}." if region else ""
    return f"wss://{prefix}api.pipecat.daily.co/ws/telnyx?serviceHost={agent}.{organization}"


def connect_document(
    brief: Brief,
    secret: str,
    *,
    stream_url: str,
    after: str,
    document_limit: int = 4000,
    parameter_limit: int = 500,
) -> str:
    """Return the document that connects a call with the bot and hands over the brief.

    The script travels inside the document if that fits into `document_limit` characters, and else behind `brief_url`.
    Telnyx says `after` if the stream ends before the call does: the bot never came, or died. Raises DocumentTooLong.
    """
    whole = _render(stream_url, to_parameters(brief, secret, parameter_limit=parameter_limit), after)
    if len(whole) <= document_limit:
        return whole
    if not brief.brief_url:
        # Without its script and an address to fetch it from, the bot would talk as if it had never had one.
        raise DocumentTooLong(_too_long(len(whole) - document_limit, document_limit, "the brief"))
    short = brief.model_copy(update={"script": None})
    document = _render(stream_url, to_parameters(short, secret, parameter_limit=parameter_limit), after)
    if len(document) > document_limit:
        what = "the greeting and the columns that templates use"
        raise DocumentTooLong(_too_long(len(document) - document_limit, document_limit, what))
    return document


def static_document(stream_url: str) -> str:
    """Return the document that names only the agent, for a caller of whom we know nothing."""
    return _render(stream_url, {}, "")


def _too_long(excess: int, limit: int, what: str) -> str:
    return (
        f"{what}, as a document, {'is' if what == 'the brief' else 'are'} {excess:,} characters too long to travel "
        f"(it may have {limit:,}): shorten the greeting or the longest column"
    )


def _render(url: str, parameters: dict[str, str], after: str) -> str:
    said = " ".join(_UNSPEAKABLE.sub(" ", after).split())
    # Telnyx takes {{ for a variable of its own. Each brace is looked at alone, because three in a row hold two pairs.
    said = re.sub(r"\{(?=\{)", "{ ", said)
    return _template().render(stream_url=url, parameters=parameters, after=said).replace("\n", "")


def _attribute(text: str) -> Markup:
    """Escape a value for an attribute.

    Line breaks and tabs become references, or a parser would read them as spaces.
    """
    escaped = str(escape(text))
    for break_ in "\t\n\r":
        escaped = escaped.replace(break_, f"&#{ord(break_)};")
    return Markup(escaped)  # noqa: S704 - escaped two lines above


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("worker.telnyx", "texml"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["attribute"] = _attribute
    return environment.get_template("connect.xml.j2")
