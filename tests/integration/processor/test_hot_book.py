"""What the processor takes from the hot book, and that it goes on without."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import redis

from processor.handlers import ProcessorHandler
from processor.store import Store
from schemas.commands import EnterOrder
from schemas.hot_book import OpenOrder, account_key, key
from schemas.instruments import ExchangeLimits
from schemas.orders import OrderType, Side
from schemas.reasons import RejectReason
from service_runtime.hot_book import HotBook
from service_runtime.memory_log import MemoryEventLog
from service_runtime.postgres import connect
from service_runtime.settings import PostgresSettings, RedisSettings
from tests.builders import ALICE, market_order, place_order
from tests.integration.ledger_world import INSTRUMENTS, TOPICS, Running, World

COST = 3_000_000_000


def _hot(world: World, best_ask: int = 3_000_000) -> redis.Redis:
    """Make a hot book for BTCUSDT with one ask."""
    client = redis.Redis.from_url(world.redis_url)
    client.hset(key("BTCUSDT", "stamp"), mapping={"sequence": 1, "last_price_ticks": best_ask})
    client.zadd(key("BTCUSDT", "asks"), {str(best_ask): best_ask})
    return client


def test_a_market_order_is_collared_by_the_hot_book(world: World) -> None:
    world.fund(USDT=10 * COST)
    with _hot(world, 2_000_000):
        world.request(market_order(side=Side.BUY))
        world.processor().drain()
    (entered,) = world.validated()
    assert (entered.price_ticks, entered.reserved_minor) == (2_100_000, 2_100_000_000)


def test_without_a_hot_book_the_last_trade_prices_a_market_order(world: World) -> None:
    world.fund(USDT=10 * COST)
    world.execute("UPDATE settled SET last_price_ticks = 1000000 WHERE symbol = 'BTCUSDT'")
    world.request(market_order(side=Side.BUY))
    world.request(place_order(client_order_id="c-2", price_ticks=5_000_001, reply_partition=0))
    world.processor().drain()
    assert [o.price_ticks for o in world.validated()] == [1_050_000]
    assert [r.reason for r in world.replies()] == [RejectReason.PRICE_BAND]


def test_accepted_orders_are_shown_as_pending_and_counted(world: World) -> None:
    world.fund(USDT=10 * COST)
    with _hot(world) as client:
        client.sadd(account_key("BTCUSDT", ALICE), *range(10_000, 10_998))
        processor = world.processor()
        for n in range(3):
            world.request(place_order(client_order_id=f"c-{n}", quantity_lots=1, reply_partition=0))
            processor.drain()
        assert [type(o) for o in world.validated()] == [EnterOrder, EnterOrder]
        assert [r.reason for r in world.replies()] == [RejectReason.MAX_NUM_ORDERS]
        assert b'"pending":true' in client.hgetall(key("BTCUSDT", "orders"))[b"1"]
        client.delete(account_key("BTCUSDT", ALICE))
        world.request(place_order(client_order_id="c-4", quantity_lots=1))
        processor.drain()
        assert len(world.validated()) == 3


def test_orders_over_all_symbols_are_counted_there_only_where_the_database_leaves_no_room(
    world: World,
) -> None:
    world.fund(USDT=90 * COST)
    instruments = replace(INSTRUMENTS, exchange=ExchangeLimits(max_open_orders=2))
    with redis.Redis.from_url(world.redis_url) as client:

        def asked(place: Callable[[], None]) -> int:
            before = client.info("commandstats")["cmdstat_scard"]["calls"]
            place()
            return client.info("commandstats")["cmdstat_scard"]["calls"] - before

        def place(processor: Running, name: str) -> None:
            world.request(place_order(client_order_id=name, quantity_lots=1, reply_partition=0))
            processor.drain()

        for symbol in INSTRUMENTS.symbols:
            client.hset(key(symbol, "stamp"), mapping={"sequence": 1, "last_price_ticks": 3_000_000})
        client.scard("a key, so that the command is known")
        processor = world.processor(instruments=instruments)
        assert asked(lambda: place(processor, "c-1")) == 1  # of its own symbol, the first time
        assert asked(lambda: place(processor, "c-2")) == 0
        assert asked(lambda: place(processor, "c-3")) == len(INSTRUMENTS.symbols)
        client.spop(account_key("BTCUSDT", ALICE))  # ended, as Postgres does not know yet
        place(processor, "c-4")
        place(processor, "c-5")
        client.spop(account_key("BTCUSDT", ALICE))
        place(world.processor(instruments=instruments), "c-6")  # which knows nothing of before
    assert {r.client_order_id: r.reason for r in world.replies()} == {
        "c-3": RejectReason.EXCHANGE_MAX_NUM_ORDERS,
        "c-5": RejectReason.EXCHANGE_MAX_NUM_ORDERS,
    }
    assert [o.client_order_id for o in world.validated()] == ["c-1", "c-2", "c-4", "c-6"]


def test_an_id_is_free_when_the_hot_book_says_that_its_order_has_ended(world: World) -> None:
    world.fund(USDT=10 * COST)
    with _hot(world) as client:
        processor = world.processor()
        world.request(place_order())
        processor.drain()
        client.delete(key("BTCUSDT", "orders"))  # lost, but the matcher has not come to it
        world.request(place_order(price_ticks=2_999_999, reply_partition=0))
        processor.drain()
        assert [r.reason for r in world.replies()] == [RejectReason.DUPLICATE_CLIENT_ORDER_ID]
        client.hset(key("BTCUSDT", "passed"), "0", 0)  # it has, and the order is gone
        world.request(place_order(price_ticks=2_999_999))
        processor.drain()
    assert [o.price_ticks for o in world.validated()] == [3_000_000, 2_999_999]


def test_with_redis_away_orders_go_on(world: World) -> None:
    world.fund(USDT=10 * COST)
    away = RedisSettings(url="redis://127.0.0.1:1/0", timeout_ms=50)
    store = Store(connect(PostgresSettings(dsn=world.dsn), "processor"), INSTRUMENTS)
    log = MemoryEventLog(world.broker)
    handler = ProcessorHandler(log, store, HotBook(away), world.clock, TOPICS, INSTRUMENTS)
    running = Running(handler, log)
    for n in range(3):
        world.request(place_order(client_order_id=f"c-{n}"))
        running.drain()
    world.execute(
        "INSERT INTO orders SELECT (jsonb_populate_record(o, jsonb_build_object('order_id', 100000 + n,"
        " 'client_order_id', 'x-' || n))).* FROM orders o, generate_series(1, 997) n WHERE o.order_id = 1"
    )
    second = Running(
        ProcessorHandler(log, store, HotBook(away), world.clock, TOPICS, INSTRUMENTS), log
    ).start()
    world.request(place_order(client_order_id="one-too-many", reply_partition=0))
    second.drain()
    assert len(world.validated()) >= 3
    assert [r.reason for r in world.replies()] == [RejectReason.MAX_NUM_ORDERS]
    handler.close()
    world.assert_conserved()


def test_what_a_client_gave_and_since_when_an_order_works_come_back(world: World) -> None:
    """Through processor, matcher and recorder: a labelled stop, triggered, in the hot book and in its row."""
    world.fund(USDT=90 * COST, BTC=1_000_000)
    processor, matcher, recorder = world.processor(), world.matcher(), world.recorder()
    limit = {"price_ticks": 3_000_000, "quantity_lots": 1_000}
    stop = {
        **{"order_type": OrderType.STOP_LOSS_LIMIT, "stop_price_ticks": 3_000_100, "price_ticks": 3_000_050},
        **{"strategy_id": 7, "strategy_type": 1_000_001},
    }

    def trade(name: str, **terms: int) -> None:
        world.request(place_order(client_order_id=f"{name}-s", side=Side.SELL, **{**limit, **terms}))
        world.request(place_order(client_order_id=f"{name}-b", **{**limit, **terms}))

    trade("one")
    world.request(place_order(client_order_id="stop", **stop))
    trade("two", price_ticks=3_000_100)
    for running in (processor, matcher, recorder):
        running.drain()
    with redis.Redis.from_url(world.redis_url) as client:
        (shown,) = client.hvals(key("BTCUSDT", "orders"))
    order = msgspec.json.decode(shown, type=OpenOrder)
    rows = "SELECT strategy_id, strategy_type, working_at_ns FROM orders WHERE ended IS NULL"
    assert order.client_order_id == "stop"
    assert order.held_until is None
    assert world.rows(rows) == [(7, 1_000_001, order.working_at_ns)]
    assert (order.strategy_id, order.strategy_type) == (7, 1_000_001)
    assert world.rows("SELECT count(*) FROM orders WHERE strategy_id IS NULL") == [(4,)]
