"""Telnyx's SDK in a loop, as its README has it: `python -m bench.bare --url URL --calls N` prints the CPU of a call, in ms."""

import argparse
import sys
import time
from typing import Any, Final

import telnyx

_DOCUMENT: Final = "<Response>" + "<Pause/>" * 380 + "</Response>"
"""As long as ours usually is."""

_WARM: Final = 10

_OPTIONS: Final[dict[str, Any]] = {
    "StatusCallbackMethod": "POST",
    "StatusCallbackEvent": "initiated ringing answered completed",
    "Timeout": 30,
    "TimeLimit": 600,
}


def main() -> None:
    """Place the calls, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--calls", type=int, required=True)
    given = parser.parse_args()
    with telnyx.Telnyx(api_key="KEYsandbox", base_url=given.url, max_retries=0) as client:
        used = -time.process_time()
        for number in range(_WARM + given.calls):
            if number == _WARM:
                used = -time.process_time()
            client.texml.calls.create(
                "2000000000000000001", from_="+12125550100", to="+12125550199", texml=_DOCUMENT, extra_body=_OPTIONS
            )
        used += time.process_time()
    sys.stdout.write(f"{1000 * used / given.calls}\n")


if __name__ == "__main__":
    main()
