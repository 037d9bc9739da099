"""The processor on a real database: lists, replaces, amends, and what may be open at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import redis

from schemas.commands import AmendRestingOrder, CancelRestingList, EnterOrderList, ReplaceRestingOrder
from schemas.hot_book import OpenOrder, key
from schemas.instruments import ExchangeLimits, Instruments
from schemas.orders import OrderListKind, OrderType, Side, TimeInForce
from schemas.reasons import RejectReason
from schemas.topics import list_id_of
from tests.builders import (
    ALICE,
    NOW_NS,
    amend_order,
    cancel_list,
    place_list,
    place_order,
    profit_order,
    replace_order,
    requested_order,
    stop_order,
)
from tests.integration.ledger_world import INSTRUMENTS, World

COST = 3_000_000_000
LIMIT = INSTRUMENTS["BTCUSDT"].max_algo_orders


def _stop(name: str, **changes: Any) -> Any:
    terms = {"order_type": OrderType.STOP_LOSS_LIMIT, "stop_price_ticks": 3_100_000, "quantity_lots": 1}
    return place_order(client_order_id=name, **{**terms, **changes})


def _accepted(world: World) -> set[int]:
    """Orders, once each: a restart emits its last batch again."""
    return {order.order_id for order in world.validated()}


def test_a_list_is_one_transaction_of_orders_locks_and_its_own_row(world: World) -> None:
    world.fund(USDT=10 * COST, BTC=1_000_000)
    processor = world.processor()
    legs = (requested_order(), profit_order(), stop_order())
    world.request(place_list(OrderListKind.OTOCO, *legs))
    processor.drain()
    (entered,) = world.validated()
    assert isinstance(entered, EnterOrderList)
    assert (world.wallet(ALICE, "USDT"), world.wallet(ALICE, "BTC")) == (
        (9 * COST, COST),
        (900_000, 100_000),
    )
    rows = "SELECT order_id, list_id, waits_for, reserved_minor FROM orders ORDER BY 1"
    assert world.rows(rows) == [
        (1, 769, "", COST),
        (257, 769, "working_order_filled", 100_000),
        (513, 769, "working_order_filled", 100_000),
    ]
    ledger = "SELECT leg, asset, locked_delta, reference FROM ledger WHERE source = 'R' ORDER BY 1"
    assert world.rows(ledger) == [(0, "USDT", COST, 1), (1, "BTC", 100_000, 257)]
    assert world.rows("SELECT list_id, kind, client_order_id FROM order_lists") == [(769, "OTOCO", "list-1")]
    world.assert_conserved()
    restarted = world.processor()  # knows of it from the database alone
    world.request(place_list(OrderListKind.OTOCO, *legs, reply_partition=0))
    world.request(cancel_list(list_client_order_id="list-1"))
    world.request(cancel_list(list_id=list_id_of(0, 0)))
    world.request(cancel_list(list_id=list_id_of(0, 0), list_client_order_id="x", reply_partition=0))
    restarted.drain()
    canceled = [c for c in world.validated() if isinstance(c, CancelRestingList)]
    assert [c.list_id for c in canceled] == [769, 769]
    assert [r.reason for r in world.replies()] == [
        RejectReason.DUPLICATE_CLIENT_ORDER_ID,
        RejectReason.UNKNOWN_ORDER,
    ]


def test_a_replace_is_paid_by_what_the_hot_book_says_is_still_locked(world: World) -> None:
    """Postgres has not heard of a trade: 400 of the 1,000 lots are gone."""
    world.fund(USDT=10 * COST)
    processor = world.processor()
    world.request(place_order())
    processor.drain()
    with redis.Redis.from_url(world.redis_url) as hot:
        order = OpenOrder(
            order_id=1,
            account_id=ALICE,
            client_order_id="c-1",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            price_ticks=3_000_000,
            quantity_lots=1_000,
            leaves_lots=600,
            executed_quote_minor=0,
            entered_at_ns=NOW_NS,
            updated_at_ns=NOW_NS,
        )
        hot.hset(key("BTCUSDT", "stamp"), mapping={"sequence": 1})
        hot.hset(key("BTCUSDT", "passed"), "0", 0)
        hot.hset(key("BTCUSDT", "orders"), "1", msgspec.json.encode(order))
        world.request(replace_order(requested_order(client_order_id="n-1")))
        processor.drain()
        hot.hdel(key("BTCUSDT", "orders"), "1")  # it has ended, and the row does not say so yet
        world.request(replace_order(requested_order(client_order_id="n-2")))
        processor.drain()
    replaces = [c for c in world.validated() if isinstance(c, ReplaceRestingOrder)]
    assert [c.reserved_minor for c in replaces] == [400 * 3_000_000, COST]
    assert world.wallet(ALICE, "USDT") == (10 * COST - 2 * COST - 400 * 3_000_000, 2 * COST + 400 * 3_000_000)
    world.assert_conserved()


def test_without_a_hot_book_the_row_says_what_is_locked(world: World) -> None:
    world.fund(USDT=10 * COST)
    processor = world.processor()
    world.request(place_order())
    processor.drain()
    world.execute("UPDATE orders SET executed_lots = 100, prevented_lots = 200")
    world.request(replace_order(requested_order(client_order_id="n-1")))
    processor.drain()
    replace = world.validated()[-1]
    assert isinstance(replace, ReplaceRestingOrder)
    assert (replace.cancel_order_id, replace.reserved_minor) == (1, 300 * 3_000_000)


def test_so_many_stops_may_be_open_and_no_more(world: World) -> None:
    world.fund(USDT=1_000 * COST)
    for n in range(LIMIT + 1):
        world.request(_stop(f"s-{n}", reply_partition=0))
    world.processor().drain(max_batch=30)
    world.request(_stop("after-a-restart", reply_partition=0))
    processor = world.processor()
    processor.drain()
    assert len(_accepted(world)) == LIMIT
    refused = {r.source_offset: r.reason for r in world.replies()}
    assert refused == dict.fromkeys((LIMIT, LIMIT + 1), RejectReason.MAX_NUM_ALGO_ORDERS)
    world.execute("UPDATE orders SET waits_for = '' WHERE order_id = 1")  # triggered: an order like others
    world.request(_stop("one-more"))
    processor.drain()
    assert len(_accepted(world)) == LIMIT + 1


def test_an_order_is_amended_so_many_times(world: World) -> None:
    world.fund(USDT=10 * COST)
    processor = world.processor()
    world.request(place_order())
    world.request(amend_order())
    processor.drain()
    amended = world.validated()[-1]
    assert isinstance(amended, AmendRestingOrder)
    assert (amended.order_id, amended.quantity_lots, amended.client_order_id) == (1, 400, "c-2")
    world.execute("UPDATE orders SET amends = %s", INSTRUMENTS["BTCUSDT"].max_order_amends)
    world.request(amend_order(reply_partition=0))
    processor.drain()
    assert [r.reason for r in world.replies()] == [RejectReason.MAX_NUM_ORDER_AMENDS]


def _limited(**changes: Any) -> Instruments:
    one = replace(INSTRUMENTS["BTCUSDT"], **changes)
    return replace(INSTRUMENTS, symbols={**INSTRUMENTS.symbols, "BTCUSDT": one})


def test_counts_over_all_symbols_are_known_after_a_restart(world: World) -> None:
    """Without a hot book: two orders and a stop of another symbol are read from the database."""
    world.fund(USDT=40 * COST)
    kinds = replace(INSTRUMENTS, exchange=ExchangeLimits(max_algo_orders=1))
    orders = replace(INSTRUMENTS, exchange=ExchangeLimits(max_open_orders=3))
    running = world.processor(instruments=kinds)
    world.request(_stop("s-1"))
    for number in (1, 2):
        world.request(place_order(client_order_id=f"c-{number}", symbol="ETHUSDT", price_ticks=300_000))
    running.drain()
    restarted = world.processor(instruments=kinds)
    world.request(_stop("s-2", symbol="ETHUSDT", reply_partition=0))
    restarted.drain()
    again = world.processor(instruments=orders)
    world.request(place_order(client_order_id="c-4", reply_partition=0))
    world.request(place_order(client_order_id="c-5", time_in_force=TimeInForce.IOC))
    again.drain()
    assert {r.client_order_id: r.reason for r in world.replies()} == {
        "s-2": RejectReason.EXCHANGE_MAX_NUM_ALGO_ORDERS,
        "c-4": RejectReason.EXCHANGE_MAX_NUM_ORDERS,
    }
    assert len(_accepted(world)) == 4


def test_a_position_is_read_with_the_wallet_and_the_open_buys(world: World) -> None:
    """0.002 BTC are there, 0.001 ordered, an OCO may bring 0.001 more: of 0.005, 0.001 is left."""
    world.fund(USDT=90 * COST, BTC=200_000)
    instruments = _limited(max_position_lots=5_000)
    first = world.processor(instruments=instruments)
    world.request(place_order())
    high = stop_order(
        side=Side.BUY,
        order_type=OrderType.STOP_LOSS_LIMIT,
        stop_price_ticks=3_100_000,
        price_ticks=3_100_000,
        quantity_lots=1_000,
    )
    low = requested_order(order_type=OrderType.LIMIT_MAKER, client_order_id="low")
    world.request(place_list(OrderListKind.OCO, high, low))
    first.drain()
    restarted = world.processor(instruments=instruments)
    world.request(place_order(client_order_id="c-2", quantity_lots=1_001, reply_partition=0))
    world.request(place_order(client_order_id="c-3", quantity_lots=1_000))
    world.request(place_order(client_order_id="c-4", quantity_lots=1, reply_partition=0))
    restarted.drain()
    assert [(r.client_order_id, r.reason) for r in world.replies()] == [
        ("c-2", RejectReason.MAX_POSITION),
        ("c-4", RejectReason.MAX_POSITION),
    ]
    assert world.rows("SELECT count(*) FROM orders") == [(4,)]
    world.assert_conserved()
