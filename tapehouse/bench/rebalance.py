"""What stops, and for how long, when an instance of a service joins or leaves while orders come in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tapehouse.bench.own_exchange import OwnExchange
from tapehouse.bench.pipeline import CORE, Pipeline

PAUSE_SERVICES = CORE
FEED_PER_S = 200
FEED_STEP_S = 0.05
SETTLE_S = 3.0
WATCH_S = 9.0
LOOK_S = 0.005
BEGUN_EVERY_S = 0.25


@dataclass(frozen=True)
class Pauses:
    service: str
    quiet_ms: float
    """Longest time that a partition stood still while nothing happened; 50 ms of it are the feed's."""
    join_ms: float
    leave_ms: float

    def document(self) -> dict[str, Any]:
        pauses = {"quiet": self.quiet_ms, "join": self.join_ms, "leave": self.leave_ms}
        return {"name": self.service, "pause_ms": {k: round(v, 1) for k, v in pauses.items()}}

    def lines(self) -> list[str]:
        return [
            f"{self.service}: longest standstill of a partition {self.quiet_ms:.0f} ms undisturbed, "
            f"{self.join_ms:.0f} ms when a second instance joins, {self.leave_ms:.0f} ms when it leaves"
        ]


class _Feed(threading.Thread):
    """Orders at a steady rate, until the end; only this thread uses the exchange's log meanwhile."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__(daemon=True)
        self._pipeline = pipeline
        self._stopping = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._stopping.wait(FEED_STEP_S):
                self._pipeline.write_steadily(int(FEED_PER_S * FEED_STEP_S))
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        if self.error is not None:
            raise self.error


def rebalance_pauses(exchange: OwnExchange, pipeline: Pipeline, service: str) -> Pauses:
    """Let a second instance of the service join and leave again. Raises OperatorError."""
    for name in CORE:
        exchange.start(name)
    feed = _Feed(pipeline)
    feed.start()
    try:
        longest_pause(exchange, pipeline, service, SETTLE_S)
        quiet = longest_pause(exchange, pipeline, service, SETTLE_S)
        exchange.start(service, first=1, wait=False)
        join = longest_pause(exchange, pipeline, service, WATCH_S, lambda: exchange.is_ready(f"{service}-1"))
        leaving = threading.Thread(target=exchange.stop, args=(f"{service}-1",))
        leaving.start()
        leave = longest_pause(exchange, pipeline, service, WATCH_S)
        leaving.join()
    finally:
        feed.stop()
        exchange.stop(*CORE)
    return Pauses(service, 1e3 * quiet, 1e3 * join, 1e3 * leave)


def longest_pause(
    exchange: OwnExchange,
    pipeline: Pipeline,
    service: str,
    seconds: float,
    begun: Callable[[], bool] = lambda: True,
) -> float:
    """Watch the service's positions until so long after `begun`; return a partition's longest standstill."""
    now = time.monotonic()
    until, asked, before = None, now - LOOK_S, pipeline.positions(service)
    moved, longest = dict.fromkeys(before, now), 0.0
    while until is None or now < until:
        if until is None and now - asked > BEGUN_EVERY_S:
            exchange.check()
            asked, until = now, now + seconds if begun() else None
        time.sleep(LOOK_S)
        found, now = pipeline.positions(service), time.monotonic()
        for partition, offset in found.items():
            if offset != before.get(partition):
                longest = max(longest, now - moved.get(partition, now))
                moved[partition] = now
        before = found
    return max(longest, *(now - at for at in moved.values()))
