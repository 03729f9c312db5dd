"""How figures are told."""

import json
import math
from pathlib import Path

import pytest

from bench import bot, worker
from bench.measure import PAGE
from bench.result import MARKER, Result, dump, write_docs

RESULT = Result("reply", False, "too slow", [{"bot": "dialout", "median_ms": math.inf}], load=1.5, at="2026-11-24")


def test_a_result_is_json_even_where_something_never_happened() -> None:
    told = json.loads(dump(RESULT))
    assert told["rows"] == [{"bot": "dialout", "median_ms": "never"}]
    assert told["load_average"] == 1.5


def test_the_page_gets_a_table_between_its_markers_and_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("before\n<!-- bench:reply -->\nold\n<!-- /bench:reply -->\nafter\n", "utf-8")
    write_docs(page, RESULT.as_json())
    text = page.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| dialout | never |" in text
    assert "old" not in text
    write_docs(page, RESULT.as_json())
    assert page.read_text("utf-8") == text


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("nothing\n", "utf-8")
    with pytest.raises(ValueError, match="no markers"):
        write_docs(page, RESULT.as_json())


def test_every_point_has_its_place_on_the_page() -> None:
    text = PAGE.read_text("utf-8")
    for point in [*bot.MEASUREMENTS, *worker.MEASUREMENTS]:
        assert MARKER.format("", point) in text
        assert MARKER.format("/", point) in text
