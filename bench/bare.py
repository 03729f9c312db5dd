"""The same work by the usual libraries alone, each as its README has it: what the dialer's figures are compared with.

    python -m bench.bare dials --url URL --dials 200 --at-once 16
    python -m bench.bare rows --redis URL --rows 20000 contacts.csv

Each prints one figure: how many a second, and for dials also the milliseconds of CPU that each took.
"""

import argparse
import csv
import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import phonenumbers
import redis
import telnyx
from phonenumbers import timezone

_DOCUMENT: Final = "<Response>" + "<Pause/>" * 380 + "</Response>"
"""As long as ours usually is."""

_WARM: Final = 10
_BATCH: Final = 500

_OPTIONS: Final[dict[str, Any]] = {
    "StatusCallbackMethod": "POST",
    "StatusCallbackEvent": "initiated ringing answered completed",
    "Timeout": 30,
    "TimeLimit": 600,
}


def dials(url: str, count: int, at_once: int) -> dict[str, float]:
    """Place calls with Telnyx's SDK, so many at once; returns dials a second, and the CPU of each in milliseconds."""
    with (
        telnyx.Telnyx(api_key="KEYsandbox", base_url=url, max_retries=0) as client,
        ThreadPoolExecutor(at_once) as pool,
    ):

        def dial(_: int) -> None:
            client.texml.calls.create(
                "2000000000000000001", from_="+12125550100", to="+12125550199", texml=_DOCUMENT, extra_body=_OPTIONS
            )

        list(pool.map(dial, range(_WARM)))
        began, used = time.monotonic(), time.process_time()
        list(pool.map(dial, range(count)))
        took_s, used_s = time.monotonic() - began, time.process_time() - used
    return {"dials_per_s": count / took_s, "cpu_ms": 1000 * used_s / count}


def rows(file: Path, url: str, count: int) -> dict[str, float]:
    """Read a CSV, let phonenumbers say what each number is and where, and write each contact.

    Returns rows a second, and the microseconds of CPU of each.
    """
    began, used = time.monotonic(), time.process_time()
    with file.open(encoding="utf-8", newline="") as lines, redis.Redis.from_url(url) as client:
        table, pipe = csv.DictReader(lines), client.pipeline(transaction=False)
        for row in itertools.islice(table, count):
            try:
                number = phonenumbers.parse(row["phone"], "US")
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number(number):
                phone = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
                zones = ",".join(timezone.time_zones_for_number(number))
                pipe.hset(f"bare:{phone}", mapping=row | {"phone": phone, "zones": zones})
            if len(pipe) >= _BATCH:
                pipe.execute()
        pipe.execute()
    took_s, used_s = time.monotonic() - began, time.process_time() - used
    return {"rows_per_s": count / took_s, "cpu_us": 1e6 * used_s / count}


def main() -> None:
    """Read the options, work, and print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description=__doc__)
    what = parser.add_subparsers(dest="what", required=True)
    sdk = what.add_parser("dials")
    sdk.add_argument("--url", required=True)
    sdk.add_argument("--dials", type=int, required=True)
    sdk.add_argument("--at-once", type=int, default=1)
    table = what.add_parser("rows")
    table.add_argument("file", type=Path)
    table.add_argument("--redis", required=True)
    table.add_argument("--rows", type=int, required=True)
    given = parser.parse_args()
    found = (
        dials(given.url, given.dials, given.at_once)
        if given.what == "dials"
        else rows(given.file, given.redis, given.rows)
    )
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
