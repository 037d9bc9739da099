"""What stands for Postgres and Redis in the simulation does what the real ones do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import redis

from processor.questions import Questions
from processor.store import Moved, Store
from recorder.settlement import Settlement
from recorder.store import Moved as RecorderMoved
from recorder.store import Store as RecorderStore
from service_runtime.errors import Fault, Fenced, InvariantBroken
from service_runtime.event_log import TopicPartition
from service_runtime.migrations import migrate
from service_runtime.postgres import connect
from service_runtime.settings import PostgresSettings
from tests.builders import account_opened, funds_deposited, trade_executed
from tests.integration.simulation.twins import Still, Twin, TwinWorld, outcome, real_keys, simulated_keys
from tests.simulation.exchange.database import Database, ListRow, OrderRow, SettledRow
from tests.simulation.exchange.session import simulated
from tests.simulation.exchange.stores import Connection, SimProcessorStore, SimRecorderStore
from tests.simulation.exchange.world import INSTRUMENTS

pytestmark = pytest.mark.long

MIGRATIONS = Path(__file__).resolve().parents[3] / "recorder" / "migrations"
_MATCHED = TopicPartition("matched-events", 0)
_COLUMNS = {
    "positions": "service, topic, partition, next_offset, last_batch",
    "wallets": "account_id, asset, available, locked",
    "accounts": "account_id, name, status, maker_fee_ppm, taker_fee_ppm, opened_at_ns",
    "deposits": "deposit_id, account_id, asset, amount_minor, at_ns",
    "orders": ", ".join(OrderRow.__slots__),
    "order_lists": ", ".join(ListRow.__slots__),
    "rejections": "source_partition, source_offset, account_id, symbol, client_order_id, reason, at_ns",
    "ledger": (
        "source, source_partition, source_offset, leg, account_id, asset, available_delta, locked_delta,"
        " at_ns, symbol, reference"
    ),
    "trades": (
        "symbol, trade_id, sequence, price_ticks, quantity_lots, quote_minor, taker_side, buyer_order_id,"
        " buyer_account_id, buyer_fee_minor, seller_order_id, seller_account_id, seller_fee_minor,"
        " executed_at_ns"
    ),
    "settled": f"symbol, {', '.join(SettledRow.__slots__)}",
    "prevented_matches": (
        "symbol, prevented_match_id, account_id, mode, price_ticks, taker_order_id, maker_order_id,"
        " taker_prevented_lots, maker_prevented_lots, at_ns"
    ),
    "amendments": (
        "order_id, sequence, symbol, previous_client_order_id, client_order_id, quantity_lots, at_ns"
    ),
}


class QuietClient(Still):
    def coin(self) -> bool:
        return False


@pytest.fixture
def dsn(fresh_database: Callable[[], str]) -> str:
    made = fresh_database()
    migrate(made, MIGRATIONS)
    return made


@pytest.fixture
def hot_url(redis_url: str) -> str:
    url = urlunsplit(urlsplit(redis_url)._replace(path="/6"))
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def open_connection(dsn: str) -> Iterator[Callable[[], psycopg.Connection]]:
    opened: list[psycopg.Connection] = []

    def make() -> psycopg.Connection:
        opened.append(connect(PostgresSettings(dsn=dsn), "twin", wait=False))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_stores_and_hot_book_agree_with_the_real_ones(seed: int, dsn: str, hot_url: str) -> None:
    with simulated(make=lambda number: TwinWorld(number, dsn, hot_url)) as make:
        world: Any = make(seed)
        try:
            world.run(rounds=2, requests=60)
            world.settle_hot_books()
            with psycopg.connect(dsn) as connection:
                assert tables(connection) == shown(world.database)
            with redis.Redis.from_url(hot_url) as client:
                assert real_keys(client) == simulated_keys(world.redis.keys)
        finally:
            world.close()


def test_the_recorder_is_refused_alike(open_connection: Callable[[], psycopg.Connection]) -> None:
    database = Database()

    def store() -> Any:
        return Twin(SimRecorderStore(Connection(database, QuietClient())), RecorderStore(open_connection()))

    def settle(number: int, **changes: Any) -> Settlement:
        settlement = Settlement(INSTRUMENTS)
        settlement.trade(trade_executed(trade_id=number, **changes), 0, number)
        settlement.changes.orders.clear()
        return settlement

    one = store()  # a new one after each refusal, which ends the process
    one.settled(["BTCUSDT"])
    assert one.positions([_MATCHED]) == store().positions([_MATCHED]) == {_MATCHED: 0}
    with pytest.raises(InvariantBroken):  # nobody has what the trade takes
        store().write(settle(1), [], {_MATCHED: RecorderMoved(0, 1)})
    deposits = Settlement(INSTRUMENTS)
    for number, asset in enumerate(("USDT", "BTC"), 1):
        opened = account_opened(account_id=1000 + number)
        deposit = funds_deposited(account_id=1000 + number, asset=asset, deposit_id=f"d-{number}")
        facts = one.open_accounts([opened], [deposit])
        assert facts.accounts == {1000 + number}
        deposits = Settlement(INSTRUMENTS)
        deposits.deposit(deposit, 0, number)
        one.write(deposits, [deposit], {_MATCHED: RecorderMoved(number - 1, number)})
    with pytest.raises(Fenced):
        store().write(Settlement(INSTRUMENTS), [], {_MATCHED: RecorderMoved(0, 5)})
    with pytest.raises(Fenced):  # overdrawn too, but another one was here first
        store().write(settle(1), [], {_MATCHED: RecorderMoved(1, 5)})
    with pytest.raises(InvariantBroken):  # the same ledger rows again
        store().write(deposits, [], {_MATCHED: RecorderMoved(2, 3)})
    assert store().positions([_MATCHED]) == {_MATCHED: 2}


def test_the_processor_is_refused_alike(open_connection: Callable[[], psycopg.Connection]) -> None:
    database = Database()

    def store() -> Any:
        simulated_one = SimProcessorStore(Connection(database, QuietClient()), INSTRUMENTS)
        return Twin(simulated_one, Store(open_connection(), INSTRUMENTS))

    def ask(position: int) -> Questions:
        return Questions(positions={0: position}, accounts=[], wallets=[], client_keys=[], order_ids=[])

    one, other = store(), store()
    assert one.positions([0]) == other.positions([0])
    one.read(ask(0))
    one.write([], [], {}, {0: Moved(0, 3, b"emitted")})
    with pytest.raises(Fenced):
        other.read(ask(0))
    found = store().positions([0])
    assert (found[0].next_offset, found[0].last_batch) == (3, b"emitted")


def test_a_disagreement_is_seen() -> None:
    class Says:
        def __init__(self, word: str | Fault) -> None:
            self.word = word

        def speak(self) -> str:
            if isinstance(self.word, Fault):
                raise self.word
            return self.word

    assert outcome(Says("a").speak, ()) == "a"
    with pytest.raises(AssertionError, match="speak"):
        Twin(Says("a"), Says("b")).speak()
    with pytest.raises(AssertionError, match="speak"):
        Twin(Says(Fenced("x")), Says("b")).speak()


def tables(connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    for table, columns in _COLUMNS.items():
        rows = connection.execute(f"SELECT {columns} FROM {table}".encode()).fetchall()
        found[table] = sorted((tuple(map(_plain, row)) for row in rows), key=repr)
    return _without_empty_wallets(found)


def shown(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    found = {
        table: sorted((tuple(map(_plain, row)) for row in rows), key=repr)
        for table, rows in database.dump().items()
    }
    return _without_empty_wallets(found)


def _without_empty_wallets(found: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """A transaction that was rolled back may leave one in the simulation."""
    return found | {"wallets": [row for row in found["wallets"] if row[2:] != (0, 0)]}


def _plain(value: Any) -> Any:
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    return str(value) if isinstance(value, str) else value
