"""A clock that jumps from one event to the next, and threads that run on it one at a time."""

import heapq
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from threading import Semaphore, Thread

Action = Callable[[], object]


class EventClock:
    """Milliseconds, and what happens at which of them.

    Each action has a thread of its own, because tasks sleep in the middle. Only one of all threads runs at any time, so
    that the same actions always come in the same order, and nothing but sleep takes any time.
    """

    def __init__(self, start_ms: int, moved: Callable[[int], None]) -> None:
        """Begin at `start_ms`; `moved` is told of each new instant before anything happens in it."""
        self.now_ms = start_ms
        self._moved = moved
        self._events: list[tuple[int, int, Action]] = []
        self._order = count()
        self._idle: list[_Strand] = []
        self._running: _Strand | None = None
        self._paused = Semaphore(0)  # released by the strand that has just stopped running
        moved(start_ms)

    @property
    def next_ms(self) -> int | None:
        """When the next event is; None if there is none."""
        return self._events[0][0] if self._events else None

    def after(self, seconds: float, action: Action) -> None:
        """Let an action begin this many seconds from now."""
        self._push(seconds, partial(self._begin, action))

    def monotonic(self) -> float:
        """Return seconds since 1970."""
        return self.now_ms / 1000

    def sleep(self, seconds: float) -> None:
        """Suspend the action that calls this; others go on meanwhile."""
        strand = self._current()
        self._push(seconds, partial(self._run, strand))
        self._suspend(strand)

    @contextmanager
    def crew(self) -> Iterator[Callable[[Action], None]]:
        """Give a function that starts an action beside this one; ends when all have ended, and raises their first error.

        Part of a `worker.machine.clock.ProcessClock`, as `monotonic` and `sleep` are.
        """
        strand, under_way, errors, waits = self._current(), list[Action](), list[Exception](), False

        def run(action: Action) -> None:
            try:
                action()
            except Exception as error:  # noqa: BLE001 - it is raised below, where the crew was started
                errors.append(error)
            under_way.remove(action)
            if waits and not under_way:
                self._push(0, partial(self._run, strand))

        def start(action: Action) -> None:
            under_way.append(action)
            self.after(0, partial(run, action))

        yield start
        if under_way:
            waits = True
            self._suspend(strand)
        if errors:
            raise errors[0]

    def _current(self) -> "_Strand":
        assert self._running, "only an action can sleep"
        return self._running

    def _suspend(self, strand: "_Strand") -> None:
        self._paused.release()
        strand.may_run.acquire()

    def move_to(self, at_ms: int) -> None:
        """Advance the clock to an instant before or at the next event."""
        if at_ms > self.now_ms:
            self.now_ms = at_ms
            self._moved(at_ms)

    def step(self) -> None:
        """Advance to the next event, and let it happen; raises what its action raises."""
        at_ms, _, happen = heapq.heappop(self._events)
        self.move_to(at_ms)
        happen()

    def now(self, action: Action) -> None:
        """Let an action happen at once, as `step` does."""
        self._begin(action)

    def _push(self, seconds: float, happen: Action) -> None:
        # Rounded up: an action that waits for an instant must not run before it.
        at_ms = self.now_ms + math.ceil(seconds * 1000)
        heapq.heappush(self._events, (at_ms, next(self._order), happen))

    def _begin(self, action: Action) -> None:
        strand = self._idle.pop() if self._idle else _Strand(self._paused)
        strand.action, strand.error = action, None
        self._run(strand)

    def _run(self, strand: "_Strand") -> None:
        self._running = strand
        strand.may_run.release()
        self._paused.acquire()
        self._running = None
        if strand.action is None:
            self._idle.append(strand)
            if strand.error:
                raise strand.error


class _Strand:
    """A thread that waits until it may run, runs until its action ends or sleeps, and waits again."""

    def __init__(self, paused: Semaphore) -> None:
        self.may_run = Semaphore(0)
        self.action: Action | None = None  # None: it has ended
        self.error: BaseException | None = None
        self._paused = paused
        Thread(target=self._live, daemon=True).start()  # a strand that sleeps holds up no exit

    def _live(self) -> None:
        while True:
            self.may_run.acquire()
            assert self.action
            try:
                self.action()
            except BaseException as error:  # noqa: BLE001 - it is raised again where the timeline is moved
                self.error = error
            self.action = None
            self._paused.release()
