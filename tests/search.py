"""How widely the property tests search."""

import os
from typing import Any, Final

from hypothesis import HealthCheck, settings

_TIMES: Final = int(os.environ.get("SEARCH_TIMES", "1"))
"""1: the same examples on every run, so that a change is judged by what it changed. More: others each time, as many times."""


def examples(count: int, **more: Any) -> settings:
    """Return the settings of a test that looks at `count` examples, or at more of them in a search (`make search`)."""
    return settings(max_examples=count * _TIMES, **more)


def be_steady() -> None:
    """Let no property test fail by the speed of the machine, which is for bench/, or by luck, which is for a search."""
    settings.register_profile(
        "steady",
        max_examples=100 * _TIMES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=_TIMES == 1,
    )
    settings.load_profile("steady")
