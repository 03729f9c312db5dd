"""Templates: what they ask of a row, and what comes of them for one contact. Values are data and are never compiled."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

SPOKEN_LIMIT: Final = 1_000
"""Characters of a greeting or a voicemail message: about a minute of speech."""

INSTRUCTIONS_LIMIT: Final = 20_000

OURS: Final = frozenset({"campaign", "called_at"})
"""What templates may use besides columns: the campaign itself and, when someone rings back, when we rang."""

# Characters that no voice can speak and no XML can carry.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")


class RenderError(ValueError):
    """A template cannot be rendered for this contact. The message names the template and what is missing."""


_environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)


def columns_of(source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the columns that a template needs, and those that it can do without.

    It can do without a column that it only asks for by `is defined` or `| default(…)`. Raises TemplateSyntaxError.
    """
    tree = _environment.parse(source)
    used = find_undeclared_variables(tree) - OURS
    guarded: set[str] = set()
    counts: dict[str, int] = {}
    for name in tree.find_all(nodes.Name):
        counts[name.name] = counts.get(name.name, 0) + 1
    for node in (*tree.find_all(nodes.Test), *tree.find_all(nodes.Filter)):
        if node.name in {"defined", "undefined", "default", "d"} and isinstance(node.node, nodes.Name):
            guarded.add(node.node.name)
    return frozenset(used - guarded), frozenset(used & guarded)


def syntax_problem(source: str) -> str:
    """Return what is wrong with a template's syntax, with its line, or nothing."""
    try:
        columns_of(source)
    except TemplateSyntaxError as error:
        return f"line {error.lineno}: {error.message}"
    return ""


@lru_cache(maxsize=256)
def _compiled(source: str) -> Template:
    return _environment.from_string(source)


def render(name: str, source: str, values: Mapping[str, Any], *, limit: int, spoken: bool) -> str:
    """Render one template; raises RenderError. Spoken text becomes one line."""
    try:
        text = _CONTROL.sub("", _compiled(source).render(values))
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise RenderError(f"{name} cannot be rendered: {error}") from error
    text = " ".join(text.split()) if spoken else text.strip()
    if len(text) > limit:
        raise RenderError(f"{name} comes to {len(text):,} characters; at most {limit:,} can be used")
    return text
