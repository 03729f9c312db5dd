"""`.env.example` is the operator's list of settings: it has each of them, no other, and tells the true defaults."""

import re
from pathlib import Path

from bot.settings import BotSettings
from worker.settings import Settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"
GIVEN = dict(re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE.read_text("utf-8"), re.MULTILINE))


def of_the_dialer() -> dict[str, str]:
    """Environment variable -> field."""
    return {str(field.validation_alias or name).upper(): name for name, field in Settings.model_fields.items()}


def of_the_bot() -> dict[str, str]:
    return {name.upper(): name for name in BotSettings.model_fields}


def test_every_setting_is_in_the_example() -> None:
    assert sorted({*of_the_dialer(), *of_the_bot()} - GIVEN.keys()) == []


def test_the_example_has_nothing_else() -> None:
    assert sorted(GIVEN.keys() - {*of_the_dialer(), *of_the_bot()}) == []


def test_every_setting_is_explained() -> None:
    explained = True
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if not line:
            explained = False
        elif line.startswith("#"):
            explained = True
        else:
            assert explained, f"nothing above {line} says what it is"


def test_the_values_of_the_example_are_the_defaults() -> None:
    # Values that are passed go before those of the environment, so what this machine has set does not matter.
    texts = {name: GIVEN[variable] for variable, name in of_the_dialer().items() if GIVEN[variable]}
    dialer = Settings(**texts)  # type: ignore[arg-type]
    assert {name: getattr(dialer, name) for name in texts} == {
        name: Settings.model_fields[name].default for name in texts
    }
    texts = {name: GIVEN[variable] for variable, name in of_the_bot().items() if GIVEN[variable]}
    required = {name: "x" for name, field in BotSettings.model_fields.items() if field.is_required()}
    assert BotSettings.model_validate(required | texts) == BotSettings.model_validate(required)
