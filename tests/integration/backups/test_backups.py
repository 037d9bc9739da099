"""A backup put back: brought forward by what the log says was decided, not by deciding anew."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from schemas.orders import Side
from schemas.topics import VALIDATED_ORDERS
from service_runtime.errors import PositionLost
from service_runtime.event_log import TopicPartition
from service_runtime.memory_log import MemoryEventLog
from tapehouse.audit.audit import Options, audit
from tapehouse.audit.rebuild import rebuild
from tapehouse.backups import manifest
from tapehouse.backups.backup import backup
from tapehouse.backups.restore import Restored, _fill, restore
from tapehouse.errors import OperatorError
from tests.builders import ALICE, BOB, account_opened, funds_deposited, place_order
from tests.integration.audit import streams
from tests.integration.ledger_world import TOPICS, World

pytestmark = pytest.mark.long

HOUR_S = 3_600.0
TABLES = ("accounts", "deposits", "ledger", "orders", "order_lists", "trades", "wallets")
REJECTIONS = (
    "SELECT source_partition, source_offset, account_id, client_order_id FROM rejections ORDER BY 1, 2"
)
REASONS = "SELECT source_offset, reason, at_ns FROM rejections WHERE reason <> 'not_recorded'"


def _backup(world: World, folder: Path) -> manifest.Manifest:
    return backup(world.dsn, MemoryEventLog(world.broker), TOPICS, folder)


def _restore(world: World, folder: Path, keep: bool = False) -> Restored:
    return restore(world.settings(), MemoryEventLog(world.broker), folder, keep)


def _stop(world: World) -> None:
    world.close()
    world._handlers.clear()


def _trade(world: World, seed: int, first: int, steps: int) -> int:
    services = [world.processor().start(), world.matcher().start(), world.recorder().start()]
    return streams.drive(world, services, random.Random(seed), first, steps)


def _tables(world: World) -> dict[str, list[tuple[object, ...]]]:
    return {name: world.table(name) for name in TABLES} | {"rejections": world.rows(REJECTIONS)}


def _assert_sound(world: World) -> None:
    log = MemoryEventLog(world.broker)
    assert audit(world.settings(), log, Options(0.5)).difference is None
    assert rebuild(world.settings(), log, 0.5).difference is None


def test_an_older_backup_comes_forward_to_the_equal_state(world: World, tmp_path: Path) -> None:
    streams.fund(world)
    n = _trade(world, 1, 0, 8)
    taken = _backup(world, tmp_path / "backup")
    # Accepted and filled within its receive window; today that has passed.
    now_ns = world.clock.now_ns()
    world.request(place_order(client_order_id="in-time", price_ticks=3_100_000, expires_at_ns=now_ns + 10**9))
    world.request(
        place_order(account_id=BOB, side=Side.SELL, client_order_id="seller", price_ticks=2_950_000)
    )
    n = _trade(world, 2, n, 8)
    world.account(account_opened(account_id=1012))
    world.account(funds_deposited(account_id=1012, asset="USDT", amount_minor=7, deposit_id="later"))
    world.recorder().drain()
    expected, reasons = _tables(world), set(world.rows(REASONS))
    _stop(world)
    world.clock.advance(HOUR_S)

    done = _restore(world, tmp_path / "backup")

    assert done.records > 50
    assert sum(p.next_offset for p in taken.positions) + done.records == sum(
        offset for (offset,) in world.rows("SELECT next_offset FROM positions")
    )
    assert _tables(world) == expected
    assert len(taken.floors) == 20
    assert set(world.rows(REASONS)) < reasons  # but for those that nobody waited for: they are in no topic
    assert world.rows("SELECT ended FROM orders WHERE client_order_id = 'in-time'") == [("FILLED",)]
    assert world.rows("SELECT nextval('account_ids')") == [(1013,)]
    _assert_sound(world)
    _trade(world, 3, n, 4)
    _assert_sound(world)


def test_a_database_that_is_older_than_the_log_decides_nothing(world: World, tmp_path: Path) -> None:
    """Somebody put a backup back by hand, and starts the processor."""
    streams.fund(world)
    taken = _backup(world, tmp_path / "backup")
    world.request(place_order(expires_at_ns=world.clock.now_ns() + 10**9))
    world.processor().drain()
    _stop(world)
    world.clock.advance(HOUR_S)
    _fill(world.dsn, taken, tmp_path / "backup", lambda *_: None)
    with pytest.raises(PositionLost, match=r"order-requests\[0\]: expected offset 0, found .*restore"):
        world.processor().start()
    assert world.rows("SELECT count(*) FROM rejections") == [(0,)]
    _stop(world)
    assert _restore(world, tmp_path / "backup").records == 1
    world.processor().drain()
    assert world.rows("SELECT count(*) FROM orders") == [(1,)]


def test_what_the_log_says_nothing_of_is_decided_by_the_processor(world: World, tmp_path: Path) -> None:
    streams.fund(world)
    _backup(world, tmp_path / "backup")
    world.request(place_order(client_order_id="decided"))
    world.processor().drain()
    world.request(place_order(client_order_id="waiting"))
    _stop(world)
    assert _restore(world, tmp_path / "backup", keep=False).records == 1
    for service in (world.processor(), world.matcher(), world.recorder()):
        service.drain()
    assert world.rows("SELECT client_order_id FROM orders ORDER BY order_id") == [("decided",), ("waiting",)]
    assert len(world.broker.records[TopicPartition(VALIDATED_ORDERS, 0)]) == 2
    _assert_sound(world)


def test_a_restore_refuses_what_it_cannot_do_and_changes_nothing(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    streams.fund(world)
    _backup(world, folder)
    with pytest.raises(OperatorError, match="is not empty"):
        _backup(world, folder)
    with pytest.raises(OperatorError, match="in use by recorder: stop the services first"):
        _restore(world, folder)
    _stop(world)
    with pytest.raises(OperatorError, match="is no backup"):
        _restore(world, tmp_path)
    source = TopicPartition("account-events", ALICE % 4)
    world.broker.truncate(source, 6)
    kept = (folder / "deposits.copy.gz").read_bytes()
    (folder / "deposits.copy.gz").write_bytes(gzip.compress(b"1\n"))
    with pytest.raises(OperatorError, match=r"deposits.copy.gz is damaged"):
        _restore(world, folder)
    (folder / "deposits.copy.gz").write_bytes(kept)
    assert world.rows("SELECT count(*) FROM deposits") == [(6,)]
    world.broker.truncate(source, 8)
    world.broker.records[source].clear()
    world.broker.first_offsets[source] = 0
    with pytest.raises(PositionLost, match=r"account-events\[0\]: expected offset 8, found 0 to 0"):
        _restore(world, folder)
    assert world.rows("SELECT count(*) FROM deposits") == [(6,)]
