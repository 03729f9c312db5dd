"""docs/words.md is obeyed: few words, each once, and none of the names that it rules out."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_WORDS = 40
TABLE_ROW = re.compile(r"^\| \*\*(?P<word>[^*]+)\*\* \|(?P<meaning>[^|]+)\|(?P<never>[^|]*)\|$", re.MULTILINE)
ROWS = [match.groupdict() for match in TABLE_ROW.finditer((ROOT / "docs/words.md").read_text("utf-8"))]
NEVER = {name.strip() for row in ROWS for name in row["never"].split(",")} - {""}


FOLDERS = ("worker", "bot", "campaigns")


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def names_given_in(tree: ast.AST) -> Iterator[str]:
    """The names that we give; those that we only use may be a library's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def words_of(name: str) -> set[str]:
    """`_FirstLines` -> first, lines."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def test_the_page_is_read_as_the_table_that_it_is() -> None:
    assert {row["word"] for row in ROWS} >= {"campaign", "line", "turn", "outcome"}
    assert {"lead", "originate", "finalize"} <= NEVER
    assert words_of("_FirstLines_of_HTTP") == {"first", "lines", "of", "http"}


def test_there_are_few_words_and_each_has_one_meaning() -> None:
    words = [row["word"] for row in ROWS]
    assert len(words) <= MOST_WORDS
    assert len(set(words)) == len(words)
    assert not NEVER & set(words)


def test_nothing_is_named_with_a_word_that_the_page_rules_out() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for folder in FOLDERS
        for path in sources(folder)
        for name in [path.stem, *names_given_in(ast.parse(path.read_text("utf-8")))]
        if words_of(name) & NEVER
    ]
    assert found == []


def test_every_word_of_the_page_stands_in_a_name_of_the_code() -> None:
    names = {
        "_".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)).lower()
        for folder in FOLDERS
        for path in sources(folder)
        for name in [path.stem, *names_given_in(ast.parse(path.read_text("utf-8")))]
    }
    words = {row["word"]: re.sub(r"[ -]", "_", row["word"].lower()) for row in ROWS}
    unused = [
        word
        for word, name in words.items()
        if not any(re.search(rf"(^|_){name}(s|d|ed)?(_|$)", given) for given in names)
    ]
    assert unused == []


def test_the_dialer_has_departures_and_no_turns() -> None:
    """Only talks have turns: the dialer reads those of a report, and has no function or script that is named for them."""
    functions = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in sources("worker")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and words_of(node.name) & {"turn", "turns"}
    ]
    scripts = [path.name for path in (ROOT / "worker").rglob("*.lua") if words_of(path.stem) & {"turn", "turns"}]
    assert functions + scripts == []
