"""Simulated time: one heap of events, one random source, and tasks that are suspended in the middle.

A task is a greenlet: code that calls `sleep` or `wait` leaves to the scheduler and goes on there later. So a
shell's blocking call lets the rest of the world move, and all of it is one thread.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

from greenlet import greenlet

T0_NS = 1_700_000_000_000_000_000
MS = 1_000_000
SECOND = 1_000 * MS


class Killed(BaseException):
    """The process is gone: no handler of ours may catch this."""


class NeverSettles(AssertionError):
    """What should happen did not, in a bounded simulated time."""


class Scheduler:
    """Runs what is due, in order of time, then of being planned."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now_ns = T0_NS
        self.trace: Callable[[str, str], None] | None = None
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._planned = 0

    def after(self, delay_ns: int, work: Callable[[], None]) -> None:
        self._planned += 1
        heapq.heappush(self._due, (self.now_ns + delay_ns, self._planned, work))

    def run_until(self, end_ns: int, done: Callable[[], bool] | None = None) -> bool:
        """Go on to `end_ns`, or until `done` says so (asked now and then); tell whether it did."""
        due, look_ns = self._due, self.now_ns
        while due and due[0][0] <= end_ns:
            if done is not None and due[0][0] >= look_ns:
                if done():
                    return True
                look_ns = due[0][0] + 20 * MS
            self.now_ns, _, work = heapq.heappop(due)
            work()
        self.now_ns = max(self.now_ns, end_ns)
        return done is not None and done()

    def between(self, low_ns: int, high_ns: int) -> int:
        return low_ns + int((high_ns - low_ns) * self.dice.random())

    def tell(self, who: str, what: str) -> None:
        if self.trace is not None:
            self.trace(who, what)


class Task:
    """Work that can stop in the middle and go on later. `sleep` and `wait` are called from within."""

    def __init__(self, scheduler: Scheduler, work: Callable[[], None]) -> None:
        self.ended = False
        self._scheduler = scheduler
        self._work = work
        self._greenlet: greenlet | None = None
        self._stage = 0
        scheduler.after(0, self._begin)

    def sleep(self, delay_ns: int) -> None:
        self.wait(delay_ns)

    def wait(self, timeout_ns: int | None = None) -> None:
        """Until `wake`, or the time-out."""
        if timeout_ns is not None:
            self.wake(timeout_ns)
        assert self._greenlet is not None
        assert self._greenlet.parent is not None
        self._greenlet.parent.switch()

    def wake(self, delay_ns: int = 0) -> None:
        self._scheduler.after(delay_ns, self._resume(self._stage))

    def kill(self) -> None:
        """The work ends where it stands. Not from within a task."""
        self._stage += 1
        if self._greenlet is not None and not self.ended:
            self._greenlet.throw(Killed)
        self.ended = True

    def _begin(self) -> None:
        if not self.ended:
            self._greenlet = greenlet(self._run)
            self._greenlet.switch()

    def _run(self) -> None:
        try:
            self._work()
        except Killed:
            pass
        finally:
            self.ended = True

    def _resume(self, stage: int) -> Callable[[], None]:
        def resume() -> None:
            if self._stage == stage and not self.ended and self._greenlet is not None:
                self._stage += 1
                self._greenlet.switch()

        return resume
