"""One chaos run: the exchange, the fleet, round after round of faults, and the verdict of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from random import Random

from tapehouse.chaos import client_journal, judge, plan
from tapehouse.chaos.arena import Arena
from tapehouse.chaos.client_journal import ClientJournal
from tapehouse.chaos.fault import STORM, Fault
from tapehouse.chaos.field import Field, Violation
from tapehouse.chaos.fleet import ACCOUNTS, Fleet, flow_of, open_accounts
from tapehouse.chaos.injectors import INJECTORS
from tapehouse.chaos.sightings import Sightings
from tapehouse.chaos.table import Row
from tapehouse.chaos.watches import watch_streams, watch_tables
from tapehouse.errors import OperatorError


@dataclass(frozen=True)
class Wanted:
    seed: int
    faults: Sequence[Fault] = ()
    """One after the other, `rounds` times."""
    rounds: int = 1
    storm_kills: int = 0
    kills_a_round: int = 60
    every_s: float = 1.2
    """Between two kills of a storm, about."""
    accounts: int = ACCOUNTS
    rate: float = 40.0
    """Requests a second of the whole fleet."""
    before_s: float = 3.0
    after_s: float = 2.0
    most_s: float | None = None
    """No round begins after this."""
    go_on: bool = False
    """After a violation."""


@dataclass
class ChaosRun:
    arena: Arena
    wanted: Wanted
    say: Callable[[str], None]
    rows: dict[str, Row] = field(default_factory=dict)
    audits_s: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    async def run(self) -> None:
        """Start everything, go through the rounds. Raises OperatorError; violations are in the rows."""
        async with self.trading():
            await self._rounds()

    @asynccontextmanager
    async def trading(self) -> AsyncIterator[None]:
        """The exchange is up, the fleet's accounts are open; `round` may be called. Raises OperatorError."""
        self.say(f"seed {self.wanted.seed}; everything is in {self.arena.root}")
        await self.arena.start()
        settings = self.arena.settings
        accounts = await open_accounts(settings, self.wanted.accounts)
        self.say(f"{self._clock()} the exchange is up, {len(accounts)} accounts are open")
        self.journal = ClientJournal(self.arena.root / "journal.jsonl")
        self.sightings = Sightings()
        flow = flow_of(settings, self.wanted.seed, len(accounts), f"c{self.wanted.seed}")
        self.fleet = Fleet(settings, accounts, flow, self.journal, self.sightings, self.wanted.rate)
        url = f"ws://{settings.api_host}:{settings.ports.api}"
        watchers = [
            asyncio.create_task(watch_streams(url, flow.symbols, self.sightings)),
            asyncio.create_task(watch_tables(settings.postgres.dsn, self.sightings)),
        ]
        try:
            yield
        finally:
            for watcher in watchers:
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
            await self.fleet.close()
            self.journal.close()

    async def _rounds(self) -> None:
        wanted = self.wanted
        for fault, rng in plan.rounds(wanted.seed, wanted.faults, wanted.rounds):
            if self._over():
                return
            await self.round(fault, rng, INJECTORS[fault.name])
        killed, number = 0, 0
        while killed < wanted.storm_kills and not self._over():
            left = wanted.storm_kills - killed
            kills = min(wanted.kills_a_round, left + left // 3)  # some failpoints are not reached

            async def storm(field: Field, number: int = number, kills: int = kills) -> None:
                await self._storm(field, number, kills)

            await self.round(STORM, Random(f"storm-{wanted.seed}-{number}"), storm)
            killed, number = self.rows[STORM.name].kills, number + 1

    def _over(self) -> bool:
        if self.violations and not self.wanted.go_on:
            return True
        return self.wanted.most_s is not None and time.monotonic() - self.began > self.wanted.most_s

    @property
    def violations(self) -> list[str]:
        return [text for row in self.rows.values() for text in row.violations]

    # -- a round --------------------------------------------------------------------------------

    async def round(self, fault: Fault, rng: Random, inject: Callable[[Field], Awaitable[None]]) -> None:
        """Trade, inject, trade on, wait for quiet, hold every invariant; the row says what came of it."""
        row = self.rows.setdefault(fault.name, Row(fault.name, fault.text))
        row.rounds += 1
        self.sightings.drain()
        field = Field(self.arena, self.fleet, self.sightings, rng, self._all_true, self.say)
        started, endings = time.monotonic(), self.arena.endings()
        try:
            self.fleet.start()
            await asyncio.sleep(self.wanted.before_s)
            await inject(field)
            await asyncio.sleep(self.wanted.after_s)
            await self.fleet.pause()
            await self._all_true()
        except (Violation, OperatorError) as violation:
            row.violations.append(f"{fault.name}: {violation}")
            with suppress(Exception):
                await self.fleet.pause()
        finally:
            await field.end_own()
            self.arena.wake_all()
        row.kills += field.kills
        row.notes += field.notes
        row.all_true_s += field.all_true_s
        over, never = self.sightings.drain()
        for hit in over:
            assert hit.recovery_s is not None
            row.recoveries_s.append(hit.recovery_s)
            row.by_service.setdefault(hit.name, []).append(hit.recovery_s)
        if never and not row.violations:
            row.notes.append(f"{len(never)} hits overtaken")
        await self._count(row)
        others = self.arena.endings() - endings
        own = {how: n for (_, how), n in others.items() if how not in ("killed by SIGKILL", "exit code 137")}
        self._say_round(row, field, time.monotonic() - started, own)

    async def _count(self, row: Row) -> None:
        answers = self.journal.take_round()
        told = client_journal.tally(answers)
        row.requests += told.requests
        row.unknown += told.unknown
        try:
            lost, doubled = await asyncio.to_thread(
                client_journal.lost_and_doubled, self.arena.settings.postgres.dsn, answers
            )
        except Exception as error:  # the database may be what is broken
            row.violations.append(f"{row.fault}: the tables cannot be asked: {error}")
            return
        row.lost += len(lost)
        row.doubled += len(doubled)
        row.violations += [f"{row.fault}: lost: {text}" for text in lost[:5]]
        row.violations += [f"{row.fault}: doubled: {text}" for text in doubled[:5]]

    async def _all_true(self) -> None:
        started = time.monotonic()
        await judge.await_quiet(self.arena)
        self.journal.flush()
        quiet_s = time.monotonic() - started
        await judge.run_audit(self.arena, self.journal.path)
        self.audits_s.append(time.monotonic() - started - quiet_s)

    async def _storm(self, field: Field, number: int, kills: int) -> None:
        """Kill after kill, without waiting for what the last one did."""
        before = self.arena.endings()
        for kill in plan.storm(self.wanted.seed, number, kills, self.wanted.every_s):
            names = field.instances(kill.service)
            if names:
                await field.kill(field.rng.choice(names), kill.failpoint)
            await asyncio.sleep(kill.pause_s)
        await field.recovered()
        field.kills = sum(
            count
            for (_, how), count in (self.arena.endings() - before).items()
            if how in ("killed by SIGKILL", "exit code 137")
        )

    def _say_round(self, row: Row, field: Field, took_s: float, own: dict[str, int]) -> None:
        text = f"{self._clock()} {row.fault:<5} {row.text}: {field.kills} kills in {took_s:.0f} s"
        if field.notes:
            text += f" ({'; '.join(field.notes)})"
        if own:
            text += f"; ended by themselves: {', '.join(f'{n} x {how}' for how, n in own.items())}"
        self.say(text)
        for violation in row.violations:
            self.say(f"        VIOLATED {violation}")

    def _clock(self) -> str:
        return f"{time.monotonic() - self.began:6.0f} s"
