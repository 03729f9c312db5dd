import json
import time
from datetime import datetime
from pathlib import Path

from .cast import assemble
from .run import enqueue
from .stage import Stage


def test_whoever_answers_and_hears_nobody_is_released_and_it_counts_as_our_failure(tmp_path: Path) -> None:
    cast = assemble(
        tmp_path, 1, rate=5, lines=5, talkers=0, seed=1, kinds={"silent": 1}, one_campaign=True, opens_in_s=3600
    )
    (part,) = cast.parts
    with Stage(tmp_path, cast.people, rate=5, lines=5, agent="tests.chaos.mute") as stage:
        enqueue(stage, cast)
        deadline = time.monotonic() + 100
        ended: list[dict] = []
        while not ended and time.monotonic() < deadline:
            time.sleep(0.5)
            records = map(json.loads, stage.records.read_text("utf-8").splitlines())
            ended = [record for record in records if record["record"] == "call"]
        (call,) = ended
        contact_id = stage.store.contacts.id_of(part.name, call["to"])
        rules: list[str] = []
        while "hung_up" not in rules and time.monotonic() < deadline:
            rules = [entry.get("rule", "") for entry in stage.store.reading.journal(contact_id)]
            time.sleep(0.2)
    answered, over = (datetime.fromisoformat(call[name]) for name in ("answered_at", "ended_at"))
    assert 20 < (over - answered).total_seconds() < 40
    assert call["hangup_source"] == "caller"
    assert rules.index("found") < rules.index("hung_up"), "the carrier is asked first: perhaps only a callback was lost"
