"""Every object of the bot is whole once it exists: no method but the first gives it an attribute that it did not have."""

import ast
from pathlib import Path

BOT = Path(__file__).parents[2] / "bot"


def given(tree: ast.AST) -> set[str]:
    """Return the attributes of `self` that are set in a tree."""
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


def late(cls: ast.ClassDef) -> set[str]:
    """Return the attributes that methods set, and that neither __init__ nor the class itself has."""
    there = {
        node.target.id for node in cls.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    methods = [node for node in cls.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for method in methods:
        if method.name == "__init__":
            there |= given(method)
    return set().union(*map(given, methods)) - there


def test_no_attribute_is_set_for_the_first_time_after_the_object_is_made() -> None:
    trees = [ast.parse(path.read_text("utf-8")) for path in sorted(BOT.rglob("*.py"))]
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert len(classes) > 30
    found = {cls.name: late(cls) for cls in classes if late(cls)}
    assert found == {"Ears": {"_connection_task"}}, "that one is of Pipecat's class"


def test_an_attribute_that_comes_late_is_noticed() -> None:
    source = "class Talk:\n    def __init__(self): self.a = 1\n    def run(self): self.a, self.b = 2, 3"
    (cls,) = ast.parse(source).body
    assert isinstance(cls, ast.ClassDef)
    assert late(cls) == {"b"}
