"""What an injector works on: the exchange, dice, and the clock of recovery."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from schemas.topics import load_topics
from tapehouse.chaos.arena import Arena
from tapehouse.chaos.fleet import Fleet
from tapehouse.chaos.sightings import Hit, Sightings, View
from tapehouse.supervisor.program import bound

VIEWS = {
    "ingest": View.ANSWERS,
    "processor": View.ANSWERS,
    "matcher": View.ANSWERS,
    "kafka": View.ANSWERS,
    "postgres": View.ANSWERS,
    "valkey": View.ANSWERS,
    "recorder": View.TABLES,
    "market-data": View.STREAM,
}
"""Where the end of a service's absence is seen; candles and user data have no trades to show."""
_SOURCE = re.compile(r"(.+)\[(\d+)\]")


class Violation(Exception):
    """A fault had an effect that it must not have."""


@dataclass
class Field:
    arena: Arena
    fleet: Fleet
    sightings: Sightings
    rng: random.Random
    all_true: Callable[[], Awaitable[None]]
    """Wait for quiet and hold every invariant. Raises Violation."""
    say: Callable[[str], None]
    kills: int = 0
    notes: list[str] = field(default_factory=list)
    all_true_s: list[float] = field(default_factory=list)
    _own: list[asyncio.subprocess.Process] = field(default_factory=list)

    def instances(self, service: str) -> list[str]:
        return sorted(name for name, process in self.arena.processes().items() if process.service == service)

    def one_of(self, service: str) -> str:
        return self.rng.choice(self.instances(service))

    # -- ending processes -----------------------------------------------------------------------

    async def kill(self, name: str, failpoint: str | None = None) -> bool:
        """SIGKILL, with a failpoint armed for the next start; whether it was alive."""
        if failpoint is not None:
            (self.arena.failpoints / name).write_text(failpoint)
        symbols, classes = await self.work_of(name)
        hit = self.aim(name, symbols, classes)
        if not self.arena.kill(name):
            return False
        self.kills += 1
        if hit is not None:
            self.sightings.hit(hit)
        return True

    def aim(self, name: str, symbols: Collection[str] = (), classes: Collection[int] = ()) -> Hit | None:
        """The clock of recovery, about to start; None for what trades do not show."""
        view = VIEWS.get(name.rpartition("-")[0] or name)
        return None if view is None else Hit(name, view, time.time(), symbols, classes)

    def struck(self, name: str, *, view: View = View.ANSWERS, symbols: Collection[str] = ()) -> None:
        """Something else than a kill stops trades from now on."""
        self.sightings.hit(Hit(name, view, time.time(), symbols))

    async def work_of(self, name: str) -> tuple[frozenset[str], frozenset[int]]:
        """Return the symbols, and the classes of accounts, that this process alone works for now."""
        said = await self.arena.health(name) if name.startswith(("matcher", "processor")) else None
        lags = said.get("lags") if said else None
        if not isinstance(lags, dict):
            return frozenset(), frozenset()
        found: dict[str, set[int]] = {}
        for source in lags:
            if match := _SOURCE.fullmatch(source):
                found.setdefault(match[1], set()).add(int(match[2]))
        topics = load_topics(self.arena.settings.topics_file)
        partitions = found.get("validated-orders", set())
        symbols = frozenset(symbol for symbol, at in topics.symbols.items() if at in partitions)
        return symbols, frozenset(found.get("order-requests", ()))

    async def die_at(self, service: str, failpoint: str, most_s: float = 15.0) -> bool:
        """Kill it with the failpoint armed; whether the next one reached that in time and ended there."""
        name = self.one_of(service)
        pid = await self.arena.fresh_pid(name, None)
        symbols, classes = await self.work_of(name)
        before = self.arena.endings()[name, "exit code 137"]
        if not await self.kill(name, failpoint):
            return False
        await self.arena.fresh_pid(name, pid)
        deadline = time.monotonic() + most_s
        while self.arena.endings()[name, "exit code 137"] == before:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.05)
        self.kills += 1
        if hit := self.aim(name, symbols, classes):  # it may have let trades through before
            self.sightings.hit(hit)
        return True

    async def recovered(self, most_s: float = 120.0) -> None:
        """Wait for the first new trade after every hit so far. Raises Violation."""
        deadline = time.monotonic() + most_s
        while self.sightings.open:
            if time.monotonic() > deadline:
                waiting = ", ".join(f"{hit.name} ({hit.view})" for hit in self.sightings.open)
                raise Violation(f"no new trade within {most_s:.0f} s after: {waiting}")
            await asyncio.sleep(0.05)

    # -- more processes -------------------------------------------------------------------------

    async def spawn(self, *module: str, name: str, **variables: str) -> asyncio.subprocess.Process:
        """Start one more process on the exchange, outside of its supervisor; `end_own` ends it."""
        log_file = self.arena.data / "logs" / f"chaos-{name}.log"
        with log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *bound((sys.executable, "-m", *module), orphan_signal=signal.SIGKILL),
                env={**self.arena.shell, **variables},
                cwd=Path.cwd(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        self._own.append(process)
        return process

    async def end_own(self) -> None:
        for process in self._own:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
                process.kill()
            await process.wait()
        self._own.clear()
