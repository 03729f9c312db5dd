"""Put on a child's PYTHONPATH: its wall clock is wrong from the start, and jumps once more while it runs."""

import os
import threading

if given := os.environ.get("CHAOS_CLOCK"):
    import time

    import time_machine

    offset_s, jump_after_s, jump_s = map(float, given.split(","))
    coordinates = time_machine.travel(time.time() + offset_s, tick=True).start()

    def _jump() -> None:
        coordinates.shift(jump_s)

    timer = threading.Timer(jump_after_s, _jump)
    timer.daemon = True
    timer.start()
