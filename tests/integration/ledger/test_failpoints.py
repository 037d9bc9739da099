"""Processor, recorder and bar writer, killed at each of their failpoints: nothing lost, nothing doubled.

A real database and a real hot book; the log is in memory and loses what was not flushed. What a kill
leaves of that is none, the first or all of it, in turn. Kills of processes on a broker: test_kills.py.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NoReturn

import pytest

from market_data.bar_writer import BarWriter, decode_bar
from market_data.metrics import MarketMetrics
from schemas.codec import encode
from schemas.orders import Side
from service_runtime import failpoints
from service_runtime.clock import ManualClock
from service_runtime.failpoints import EXIT_KILLED, Failpoint, arm
from service_runtime.memory_log import MemoryBroker
from tests.builders import ALICE, BOB, place_order, trade_executed
from tests.integration import ledger_world
from tests.integration.ledger.lossy_log import LossyLog
from tests.integration.ledger_world import TOPICS, Running, World

KEPT = (lambda unsent: 0, lambda unsent: min(unsent, 1), lambda unsent: unsent)
"""How many of the records that were not flushed got out before the kill."""
_numbers = count(1)


class Killed(BaseException):
    """Nothing of the process handles it."""


def _named(service: str, but: str = "none") -> list[Failpoint]:
    return [f for f in Failpoint if f.startswith(f"{service}.") and but not in f]


@pytest.fixture(autouse=True)
def kills(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def end(code: int) -> NoReturn:
        assert code == EXIT_KILLED
        failpoints.disarm()
        raise Killed

    monkeypatch.setattr(os, "_exit", end)
    yield
    failpoints.disarm()


@pytest.fixture(scope="module")
def world(fresh_database: Callable[[], str], redis_url: str) -> Iterator[World]:
    """Shared: each test places orders of its own. There is a hot book, the matcher's."""
    with ledger_world.world(fresh_database, redis_url) as made:
        made.fund(USDT=10**15, BTC=10**15)
        made.matcher().drain()
        yield made


def run_until_killed(running: Running, place: str, reaches: int = 1) -> None:
    """Kill it at the place, and let the database see that its connection is gone."""
    arm(f"{place}:{reaches}")
    with pytest.raises(Killed):
        running.drain(max_batch=3)
    store: Any = running.handler._store  # type: ignore[attr-defined]
    store._connection.close()


def place_orders(world: World) -> list[int]:
    """Two that trade, one that rests, one of an account that does not exist; return their offsets."""
    orders: list[dict[str, Any]] = [
        {"account_id": ALICE, "side": Side.BUY, "price_ticks": 3_000_000},
        {"account_id": BOB, "side": Side.SELL, "price_ticks": 3_000_000},
        {"account_id": ALICE, "side": Side.BUY, "price_ticks": 2_900_000},
        {"account_id": 4, "reply_partition": 3},
        {"account_id": BOB, "side": Side.SELL, "price_ticks": 3_100_000},
    ]
    return [world.request(place_order(client_order_id=f"f-{next(_numbers)}", **order)) for order in orders]


def assert_each_once(world: World, offsets: list[int]) -> None:
    """Every order is one row and, repeats apart, one record for the matcher, in the order they came."""
    first_seen: list[int] = []
    copies = defaultdict(set)
    for record, command in zip(world.broker.values("validated-orders"), world.validated(), strict=True):
        if command.source_offset in offsets:
            copies[command.source_offset].add(record)
            if command.source_offset not in first_seen:
                first_seen.append(command.source_offset)
    accepted = [offset for n, offset in enumerate(offsets) if n != 3]
    assert first_seen == accepted
    assert all(len(records) == 1 for records in copies.values()), "a repeat has other bytes"
    assert {r.source_offset for r in world.replies() if r.correlation_id} >= {offsets[3]}
    for offset in accepted:
        query = "SELECT count(*) FROM ledger WHERE source = 'R' AND source_offset = %s"
        assert world.rows(query, offset) == [(1,)]
    assert world.rows("SELECT count(*) FROM rejections WHERE source_offset = %s", offsets[3]) == [(1,)]


def settle(world: World) -> None:
    world.matcher().drain()
    world.recorder().drain()
    world.assert_conserved()


@pytest.mark.parametrize("kept", KEPT, ids=["none", "first", "all"])
@pytest.mark.parametrize("place", _named("processor", but="recovery"))
def test_a_killed_processor_loses_and_doubles_nothing(
    world: World, place: Failpoint, kept: Callable[[int], int]
) -> None:
    offsets = place_orders(world)
    log = LossyLog(world.broker)
    run_until_killed(world.processor(log), place, reaches=2)  # in its second batch
    log.lose(kept(log.unsent))
    world.processor().drain()
    assert_each_once(world, offsets)
    settle(world)


@pytest.mark.parametrize("place", [f for f in _named("processor") if "recovery" in f])
def test_a_processor_killed_in_recovery_recovers(world: World, place: Failpoint) -> None:
    offsets = place_orders(world)
    run_until_killed(world.processor(LossyLog(world.broker)), Failpoint.PROCESSOR_BEFORE_PRODUCE)
    for kept in KEPT:
        log = LossyLog(world.broker)
        run_until_killed(world.processor(log), place)
        log.lose(kept(log.unsent))
    world.processor().drain()
    assert_each_once(world, offsets)
    settle(world)


@pytest.mark.parametrize("place", _named("recorder"))
def test_a_killed_recorder_loses_and_doubles_nothing(world: World, place: Failpoint) -> None:
    place_orders(world)
    world.processor().drain()
    world.matcher().drain()
    poison = world.broker.write("trade-execution", 0, place.encode())
    before = world.rows("SELECT count(*) FROM trades")[0][0]
    log = LossyLog(world.broker)
    run_until_killed(world.recorder(log), place)
    log.lose(keep=0)
    world.recorder().drain()
    world.recorder().drain()
    world.assert_conserved()
    assert world.rows("SELECT count(*) FROM trades") == [(before + 1,)]
    assert world.rows("SELECT count(*) FROM trades")[0][0] == _last_trade(world)
    letters = {letter.event_id for letter in world.letters() if letter.source_offset == poison}
    assert letters == {f"dead-recorder-trade-execution-0-{poison}"}


def _last_trade(world: World) -> int:
    (found,) = world.rows("SELECT trade_id FROM settled WHERE symbol = 'BTCUSDT'")
    return int(found[0])


@pytest.mark.parametrize("kept", KEPT, ids=["none", "first", "all"])
@pytest.mark.parametrize("place", _named("bars"))
def test_a_killed_bar_writer_leaves_every_trade_in_one_bar(
    place: Failpoint, kept: Callable[[int], int]
) -> None:
    broker = MemoryBroker({"trade-execution": 1, "trade-bars": 1, "dead-letters": 1})
    for trade_id in range(1, 9):
        trade = trade_executed(trade_id=trade_id, occurred_at_ns=trade_id * 10**9)
        broker.write("trade-execution", 0, encode(trade))
    arm(f"{place}:{1 if 'recovery' in place or 'after' in place else 2}")
    log = LossyLog(broker)
    with pytest.raises(Killed):
        _write_bars(log)
    log.lose(kept(log.unsent))
    broker.members.clear()
    _write_bars(LossyLog(broker))
    seen: list[int] = []
    for bar in map(decode_bar, broker.values("trade-bars")):
        if not seen or bar.last_trade_id > seen[-1]:
            seen += range(bar.first_trade_id, bar.last_trade_id + 1)
    assert seen == list(range(1, 9))


def _write_bars(log: LossyLog) -> None:
    clock = ManualClock()
    writer = BarWriter(log, TOPICS, clock, MarketMetrics(), 100)
    log.subscribe(["trade-execution"], "bars", writer)
    for _ in range(3):
        writer.step(0)
        clock.advance(1.0)
