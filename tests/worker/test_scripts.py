"""The Lua scripts against what Python says about them: their keys and arguments, their constants, and what they answer."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from campaigns.campaign import Campaign
from campaigns.contacts import Contact
from campaigns.places import place_of
from worker.machine.embedded import EmbeddedRedis
from worker.store import Store
from worker.store.attempts import read_begun
from worker.store.base import Database
from worker.store.constants import CONSTANTS
from worker.store.errors import StoreError, UnknownAnswer
from worker.store.keys import ACCOUNT, Subject, keys_of
from worker.store.redis_server import connect
from worker.store.scripts import BEGIN, ENLIST, SCRIPTS, SHARED, TICK
from worker.store.signature import LuaScript, ScriptError, read_lua, script
from worker.store.values import Begun, Conclusion, Reception

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "worker" / "store" / "lua").glob("*.lua"))


def code_of(text: str) -> str:
    """The text of a script without its comments."""
    return re.sub(r"('[^']*')|--.*", lambda found: found[1] or "", text)


def test_each_file_is_a_declared_script_and_each_declared_script_has_a_file() -> None:
    assert {file.stem for file in FILES} == {one.name for one in SCRIPTS} | {"_clock", *SHARED}


@pytest.mark.parametrize("one", SCRIPTS, ids=lambda one: one.name)
def test_a_script_begins_by_naming_what_python_says_it_takes(one: LuaScript) -> None:
    comment = re.match(r"(?:--.*\n)+", one.body)
    assert comment, "it says first what it does"
    head = one.body[comment.end() :].partition("\n\n")[0] + "\n"
    assert head == one.head, f"after its comment, {one.name}.lua begins with:\n{one.head}"


@pytest.mark.parametrize("one", [one for one in SCRIPTS if one.more_keys or one.more_args], ids=lambda one: one.name)
def test_a_script_names_each_group_of_further_keys_and_arguments_in_python_s_order(one: LuaScript) -> None:
    for names, reader in ((one.more_keys, "next_keys"), (one.more_args, "next_args")):
        listed = re.escape(", ".join(names))
        assert not names or re.search(rf"(for {listed} in {reader} do|local {listed} = {reader}\(\))", one.body)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_script_takes_a_key_or_an_argument_by_its_number(file: Path) -> None:
    code = code_of(file.read_text("utf-8"))
    assert not re.findall(r"(?:KEYS|ARGV)\s*\[", code)
    head = next((one.head for one in SCRIPTS if one.name == file.stem), "local now = tonumber((unpack(ARGV, 1, 1)))\n")
    assert not re.findall(r"KEYS|ARGV", code.replace(head, "")), "only its head knows of them"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_script_uses_only_constants_that_python_gives_it_and_no_number_without_a_name(file: Path) -> None:
    code = re.sub(r"'[^']*'", "''", code_of(file.read_text("utf-8")))
    assert set(re.findall(r"\b[A-Z][A-Z_]+\b", code)) - {"KEYS", "ARGV"} <= CONSTANTS.keys()
    unnamed = re.sub(r"^\s*local \w+ = [\d.]+$|= unpack\(.*\)$|= rest\(.*\)$", "", code, flags=re.MULTILINE)
    numbers = {float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", unnamed)}
    assert {number for number in numbers if number >= 10} <= {1000}  # of microseconds


def test_every_constant_is_used() -> None:
    code = "".join(code_of(file.read_text("utf-8")) for file in FILES)
    assert {name for name in CONSTANTS if not re.search(rf"\b{name}\b", code)} == set()


def test_what_conclude_and_witness_answer_is_what_their_enums_know() -> None:
    assert set(re.findall(r"return '(\w+)'", read_lua("conclude"))) == {one.value for one in Conclusion}
    answers = re.findall(r"return (\w+)$|return (\w+) end", read_lua("witness"), re.MULTILINE)
    words = {CONSTANTS[name] for pair in answers for name in pair if name.startswith("WORD_")}
    assert words == {one.value for one in Reception}


def test_a_missing_an_unknown_and_a_doubled_name_are_errors_at_once(server: EmbeddedRedis) -> None:
    run = Database(connect(server.url)).run
    with pytest.raises(
        ScriptError, match=r"tick\.lua: missing arguments \['every_ms'\], unknown arguments \['every'\]"
    ):
        run(TICK, Subject(task="t"), every=1)
    with pytest.raises(ScriptError, match="no keys or arguments but those that it names"):
        run(TICK, Subject(task="t"), every_ms=1, more_args=[2])
    with pytest.raises(TypeError, match="tick means no key of"):
        run(TICK, every_ms=1)
    with pytest.raises(TypeError, match="nothing means no key of"):
        keys_of(["nothing"], ACCOUNT)
    with pytest.raises(ScriptError, match="names lines twice"):
        script("claim", keys="lines queued", args="lines")
    with pytest.raises(ScriptError, match="missing arguments"):
        ENLIST.more_ordered(contact_id="x", phone="+1")
    assert BEGIN.more_ordered(own_number="+1", day=1, day_ends=2) == ["+1", 1, 2]


# --- words that the dialer does not know ------------------------------------------------------------------------------


@pytest.mark.parametrize("told", [["no", "household", 0], ["maybe", 0, 0]])
def test_a_word_that_no_enum_knows_is_an_error_that_says_what_to_do(told: list[object]) -> None:
    with pytest.raises(
        UnknownAnswer, match=r"knows no such .*: run one version of the dialer everywhere, or add the name"
    ):
        read_begun(told, 0, 0)
    assert issubclass(UnknownAnswer, StoreError)
    assert isinstance(read_begun(["no", "gone", 0], 0, 0), Begun)


def test_a_rule_that_begin_learns_alone_is_an_error_and_not_silence(
    server: EmbeddedRedis, store: Store, reminder: Campaign, tmp_path: Path
) -> None:
    """A copy of the dialer whose begin.lua refuses by a name that the rules do not have."""
    for package in ("worker", "campaigns"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "worker" / "store" / "lua" / "begin.lua"
    text, count = re.subn(r"\{'no', 'paused', 0\}", "{'no', 'household', 0}", file.read_text("utf-8"))
    assert count == 1
    file.write_text(
        text.replace("~= RUNNING then return {'no', 'household'", "== RUNNING then return {'no', 'household'")
    )
    store.campaigns.define(reminder)
    contact = Contact("+12125550100", {"name": "Ada", "day": "d", "time": "t"}, 2)
    store.contacts.enlist(reminder, [(contact, place_of(contact))], store.now())
    begins = textwrap.dedent("""
        import sys
        from datetime import timedelta
        from worker.store import Store
        from worker.store.values import Bid, ClaimLimits
        store, second = Store.at(sys.argv[1]), timedelta(seconds=1)
        campaign = store.campaigns.get(sys.argv[2])[0]
        bid = Bid(campaign, list(store.campaigns.places(campaign.name).values()), 9, 1.0)
        limits = ClaimLimits(9, 100, second, 60 * second)
        (attempt_id,) = store.pace.claim([bid], limits)[campaign.name]
        case = store.attempts.case(attempt_id)
        store.attempts.begin(case, "t", lease=second, first_look=second, account_interval=second, campaign_interval=second,
                             record={"version": "1"})
    """)
    done = subprocess.run(
        [sys.executable, "-c", begins, server.url, reminder.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "UnknownAnswer: the store says 'household', and this version of the dialer knows no such rule" in done.stderr
