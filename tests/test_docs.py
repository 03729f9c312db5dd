"""The documents name what exists: links lead somewhere, files are there, and one-contact.md walks the code as it is."""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
ONE_CONTACT = ROOT / "docs/one-contact.md"

LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<to>[^)\s]+)\)")
MENTION = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|toml|lua|md|yml|j2|yaml|csv))(?:::\w+)?`")
STEP = re.compile(r"^(?P<number>\d+)\. \[`(?P<name>[\w.]+)`\]\((?P<to>[^)]+)\)", re.MULTILINE)


def text_of(document: Path) -> str:
    return document.read_text("utf-8")


def anchors_of(document: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCS, ids=named)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    for link in LINK.finditer(text_of(document)):
        to, _, anchor = link["to"].partition("#")
        if "://" in to:
            continue
        target = (document.parent / to).resolve() if to else document
        assert target.exists(), f"{named(document)} links to {to}"
        if anchor:
            assert anchor in anchors_of(target), f"{named(document)} links to {link['to']}"


@pytest.mark.parametrize("document", DOCS, ids=named)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    missing = [path for path in MENTION.findall(text_of(document)) if "NAME" not in path and not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCS, ids=named)
def test_no_document_has_both_sides_of_a_merge(document: Path) -> None:
    assert re.findall(r"^(?:<{7}|={7}|>{7})( .*)?$", text_of(document), re.MULTILINE) == []


@pytest.mark.parametrize("document", DOCS, ids=named)
def test_a_document_names_only_targets_that_the_makefile_has(document: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", text_of(document))) <= targets


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda decision: decision.stem)
def test_a_decision_has_a_date_a_status_and_alternatives_and_is_in_the_index(decision: Path) -> None:
    text, number = text_of(decision), decision.name[:4]
    assert text.startswith(f"# {number}: ")
    date = re.search(r"^- Date: (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)
    assert date
    assert re.search(r"^- Status: (accepted|amended|superseded)", text, re.MULTILINE)
    assert re.search(r"^- Supersedes: ", text, re.MULTILINE)
    assert "\n## Alternatives\n" in text
    title = text.partition("\n")[0].removeprefix(f"# {number}: ")
    assert f"[{number}]({decision.name}) | {title} | {date[1]} |" in text_of(decision.parent / "README.md")


# --- one contact's way ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Footstep:
    name: str  # function, or Class.method
    file: Path

    @property
    def body(self) -> ast.AST | None:
        """The function's definition, or None if its file has none of that name."""
        found: ast.AST | None = ast.parse(text_of(self.file))
        for part in self.name.split("."):
            found = (
                next((node for node in ast.walk(found) if getattr(node, "name", "") == part), None) if found else None
            )
        return found

    def mentions(self, other: "Footstep") -> bool:
        """True if this function's code has the other's name in it."""
        name = other.name.rpartition(".")[2]
        return self.body is not None and name in {
            getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(self.body)
        }


def walk(title: str) -> list[Footstep]:
    """The numbered steps below a heading of one-contact.md."""
    section = text_of(ONE_CONTACT).partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    steps = [Footstep(step["name"], (ONE_CONTACT.parent / step["to"]).resolve()) for step in STEP.finditer(section)]
    assert steps, f"one-contact.md has no steps below {title}"
    return steps


@pytest.mark.parametrize(
    ("title", "most_calls", "most_modules"),
    [("From the contact to the POST", 6, 5), ("From the voice to the record", 3, 3)],
)
def test_one_contacts_way_is_short_and_each_step_leads_to_the_next(
    title: str, most_calls: int, most_modules: int
) -> None:
    steps = walk(title)
    assert len(steps) - 1 <= most_calls
    assert len({step.file for step in steps}) <= most_modules
    for number, step in enumerate(steps):
        assert step.body is not None, f"there is no {step.name} in {named(step.file)}"
        if number:
            assert any(before.mentions(step) for before in steps[:number]), f"no step before {step.name} speaks of it"


def test_every_function_that_one_contacts_way_names_is_in_the_file_that_it_links_to() -> None:
    for link in LINK.finditer(text_of(ONE_CONTACT)):
        name, file = link["text"].strip("`"), (ONE_CONTACT.parent / link["to"].partition("#")[0]).resolve()
        if file.suffix == ".py" and re.fullmatch(r"[A-Za-z_][\w.]*", name) and not name.endswith(".py"):
            assert Footstep(name, file).body is not None, f"there is no {name} in {named(file)}"
