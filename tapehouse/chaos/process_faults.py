"""Faults of processes: killed, killed at failpoints, frozen, doubled, joining and leaving."""

from __future__ import annotations

import asyncio
import random
import signal
import time

from tapehouse.chaos.field import Field, Violation
from tapehouse.chaos.plan import armed, failpoints_of
from tapehouse.chaos.sightings import View
from tapehouse.supervisor.backoff import HEALTHY_S

FREEZE_S = 8.0
"""Longer than a group's session (6 s): who is frozen loses its partitions."""
KAFKA_FREEZES_S = (5.0, 15.0)
LONG_FREEZE_S = 70.0
ALL_TRUE_S = 15.0
SOON = 3
"""A failpoint of a directed kill is passed so often at most."""


async def kill_ingest(field: Field) -> None:
    for _ in range(3):
        await field.kill(field.one_of("ingest"))
        await field.recovered()


async def kill_processor(field: Field) -> None:
    await _kill_at_failpoints(field, "processor")


async def kill_matcher(field: Field) -> None:
    await _kill_at_failpoints(field, "matcher")


async def kill_recorder(field: Field) -> None:
    await _kill_at_failpoints(field, "recorder")


async def _kill_at_failpoints(field: Field, service: str) -> None:
    """At random, then at every failpoint of the service."""
    await field.kill(field.one_of(service))
    await field.recovered()
    names = list(failpoints_of(service))
    field.rng.shuffle(names)
    missed = []
    for name in names:
        if not await field.die_at(service, armed(field.rng, name, SOON)):
            missed.append(name)
        await field.recovered()
        await asyncio.sleep(HEALTHY_S)  # else the supervisor starts it later each time
    if missed:
        field.notes.append(f"not reached: {', '.join(missed)}")


async def kill_market_data(field: Field) -> None:
    for service in ("market-data", "candles", "market-data", "user-data"):
        await field.kill(field.one_of(service))
        await field.recovered()


async def freeze_matcher(field: Field) -> None:
    name = field.one_of("matcher")
    symbols, _ = await field.work_of(name)
    field.struck(name, symbols=symbols)
    field.arena.signal(name, signal.SIGSTOP)
    try:
        await asyncio.sleep(FREEZE_S)
    finally:
        field.arena.signal(name, signal.SIGCONT)
    await field.recovered()


async def two_matchers(field: Field) -> None:
    """Both own every partition, under load. Whoever came first may end, saying so; then it starts again."""
    variables = {"TAPEHOUSE_INSTANCE": "15", "TAPEHOUSE_HEALTH_PORT": "0"}
    for _ in range(2):
        second = await field.spawn("tapehouse.chaos.second_matcher", name="second-matcher", **variables)
        await asyncio.sleep(6.0)
        if second.returncode is None:
            second.send_signal(signal.SIGSTOP)
            await asyncio.sleep(2.0)
            second.send_signal(signal.SIGCONT)
            await asyncio.sleep(3.0)
        _check_ended(field, second.returncode)
        field.kills += second.returncode is None
        await field.end_own()
        field.struck("two matchers")
        await field.recovered()


def _check_ended(field: Field, code: int | None) -> None:
    said = (field.arena.data / "logs" / "chaos-second-matcher.log").read_text(errors="replace")
    if code is None:
        field.notes.append("both went on")
    elif "has claimed" in said:
        field.notes.append("the second ended: another has claimed")
    else:
        raise Violation(f"the second matcher ended with {code}, and does not say that another has claimed")


async def kill_kafka(field: Field) -> None:
    await field.kill("kafka")
    await field.recovered()


async def freeze_kafka(field: Field) -> None:
    freeze_s = LONG_FREEZE_S if field.rng.random() < 0.1 else field.rng.choice(KAFKA_FREEZES_S)
    field.notes.append(f"{freeze_s:.0f} s")
    field.arena.signal("kafka", signal.SIGSTOP)
    try:
        await asyncio.sleep(freeze_s)
    finally:
        field.arena.signal("kafka", signal.SIGCONT)
    field.struck("kafka thawed")
    await field.recovered()


async def kill_postgres(field: Field) -> None:
    await field.kill("postgres")
    await field.recovered()


async def join_and_leave(field: Field) -> None:
    """A worker more of each kind comes and is killed, again and again."""
    modules = {"processor": "processor", "matcher": "matcher", "recorder": "recorder"}
    for number in range(6):
        name, module = field.rng.choice(list(modules.items()))
        instance = str(10 + number % 4)
        variables = {"TAPEHOUSE_INSTANCE": instance, "TAPEHOUSE_HEALTH_PORT": "0"}
        await field.spawn(module, name=f"{name}-{instance}", **variables)
        await asyncio.sleep(field.rng.uniform(1.5, 3.5))
        if field.rng.random() < 0.7:
            field.kills += 1
            await field.end_own()
    field.kills += 1
    await field.end_own()
    for view in (View.ANSWERS, View.TABLES):
        field.struck("workers gone", view=view)
    await field.recovered()


async def kill_everything(field: Field) -> None:
    """First under load, until the first trade; then in quiet, until every invariant is seen to hold."""
    field.struck("everything")
    await _kill_all(field, field.rng)
    await field.recovered()
    await field.fleet.pause()
    started = time.monotonic()
    await _kill_all(field, field.rng)
    await field.all_true()
    field.all_true_s.append(time.monotonic() - started)
    if field.all_true_s[-1] > ALL_TRUE_S:
        field.notes.append(f"promised within {ALL_TRUE_S:.0f} s, took {field.all_true_s[-1]:.1f} s")
    field.fleet.start()
    if field.rng.random() < 0.5:
        await field.arena.kill_supervisor()
        field.struck("everything and its supervisor")
        await field.arena.start()
        await field.recovered()
        field.notes.append("supervisor too")


async def _kill_all(field: Field, rng: random.Random) -> None:
    names = list(field.arena.pids())
    rng.shuffle(names)
    field.kills += sum(field.arena.kill(name) for name in names)
