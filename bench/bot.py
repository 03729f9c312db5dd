"""Measure the bot: `python -m bench.bot all`, or one point by its name, with options for a longer run."""

import sys
from typing import Final

from bench.endings import faults, last_word
from bench.measure import Measurement, main
from bench.people import everybody
from bench.result import Size
from bench.strain import doors, load
from bench.turns import barge_in, first_word, reply

MEASUREMENTS: Final = {
    "first-word": Measurement(first_word, Size(16, 8), Size(200, 8)),
    "barge-in": Measurement(barge_in, Size(4, 4), Size(40, 4)),
    "reply": Measurement(reply, Size(4, 4), Size(40, 4)),
    "last-word": Measurement(last_word, Size(12, 6), Size(500, 8)),
    "faults": Measurement(faults, Size(1, 4), Size(3, 3)),  # calls for each fault
    "people": Measurement(everybody, Size(3, 12), Size(100, 12)),  # calls for each person
    "load": Measurement(load, Size(8, 8), Size(8, 8)),
    "doors": Measurement(doors, Size(1, 1), Size(10, 1)),  # knocks of each kind
}

if __name__ == "__main__":
    sys.exit(main("python -m bench.bot", __doc__, MEASUREMENTS))
