"""What happens to the world during a run: a seeded sequence of kills, cuts, storms and worse."""

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from celery import Celery

from worker.store.scripts import read_scripts

from .proxy import Trap
from .stage import ChaosStage

CARRIER_FAULTS: Final = (
    {"kind": "hang", "probability": 0.004, "seconds": 8.0},
    {"kind": "cut", "probability": 0.004},
    {"kind": "502-after", "probability": 0.003},
    {"kind": "html", "probability": 0.002},
    {"kind": "empty", "probability": 0.002},
    {"kind": "broken", "probability": 0.002},
    {"kind": "no-sid", "probability": 0.002},
    {"kind": "500", "probability": 0.002},
    {"kind": "cut-before", "probability": 0.002},
    {"kind": "429", "probability": 0.005},
)
"""2.3 % of the answers leave it open whether a phone rings."""

CALLBACK_FAULTS: Final = {"drop": 0.1, "duplicate": 0.1, "delay_s": 2.0}

STEPS: Final = {
    "worker": (
        "claim",
        "read_cases",
        "departures",
        "begin",
        "postpone",
        "witness",
        "take_unsettled",
        "record_asked",
        "conclude",
        "publish",
        "POST",
    ),
    "callbacks": ("witness",),
    "beat": ("publish",),
}
"""The named steps of each process: a script of the store's, a message to the queue, the one POST."""


@dataclass(frozen=True)
class Mood:
    """How bad it is: kills a second, up to so many spread over the run, and the seconds between other calamities."""

    kills_per_s: float
    kills: int
    calamity_every_s: float
    longest_cut_s: float
    storm_s: float


class Weather:
    """Makes trouble in a thread of its own until it is told to stop."""

    def __init__(self, stage: ChaosStage, mood: Mood) -> None:
        self.stage, self.mood = stage, mood
        self.dice = stage.dice
        self.happened: list[str] = []
        self.progress = 0.0  # of the run, from 0 to 1: the kills keep step with it
        # Scripts travel by the SHA-1 of their text.
        self._patterns = {
            name: hashlib.sha1(text.encode()).hexdigest().encode() for name, text in read_scripts().items()
        }
        self._patterns |= {"publish": b"LPUSH", "POST": b"POST /v2/texml/calls/"}
        self._clear = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self.stage.faults(create=list(CARRIER_FAULTS), callbacks=CALLBACK_FAULTS)
        self._thread.start()

    def stop(self) -> None:
        """End all trouble but the carrier's and the callbacks' usual share."""
        self._clear.set()
        self._thread.join()
        for proxy in self.stage.proxies.values():
            proxy.disarm()
        self.stage.faults(create=list(CARRIER_FAULTS), callbacks=CALLBACK_FAULTS)

    def _run(self) -> None:
        calamity = time.monotonic() + self.mood.calamity_every_s
        while not self._clear.wait(self.dice.expovariate(self.mood.kills_per_s)):
            try:
                if len(self.stage.endings) < 3 + self.mood.kills * self.progress:
                    self._kill()
                if time.monotonic() > calamity:
                    self._calamity()
                    calamity = time.monotonic() + self.mood.calamity_every_s * self.dice.uniform(0.5, 1.5)
            except Exception as error:  # noqa: BLE001 - trouble that fails is no trouble; it is written down
                self.happened.append(f"trouble failed: {error!r}")

    def _kill(self) -> None:
        if self.dice.random() < 0.5:
            name = self.dice.choices(list(STEPS), (3, 4, 3))[0]
            step = self.dice.choice(STEPS[name])
            when: Literal["before", "after"] = "before" if self.dice.random() < 0.5 else "after"
            proxy = self.stage.proxies["carrier" if step == "POST" else name]
            how = f"{name} {when} {step}"
            proxy.arm(Trap(self._patterns[step], when, lambda: self.stage.kill(name, how)))
        else:
            names = ("worker", "beat", "beat-2", "callbacks", "redis", "bot")
            self.stage.kill(self.dice.choices(names, (12, 15, 15, 25, 30, 2))[0])

    def _calamity(self) -> None:
        trouble: list[Callable[[], str]] = [
            self._cut,
            self._still,
            self._storm,
            self._late,
            self._double,
            self._two_minds,
        ]
        self.happened.append(self.dice.choice(trouble)())

    def _cut(self) -> str:
        name = self.dice.choice(["worker", "worker", "callbacks", "beat"])
        seconds, silently = self.dice.uniform(1, self.mood.longest_cut_s), self.dice.random() < 0.5
        self.stage.proxies[name].cut(seconds, silently=silently)
        return f"{name} cut off from Redis for {seconds:.0f} s{', silently' if silently else ''}"

    def _still(self) -> str:
        seconds = self.dice.uniform(3, 25)
        name = self.dice.choice(["worker", "worker", "callbacks"])
        self.stage.stand_still(name, seconds)
        return f"{name} stands still for {seconds:.0f} s"

    def _storm(self) -> str:
        self.stage.faults(create=[{"kind": "429", "probability": 1.0}])
        self._clear.wait(self.mood.storm_s)
        self.stage.faults(create=list(CARRIER_FAULTS))
        return f"429 for {self.mood.storm_s:.0f} s"

    def _late(self) -> str:
        self.stage.faults(callbacks=CALLBACK_FAULTS | {"delay_s": 150.0})
        self._clear.wait(self.mood.storm_s / 2)
        self.stage.faults(callbacks=CALLBACK_FAULTS)
        return "callbacks minutes late, in no order"

    def _double(self) -> str:
        store = self.stage.store
        doubled = [attempt for name in store.campaigns.names() for attempt in store.attempts.live(name)][:50]
        broker = f"redis+socket://{self.stage.redis.socket}?virtual_host=0"
        with Celery(broker=broker) as queue:
            queue.conf.broker_transport_options = {"global_keyprefix": "celery:"}
            for attempt in doubled:
                queue.send_task("worker.tasks.place_call", [attempt], queue="dial", exchange="dial", routing_key="dial")
        return f"{len(doubled)} messages delivered twice"

    def _two_minds(self) -> str:
        (name, *_) = self.stage.store.campaigns.names()
        self.stage.dialout("pause", name)
        self._clear.wait(2)
        self.stage.dialout("resume", name)
        return f"{name} paused and resumed"
