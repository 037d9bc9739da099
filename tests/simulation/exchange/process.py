"""A simulated process: a service's own handler in the loop that `service_runtime.service` runs it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from service_runtime.errors import DeliveryFailed, DependencyLost, Fault, Fenced
from service_runtime.service import Handler
from tests.simulation.exchange.faults import Fault as Injected
from tests.simulation.exchange.scheduler import MS, SECOND, Killed, Task
from tests.simulation.exchange.sim_log import SimLog
from tests.simulation.exchange.stores import Connection

if TYPE_CHECKING:
    from tests.simulation.exchange.world import World

_POLL_TIMEOUT_S = 0.2
_STANDBY_POLL_TIMEOUT_S = 0.01
_COMMIT_EVERY_NS = SECOND
_EXPECTED = (Fenced, DependencyLost, DeliveryFailed)
"""What may end a service in a world that goes wrong; any other fault is a bug of ours."""


class WentWrong(AssertionError):
    """A service met what must never be."""


class SimClock:
    """The clock of a machine: it may be wrong, and step."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._scheduler = process.world.scheduler

    def now_ns(self) -> int:
        return self._scheduler.now_ns + self._process.node.skew_ns

    def monotonic_s(self) -> float:
        return self._scheduler.now_ns / SECOND

    def sleep(self, seconds: float) -> None:
        self._process.reach("sleep")
        self._process.wait(int(seconds * SECOND))


class Node:
    """A place where a service runs: a supervisor starts it again whenever it ends."""

    def __init__(self, world: World, service: str, instance: int) -> None:
        self.world = world
        self.service = service
        self.instance = instance
        self.name = f"{service}-{instance}"
        self.skew_ns = world.scheduler.between(-50 * MS, 50 * MS)
        self.process: Process | None = None
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        self.process = Process(self)

    def ended(self) -> None:
        """Start again, a moment later."""
        self.process = None
        self.world.scheduler.after(self.world.scheduler.between(20 * MS, 300 * MS), self.start)


class Process:
    """One life of a node. Whatever it does to the world outside passes `reach`, where it may end."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.world = node.world
        self.name = node.name
        self.dead = False
        self.stopping = False
        self.frozen_until_ns = 0
        self.place = "start"
        self.log = SimLog(self.world.broker, self)
        self.connection = Connection(self.world.database, self)
        self.handler: Handler | None = None
        self.task = Task(self.world.scheduler, self._run)
        self._next_commit_ns = 0

    # -- what surrounds every effect --------------------------------------------------------------

    def reach(self, place: str) -> None:
        if self.dead:
            raise Killed
        self.place = place
        fault = self.world.faults.due()
        if fault is not None:
            self.world.strikes.strike(fault, self)

    def strikes(self, place: str) -> bool:
        struck = self.world.faults.strikes(place)
        if struck:
            self.world.scheduler.tell(self.name, f"fault at {place}")
        return struck

    def coin(self) -> bool:
        return self.world.scheduler.dice.random() < 0.5

    def pause(self, most_ns: int) -> None:
        """Let some time pass, as a round trip does."""
        self.wait(int(most_ns * self.world.scheduler.dice.random()))

    def wait(self, timeout_ns: int | None = None) -> None:
        self.task.wait(timeout_ns)
        if self.dead:
            raise Killed
        while self.frozen_until_ns > self.world.scheduler.now_ns:
            self.task.wait(self.frozen_until_ns - self.world.scheduler.now_ns)
            if self.dead:
                raise Killed

    def wake(self) -> None:
        self.task.wake(self.world.scheduler.between(0, MS))

    # -- ends -------------------------------------------------------------------------------------

    def crash(self) -> None:
        """End like kill -9. From within its task, raise Killed after it; from outside, kill the task."""
        self.dead = True
        if self.log.die():
            self.world.faults.counts[Injected.ZOMBIE] += 1
        self.connection.rollback()
        self.node.ended()

    def freeze(self, duration_ns: int) -> None:
        """Stand still, in the middle of whatever it is; the group gives up on it after a while."""
        self.frozen_until_ns = self.world.scheduler.now_ns + duration_ns
        self.log.miss_heartbeats(self.frozen_until_ns)

    # -- the loop of service_runtime.service ------------------------------------------------------

    def _run(self) -> None:
        try:
            self.handler = self.world.build(self)
            self.log.subscribe(self.handler.topics, self.handler.group, self.handler)
            self._loop(self.handler)
        except Fault as fault:
            self.world.scheduler.tell(self.name, f"ends on {type(fault).__name__}: {fault}")
            if not isinstance(fault, _EXPECTED):
                raise WentWrong(f"{self.name}: {type(fault).__name__}: {fault}") from fault
            self.world.ends[type(fault).__name__] += 1
        self._close()

    def _loop(self, handler: Handler) -> None:
        scheduler = self.world.scheduler
        timeout_s = _STANDBY_POLL_TIMEOUT_S if self.node.service == "matcher-standby" else _POLL_TIMEOUT_S
        while not self.stopping:
            batch = self.log.poll(self.world.max_batch, timeout_s)
            if batch:
                if scheduler.trace is not None:
                    scheduler.tell(self.name, f"handles {_places(batch)}")
                self._hints = handler.handle(batch)
            handler.idle()
            if batch:
                self.pause(3 * MS)
                if scheduler.now_ns >= self._next_commit_ns:
                    self._next_commit_ns = scheduler.now_ns + _COMMIT_EVERY_NS
                    self.log.commit(self._hints)

    def _close(self) -> None:
        closing: list[Callable[[], None]] = [self.log.close]
        if self.handler is not None:
            closing.insert(0, self.handler.close)
        for close in closing:
            try:
                close()
            except Fault as fault:
                self.world.scheduler.tell(self.name, f"not closed cleanly: {fault}")
        self.dead = True
        self.connection.rollback()
        self.node.ended()


def _places(batch: list[Any]) -> str:
    spans: dict[tuple[str, int], list[int]] = {}
    for record in batch:
        spans.setdefault((record.topic, record.partition), []).append(record.offset)
    return ", ".join(f"{t}[{p}] {o[0]}..{o[-1]}" for (t, p), o in spans.items())
