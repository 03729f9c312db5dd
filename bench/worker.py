"""Measure the dialer: `python -m bench.worker all`, or one point by its name, with options for a longer run."""

import sys
from typing import Final

from bench.dials import Dials, dials
from bench.lines import Lines, lines
from bench.measure import Measurement, Points, main
from bench.pace import Pace, pace
from bench.scale import ManyWaiting, Rows, claim, enqueue
from bench.shares import Shares, shares
from bench.warm import Warm, warm

MEASUREMENTS: Final[Points] = {
    "enqueue": Measurement(enqueue, Rows(100_000), Rows(1_000_000)),
    "claim": Measurement(claim, ManyWaiting(100_000, 500), ManyWaiting(1_000_000, 2_000)),
    "dials": Measurement(dials, Dials(2000, 200), Dials(10_000, 1000)),
    "pace": Measurement(pace, Pace(20), Pace(60)),
    "lines": Measurement(lines, Lines(50, 60), Lines(50, 600)),
    "shares": Measurement(shares, Shares(150), Shares(600)),
    "warm": Measurement(warm, Warm(90), Warm(600)),
}

if __name__ == "__main__":
    sys.exit(main("python -m bench.worker", __doc__, MEASUREMENTS))
