"""Which faults a run injects, and which kills a storm is made of: from the seed alone; pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from service_runtime.failpoints import Failpoint
from tapehouse.chaos.fault import Fault

WEIGHTS: Final[Mapping[str, int]] = {
    "processor": 6,
    "matcher": 6,
    "matcher-standby": 3,
    "recorder": 6,
    "ingest": 4,
    "market-data": 3,
    "candles": 2,
    "user-data": 2,
    "kafka": 1,
    "postgres": 1,
    "valkey": 1,
}
FAILPOINT_SHARE: Final = 0.5
OF_SERVICE: Final[Mapping[str, tuple[str, ...]]] = {
    "market-data": ("market_data", "bars"),
    "ingest": ("ingest",),
    "candles": ("candles",),
    "processor": ("processor", "service"),
    "matcher": ("matcher", "service"),
    "matcher-standby": ("matcher", "standby"),
    "recorder": ("recorder", "service"),
}
"""Failpoints a service can reach, by the first part of their names."""
_TAKE_OVER: Final = "take_over"
_RARE: Final = ("recovery", _TAKE_OVER, "snapshot")
_OF_A_CHILD: Final = "snapshot_child"
"""Ends a child of the service: its parent goes on."""
MOST_REACHES: Final = 12


@dataclass(frozen=True, slots=True)
class Kill:
    service: str
    pause_s: float
    """After it."""
    failpoint: str | None = None
    """`name:n`, armed for the process that is started next: it ends there once more."""


def failpoints_of(service: str) -> tuple[str, ...]:
    """Return the names a process of the service can come to: only a standby takes anything over."""
    prefixes = OF_SERVICE.get(service, ())
    names = [name.value for name in Failpoint if name.value.partition(".")[0] in prefixes]
    if service == "matcher":
        names = [name for name in names if _TAKE_OVER not in name]
    return tuple(name for name in names if _OF_A_CHILD not in name)


def armed(rng: random.Random, name: str, most: int = MOST_REACHES) -> str:
    """Return `name:n`; places of recovery, snapshots and the like are passed seldom."""
    once = any(word in name for word in _RARE)
    return f"{name}:{1 if once else rng.randint(1, most)}"


def storm(seed: int, round_: int, kills: int, every_s: float) -> Iterator[Kill]:
    """Yield the kills of one round; one with a failpoint counts for the two it should come to."""
    rng = random.Random(f"storm-{seed}-{round_}")
    services, weights = list(WEIGHTS), list(WEIGHTS.values())
    while kills > 0:
        service = rng.choices(services, weights)[0]
        pause_s = rng.uniform(0.4, 1.6) * every_s
        names = failpoints_of(service)
        failpoint = None
        if names and kills > 1 and rng.random() < FAILPOINT_SHARE:
            failpoint = armed(rng, rng.choice(names))
        kills -= 1 if failpoint is None else 2
        yield Kill(service, pause_s, failpoint)


def rounds(seed: int, faults: Sequence[Fault], count: int) -> list[tuple[Fault, random.Random]]:
    """Return every fault `count` times, in an order of the seed, each with dice of its own."""
    order = random.Random(f"rounds-{seed}")
    found: list[tuple[Fault, random.Random]] = []
    for number in range(count):
        shuffled = list(faults)
        order.shuffle(shuffled)
        found += [(fault, random.Random(f"{fault.name}-{seed}-{number}")) for fault in shuffled]
    return found
