"""Worlds are made in here: real modules have small sizes, simulated clocks and quiet logs meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import structlog

import matcher.hot_changes
import matcher.hot_writer
import matcher.output_watch
import matcher.recovery
import matcher.snapshot_writer
import matcher.snapshots
from tests.simulation.exchange.scheduler import SECOND
from tests.simulation.exchange.world import World

_SMALL: tuple[tuple[Any, str, Any], ...] = (
    (matcher.hot_changes.WholeBook, "PART", 3),
    (matcher.recovery, "_TAIL", 8),
    (matcher.recovery, "_REMEMBERED", 50),
    (matcher.snapshots, "_TAIL", 4),
    (matcher.output_watch, "_REMEMBERED", 50),
)
"""Sizes of tails, parts and memories, so small that a short run meets their ends."""
_TIMED: tuple[Any, ...] = (matcher.hot_writer, matcher.snapshot_writer)
"""Modules that ask `time` themselves."""


@contextmanager
def simulated(
    trace: Callable[[str, str], None] | None = None, make: Callable[[int], World] = World
) -> Iterator[Callable[[int], World]]:
    """Yield what makes worlds, each the end of the one before.

    Meanwhile sizes are small, module clocks are the world's, logs are quiet.
    """
    current: list[World] = []

    def made(seed: int) -> World:
        close()
        world = make(seed)
        world.scheduler.trace = trace
        current[:] = [world]
        return world

    def close() -> None:
        for world in current:
            world.close()

    def monotonic() -> float:
        return current[0].scheduler.now_ns / SECOND

    def time_ns() -> int:
        return current[0].scheduler.now_ns

    with ExitStack() as stack:
        for place, name, value in _SMALL:
            stack.callback(setattr, place, name, getattr(place, name))
            setattr(place, name, value)
        for module in _TIMED:
            if hasattr(module, "time"):
                stack.callback(setattr, module, "time", module.time)
                module.time = SimpleNamespace(monotonic=monotonic, time_ns=time_ns)
        stack.callback(structlog.configure, **structlog.get_config())
        structlog.configure(
            processors=[_to_trace(trace)],
            wrapper_class=structlog.make_filtering_bound_logger(20 if trace else 50),
            logger_factory=structlog.ReturnLoggerFactory(),
            cache_logger_on_first_use=False,
        )
        stack.callback(close)
        yield made


def _to_trace(trace: Callable[[str, str], None] | None) -> Callable[..., Any]:
    def told(_: Any, level: str, fields: dict[str, Any]) -> str:
        if trace is not None:
            event = fields.pop("event", "")
            trace("log", f"{level} {event} " + " ".join(f"{k}={v}" for k, v in fields.items()))
        raise structlog.DropEvent

    return told
