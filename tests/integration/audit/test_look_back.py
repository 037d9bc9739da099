"""Balances as they were, against what the database held at that moment."""

from __future__ import annotations

import random

import msgspec

from service_runtime.memory_log import MemoryEventLog
from tapehouse.audit.look_back import Moment, look_back, texts
from tapehouse.replay.bounds import parse_bound
from tests.builders import ALICE
from tests.integration.audit import streams
from tests.integration.ledger_world import INSTRUMENTS, TOPICS, World

WALLETS = "SELECT account_id, asset, available, locked FROM wallets WHERE (available, locked) <> (0, 0)"
FIRST_MS = 1_700_000_000_000


def _at(world: World, *texts: str) -> Moment:
    return look_back(MemoryEventLog(world.broker), TOPICS, INSTRUMENTS, parse_bound("--at", texts))


def _stamp(world: World, now_ms: int) -> None:
    """Say that the broker got at `now_ms` what it has got since the last time."""
    for records in world.broker.records.values():
        for place, record in enumerate(records):
            if not record.timestamp_ms:
                records[place] = msgspec.structs.replace(record, timestamp_ms=now_ms)


def test_balances_are_those_of_then(world: World) -> None:
    streams.fund(world)
    services = [world.processor().start(), world.matcher().start(), world.recorder().start()]
    rnd, n, then = random.Random(21), 0, []
    for step in range(6):
        n = streams.drive(world, services, rnd, n, 2)
        _stamp(world, FIRST_MS + step * 1_000)
        ends = [f"{p}:{world.end('matched-events', p)}" for p in range(4)]
        then.append((ends, {(a, asset): (free, held) for a, asset, free, held in world.rows(WALLETS)}))
    assert then[0][1] != then[-1][1]
    for step, (ends, wallets) in enumerate(then):
        by_time = _at(world, str(FIRST_MS + step * 1_000 + 1))
        assert by_time.rows == wallets, step
        assert [f"{p}:{offset}" for p, offset in sorted(by_time.places.items())] == ends
        assert _at(world, *ends).rows == wallets
    assert _at(world).rows == then[-1][1]
    assert _at(world, str(FIRST_MS)).rows == {}


def test_partitions_that_are_not_named_are_taken_up_to_the_same_moment(world: World) -> None:
    streams.fund(world)
    services = [world.processor().start(), world.matcher().start(), world.recorder().start()]
    n = streams.drive(world, services, random.Random(22), 0, 4)
    _stamp(world, FIRST_MS)
    end, wallets = world.end("matched-events", 0), world.rows(WALLETS)
    streams.drive(world, services, random.Random(23), n, 4)
    _stamp(world, FIRST_MS + 1_000)
    assert {(*key, *row) for key, row in _at(world, f"0:{end}").rows.items()} == set(wallets)


def test_amounts_are_shown_in_the_asset_s_decimals() -> None:
    (row,) = texts({(ALICE, "USDT"): (150_000_000, 1)}, INSTRUMENTS)
    scale = INSTRUMENTS.assets["USDT"]
    assert row == {
        "account": ALICE,
        "asset": "USDT",
        "available": scale.text(150_000_000),
        "locked": scale.text(1),
    }
