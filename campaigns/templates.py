"""Templates: what a campaign says, which columns that needs, and the text for one contact.

A contact's values are data: they are never compiled as templates.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from jinja2 import Environment, Template

SPOKEN_LIMIT: Final = 1_000
"""Characters of a greeting or a voicemail message: about a minute of speech."""

INSTRUCTIONS_LIMIT: Final = 20_000

OURS: Final = frozenset({"campaign", "called_at"})
"""What templates may use besides columns: the campaign and, for a person who rings back, the time of our call."""

# Characters that no voice can speak and that XML cannot hold.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")


class RenderError(ValueError):
    """A template cannot be rendered for this contact. The message names the template and the reason."""


class Templates(BaseModel):
    """The texts of a campaign's templates. An English campaign needs no file for those that have a default here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    greeting: str
    instructions: str
    voicemail: str = ""
    screening: str = (
        "This is the automated assistant of {{ campaign.business_name }}, with a call for the person at this number."
    )
    inbound_greeting: str = (
        "Hello, this is the automated assistant of {{ campaign.business_name }}. Thank you for calling back. "
        "How can I help you?"
    )
    inbound_instructions: str = "The person rings back after we called them. Help with what the call was about.\n"
    unknown_greeting: str = (
        "Hello, this is the automated assistant of {{ campaign.business_name }}. How can I help you?"
    )
    unknown_instructions: str = """\
Someone rings {{ campaign.business_name }} whom we never called: you know neither who they are nor what it is about.

- Ask how you can help. You can say who we are, and that you are an automated assistant; do not guess at anything else.
- If they want a person and the call can be handed over, hand it over. If not, say that you cannot help with it here.
- If they want no calls from us, see to it that they get none, and tell them so.
- Then thank them, say goodbye, and end the call as completed.
"""

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts of all templates, in the order of the fields."""
        return tuple(self.model_dump().values())


@cache
def _environment() -> "Environment":
    # Jinja2 takes 50 ms to import, and most commands read a campaign without rendering anything.
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)


def columns_of(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the columns that a template needs, and the optional ones. Raises TemplateSyntaxError.

    A column is optional if the template also asks for it by `is defined` or `| default(…)`.
    """
    from jinja2 import nodes

    tree = _environment().parse(source)
    used = variables_of(source) - OURS
    guarded: set[str] = set()
    counts: dict[str, int] = {}
    for name in tree.find_all(nodes.Name):
        counts[name.name] = counts.get(name.name, 0) + 1
    for node in (*tree.find_all(nodes.Test), *tree.find_all(nodes.Filter)):
        if node.name in {"defined", "undefined", "default", "d"} and isinstance(node.node, nodes.Name):
            guarded.add(node.node.name)
    return frozenset(used - guarded), frozenset(used & guarded)


def variables_of(source: str) -> frozenset[str]:
    """Return every name that a template uses but does not set: columns and the names of OURS. Raises TemplateSyntaxError."""
    from jinja2.meta import find_undeclared_variables

    return frozenset(find_undeclared_variables(_environment().parse(source)))


def syntax_problem(source: str) -> str:
    """Return what is wrong with a template's syntax, and on which line; empty if nothing is."""
    from jinja2 import TemplateSyntaxError

    try:
        columns_of(source)
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    return ""


@lru_cache(maxsize=256)
def _compiled(source: str) -> "Template":
    return _environment().from_string(source)


def render(name: str, source: str, values: Mapping[str, Any], *, limit: int, spoken: bool) -> str:
    """Render one template; raises RenderError. In spoken text, line breaks become spaces."""
    from jinja2 import TemplateError

    try:
        text = _CONTROL.sub("", _compiled(source).render(values))
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise RenderError(f"{name} cannot be rendered: {error}") from error
    text = " ".join(text.split()) if spoken else text.strip()
    if len(text) > limit:
        raise RenderError(f"{name} has {len(text):,} characters for this contact; at most {limit:,} are possible")
    return text
