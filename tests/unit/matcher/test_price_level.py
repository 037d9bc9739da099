"""What the engine's scenarios cannot see: that nothing dead piles up."""

from __future__ import annotations

from matcher import OrderBook
from matcher.order import Order
from schemas.orders import OrderType, Side, TimeInForce


def resting(order_id: int, price_ticks: int, lots: int = 1, account_id: int = 1) -> Order:
    terms = (Side.BUY, OrderType.LIMIT, TimeInForce.GTC, price_ticks, lots, lots)
    return Order(order_id, account_id, "", *terms, 0, 0, 0, order_id)


def test_canceled_places_of_a_deep_queue_are_swept() -> None:
    book = OrderBook()
    book.rest(resting(0, 100))
    for order_id in range(1, 10_000):
        book.rest(resting(order_id, 100))
        book.cancel(order_id)
    level = book.bids.best()
    assert level is not None
    assert len(level.queue) < 200
    assert level.lots == 1


def test_emptied_levels_below_the_top_are_dropped() -> None:
    book = OrderBook()
    book.rest(resting(0, 20_000))
    for order_id in range(1, 10_000):
        book.rest(resting(order_id, order_id))
        book.cancel(order_id)
    assert len(book.bids.levels) < 200
    assert [level.price_ticks for level in book.bids.in_priority()] == [20_000]


def test_a_level_that_empties_and_fills_again_stays_one() -> None:
    book = OrderBook()
    for order_id in range(1, 1000):
        book.rest(resting(order_id, 100))
        book.cancel(order_id)
    book.rest(resting(1000, 100))
    assert [level.lots for level in book.bids.in_priority()] == [1]
    assert book.bids.holds(-100, 1)
    assert not book.bids.holds(-100, 2)
    assert not book.bids.holds(-101, 1)


def test_empty_levels_are_counted_exactly() -> None:
    book = OrderBook()
    for order_id in range(1, 3000):
        book.rest(resting(order_id, 1 + order_id * 7 % 90))
        book.cancel(order_id - order_id % 3)
        empty = sum(not level.lots for level in book.bids.levels.values())
        assert book.bids._empty == empty


def test_an_account_without_orders_takes_no_room() -> None:
    book = OrderBook()
    for order_id in range(1, 10_000):
        book.rest(resting(order_id, 100, account_id=order_id))
        book.cancel(order_id)
    assert len(book._accounts) < 2_500
    assert (book.open_orders_of(9_999), book.orders) == ([], {})


def test_orders_of_an_account_stand_oldest_first_and_once() -> None:
    book = OrderBook()
    for order_id in range(3_000, 0, -1):
        book.rest(resting(order_id, 100, account_id=order_id % 3))
    stop = resting(3_001, 100, account_id=1)
    book.hold(stop)
    assert [order.order_id for order in book.open_orders_of(1)] == list(range(1, 3_002, 3))
    book.release(stop)
    book.rest(stop)
    book.cancel(1)
    assert [order.order_id for order in book.open_orders_of(1)] == list(range(4, 3_002, 3))
