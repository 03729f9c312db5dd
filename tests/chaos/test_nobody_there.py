import time
from datetime import datetime
from pathlib import Path

from .auditor import read_records
from .cast import assemble
from .run import enqueue
from .stage import ChaosStage


def test_whoever_answers_and_hears_nobody_is_released_and_it_counts_as_our_failure(tmp_path: Path) -> None:
    cast = assemble(
        tmp_path, 1, rate=5, lines=5, talkers=0, seed=1, kinds={"silent": 1}, one_campaign=True, opens_in_s=3600,
        time_limit_s=600,
    )  # fmt: skip
    (part,) = cast.parts
    with ChaosStage(tmp_path, cast.people, rate=5, lines=5, agent="tests.chaos.mute") as stage:
        enqueue(stage, cast)
        deadline = time.monotonic() + 500
        ended: list[dict] = []
        while not ended and time.monotonic() < deadline:
            time.sleep(0.5)
            ended = [record for record in read_records(stage.records) if record["record"] == "call"]
        (call,) = ended
        contact_id = stage.store.contacts.id_of(part.name, call["to"])
        rules: list[str] = []
        while "hung_up" not in rules and time.monotonic() < deadline:
            rules = [entry.get("rule", "") for entry in stage.store.reading.journal(contact_id)]
            time.sleep(0.2)
    answered, over = (datetime.fromisoformat(call[name]) for name in ("answered_at", "ended_at"))
    assert 20 < (over - answered).total_seconds() < 600, "it was neither cut off early, nor by the carrier's time limit"
    assert call["hangup_source"] == "caller"
    assert rules.index("found") < rules.index("hung_up"), "the carrier is asked first: perhaps only a callback was lost"
