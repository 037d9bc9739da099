"""The database and the books from the topics alone, equal to the live ones, and each fault found."""

from __future__ import annotations

import random

import pytest

from schemas.codec import encode
from service_runtime.memory_log import MemoryEventLog
from tapehouse.audit.rebuild import Rebuilt, rebuild
from tapehouse.audit.scratch_database import PREFIX
from tests.builders import enter_order, place_order
from tests.integration.audit import streams
from tests.integration.ledger_world import World

pytestmark = pytest.mark.long


def _rebuild(world: World) -> Rebuilt:
    return rebuild(world.settings(), MemoryEventLog(world.broker), wait_s=0.5)


def _trade(world: World, seed: int, steps: int = 25) -> None:
    streams.fund(world)
    services = [world.processor().start(), world.matcher().start(), world.recorder().start()]
    streams.drive(world, services, random.Random(seed), 0, steps)


def test_everything_is_equal_after_a_random_stream(world: World) -> None:
    _trade(world, 1)
    rebuilt = _rebuild(world)
    assert rebuilt.difference is None
    for table in ("orders", "trades", "ledger", "wallets", "rejections", "order_lists", "amendments"):
        where = "WHERE (available, locked) <> (0, 0)" if table == "wallets" else ""
        assert world.rows(f"SELECT count(*) FROM {table} {where}") == [(rebuilt.tables[table],)]
    assert min(rebuilt.tables[table] for table in ("orders", "trades", "ledger", "rejections")) > 0
    assert rebuilt.books is not None
    assert rebuilt.books.records == world.rows("SELECT sum(sequence) FROM settled")[0][0]
    assert world.rows("SELECT datname FROM pg_database WHERE datname LIKE %s", f"{PREFIX}%") == []


def test_a_row_that_the_topics_do_not_give_is_found(world: World) -> None:
    _trade(world, 4, steps=6)
    for change, text in (
        ("UPDATE wallets SET available = available {} 1 WHERE account_id = 1004", "wallets 1004"),
        ("UPDATE orders SET created_at_ns = created_at_ns {} 1", "order-requests[0] offset"),
        ("UPDATE ledger SET at_ns = at_ns {} 1 WHERE source = 'T'", "trade-execution[0] offset 0: ledger"),
    ):
        world.execute(change.format("+"))
        assert text in str(_rebuild(world).difference)
        world.execute(change.format("-"))
    world.execute("DELETE FROM rejections WHERE source_offset > 20")
    assert "the topics have it, the live table has not" in str(_rebuild(world).difference)


def test_the_database_goes_even_when_the_rebuild_breaks(world: World) -> None:
    world.fund(USDT=1_000)
    world.request(place_order(client_order_id="dear"))
    world.broker.write("validated-orders", 0, encode(enter_order(source_offset=0)))
    world.execute("INSERT INTO positions VALUES ('processor', 'order-requests', 0, 1)")
    found = _rebuild(world).difference
    assert "order-requests[0] offset 0: it was accepted, and no wallet pays for it" in str(found)
    assert world.rows("SELECT datname FROM pg_database WHERE datname LIKE %s", f"{PREFIX}%") == []
