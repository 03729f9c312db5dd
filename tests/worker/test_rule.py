"""The enum of rules against all that speaks of rules: the store's scripts, the documents, and the moments to ask again."""

import ast
import re
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest

from campaigns.campaign import Campaign
from campaigns.places import Place
from worker import rules
from worker.rules.brakes import Brake
from worker.rules.rule import Again, Rule, Then, Where
from worker.rules.states import CampaignState
from worker.rules.timing import SOON
from worker.rules.verdict import asked_again

ROOT = Path(__file__).parents[2]
NEW_YORK = Place(("America/New_York",), ("US-NY",))
MONDAY = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)  # 13:00 in New York
TUESDAY_NINE = datetime(2026, 11, 24, 14, 0, tzinfo=UTC)  # 9:00 in New York, when the calling window opens
CLOCKS = {"datetime.now", "datetime.today", "datetime.utcnow", "date.today"}
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


# --- the store's scripts ----------------------------------------------------------------------------------------------


def scripts() -> dict[str, str]:
    """Each script of the store by its name, without its comments."""
    folder = resources.files("worker.store").joinpath("lua")
    texts = {file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".lua")}
    return {name: re.sub(r"--[^\n]*", "", text) for name, text in texts.items()}


def answered(script: str) -> set[str]:
    """Return the rules that a script answers with: the name after each 'no', or in each call of a helper `no`.

    Fails if no name can be read after a no: that rule would not be compared with the enum.
    """
    body = re.sub(r"local function no\(.*?\bend\b", "", script, flags=re.DOTALL)
    names = re.findall(r"""(?:['"]no['"]\s*,|\bno\()\s*['"](\w+)['"]""", body)
    assert len(names) == len(re.findall(r"""['"]no['"]|\bno\(""", body)), "a script says no, and no rule's name follows"
    return set(names)


def test_the_scripts_answer_with_rules_that_begin_enforces_and_with_each_of_them() -> None:
    found = {name: answered(text) for name, text in scripts().items()}
    assert {name for name, named in found.items() if named} == {"begin.lua"}
    assert found["begin.lua"] == {rule.value for rule in Rule if rule.where & Where.BEGIN}


@pytest.mark.parametrize(
    "said",
    [
        "return {'no', 'household', 0}",
        'return {"no", "household", again_at}',
        "if x then return {'no',\n'household', 0} end",
        "local function no(rule) return {'no', rule, 0} end\nif x then return no('household') end",
    ],
)
def test_however_a_script_words_its_no_the_rule_is_read(said: str) -> None:
    assert answered(said) == {"household"}


@pytest.mark.parametrize("said", ["return {'no', why, 0}", "local answer = 'no'", "return no(why)"])
def test_a_no_that_cannot_be_read_is_noticed(said: str) -> None:
    with pytest.raises(AssertionError):
        answered(said)


def test_the_scripts_compare_with_brakes_and_states_that_there_are() -> None:
    text = "\n".join(scripts().values())
    assert set(re.findall(r"held == '(\w+)'", text)) <= {brake.value for brake in Brake}
    states = set(re.findall(r"'state'\) [=~]= '(\w+)'|current == '(\w+)'", text))
    assert {state for pair in states for state in pair if state} <= {state.value for state in CampaignState}


# --- the documents ----------------------------------------------------------------------------------------------------


def rows(document: str, head: str) -> list[list[str]]:
    """Return the cells of the table in a document whose first cell is `head`, without its head."""
    text = (ROOT / "docs" / document).read_text("utf-8")
    table = text[text.index(f"| {head} |") :].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_table_of_rules_has_each_rule_with_what_its_member_says() -> None:
    told = {name.strip("`"): cells for name, *cells in rows("rules.md", "rule")}
    assert list(told) == [rule.value for rule in Rule]
    for rule in Rule:
        sentence, then, again, where = told[rule.value][:4]
        assert sentence == rule.sentence
        assert then == {Then.HOLD: "held", Then.REFUSE: "refused"}[rule.then]
        assert again == rule.again.value
        assert where.split(", ") == [str(one.name).lower() for one in rule.where]


def test_the_table_of_brakes_has_each_brake_with_what_its_member_says() -> None:
    told = [(name.strip("`"), cells[0]) for name, *cells in rows("brakes.md", "brake")]
    assert told == [(brake.value, brake.sentence) for brake in Brake]


def test_the_reading_order_of_the_package_names_each_of_its_modules_once() -> None:
    modules = [file.stem for file in (ROOT / "worker" / "rules").glob("[!_]*.py")]
    assert sorted(re.findall(r"^- (\w+)", rules.__doc__ or "", re.MULTILINE)) == sorted(modules)


# --- when again -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "until", "again"),
    [
        (Rule.DO_NOT_CALL, None, None),
        (Rule.REHEARSED, MONDAY + HOUR, None),
        (Rule.PAUSED, None, MONDAY),
        (Rule.ACCOUNT_BLOCKED, None, MONDAY),
        (Rule.ON_A_CALL, None, MONDAY + SOON),
        (Rule.CANARY, None, MONDAY + SOON),
        (Rule.CARRIER_BUSY, None, MONDAY + SOON),
        (Rule.CARRIER_BUSY, MONDAY + MINUTE, MONDAY + MINUTE),
        (Rule.CALLER_ID, MONDAY + HOUR, MONDAY + HOUR),
        (Rule.REGISTRY, None, MONDAY + HOUR),
        (Rule.CALLS_PER_DAY, None, datetime(2026, 11, 24, 5, tzinfo=UTC)),  # midnight in New York
        (Rule.NUMBER_LIMIT, MONDAY + HOUR, MONDAY + HOUR),
        (Rule.NUMBER_LIMIT, MONDAY + 9 * HOUR, TUESDAY_NINE),  # 22:00: the window is closed then
        (Rule.CALLING_WINDOW, None, MONDAY),
    ],
)
def test_a_rule_is_asked_again_when_it_may_be_otherwise(
    reminder: Campaign, rule: Rule, until: datetime | None, again: datetime | None
) -> None:
    window = reminder.calling_window.model_copy(
        update={"start": datetime.min.time().replace(hour=9), "end": datetime.min.time().replace(hour=20)}
    )
    campaign = reminder.model_copy(update={"calling_window": window, "callback_number": "+12125550100"})
    assert asked_again(rule, campaign, NEW_YORK, MONDAY, until=until) == again


@pytest.mark.parametrize("rule", list(Rule))
def test_a_rule_refuses_for_good_or_names_a_moment_that_is_not_past(reminder: Campaign, rule: Rule) -> None:
    again = asked_again(rule, reminder, NEW_YORK, MONDAY)
    assert (again is None) == (rule.then is Then.REFUSE) == (rule.again is Again.NEVER)
    assert again is None or again >= MONDAY


def test_an_answer_that_no_rule_has_is_asked_again_soon(reminder: Campaign) -> None:
    assert asked_again(Rule.UNKNOWN_ANSWER, reminder, NEW_YORK, MONDAY) == MONDAY + SOON


# --- purity -----------------------------------------------------------------------------------------------------------


def test_the_rules_read_no_clock() -> None:
    """import-linter cannot see this: datetime is imported for its type, and must not be asked for the time."""
    asked = [
        f"{file.name}:{node.lineno}"
        for file in (ROOT / "worker" / "rules").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in CLOCKS
    ]
    assert asked == []
