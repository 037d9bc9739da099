"""The book as a library: batches of plain orders, cancels and moves, with and without the hot path."""

from __future__ import annotations

import random

import pytest

from matcher import Entry, Move, Order, OrderBook
from matcher.matching import Ending
from matcher.text_view import render
from schemas.orders import OrderType, SelfTradePrevention, Side, TimeInForce

BUY, SELL, GTC, IOC, FOK = Side.BUY, Side.SELL, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK


def entry(order_id: int, side: Side, price: int, lots: int, time_in_force: TimeInForce = GTC) -> Entry:
    return (order_id, order_id % 3, "", side, time_in_force, price, lots)


def order(of: Entry) -> Order:
    order_id, account_id, name, side, time_in_force, price, lots = of
    return Order(order_id, account_id, name, side, OrderType.LIMIT, time_in_force, price, lots, lots)


def test_a_batch_is_handled_in_order() -> None:
    book = OrderBook()
    batch = [entry(1, SELL, 101, 5), entry(2, BUY, 101, 3), 1, 1, entry(3, BUY, 99, 2), Move(3, 98, 4)]
    rested, (met, ending), canceled, gone, _, (_, moved) = book.apply(batch)  # type: ignore[misc]
    assert rested[1] is moved is Ending.RESTED  # type: ignore[index]
    assert ([(o.order_id, *rest) for o, *rest in met], ending) == ([(1, 101, 3, 2)], Ending.FILLED)
    assert isinstance(canceled, Order)
    assert (canceled.order_id, canceled.leaves_lots, gone) == (1, 2, None)
    assert render(book).splitlines()[1:] == ["       4 |    98 |"]


@pytest.mark.parametrize("seed", range(5))
def test_the_hot_path_does_what_the_plain_calls_do(seed: int) -> None:
    dice, quick, slow = random.Random(seed), OrderBook(), OrderBook()
    for order_id in range(1, 1500):
        kind = dice.random()
        named = dice.randint(max(1, order_id - 60), order_id)
        if kind < 0.3:
            one, other = quick.apply([named])[0], slow.cancel(named)
            assert (one is None) == (other is None)
        elif kind < 0.4 and named in slow.orders:
            move = Move(named, dice.randint(95, 105), slow.orders[named].quantity_lots + 1)
            assert _told(quick.apply([move])[0]) == _told(slow.move(move))
        else:
            given = entry(
                order_id, dice.choice([BUY, SELL]), dice.randint(95, 105), dice.randint(1, 9),
                dice.choice([GTC, GTC, GTC, IOC, FOK]),
            )  # fmt: skip
            assert _told(quick.apply([given])[0]) == _told(slow.enter(order(given)))
        assert render(quick) == render(slow)
    for account_id in range(3):
        ids = [[o.order_id for o in book.open_orders_of(account_id)] for book in (quick, slow)]
        assert ids[0] == ids[1]


def _told(outcome: object) -> object:
    assert isinstance(outcome, tuple)
    met, ending = outcome
    return [(maker.order_id, *rest) for maker, *rest in met], ending


def test_an_order_with_conditions_goes_its_own_way_in_a_batch() -> None:
    book = OrderBook()
    iceberg, own = order(entry(1, SELL, 100, 9)), order(entry(4, BUY, 100, 2))
    iceberg.special().display_lots = 2
    own.self_trade_prevention = SelfTradePrevention.EXPIRE_TAKER
    book.apply([iceberg, entry(2, SELL, 100, 1), entry(3, BUY, 100, 3)])
    assert render(book).splitlines()[1:] == ["         |   100 | 2(5)"]
    (_, ending) = book.apply([own])[0]  # type: ignore[misc]
    assert ending is Ending.SELF_TRADE
