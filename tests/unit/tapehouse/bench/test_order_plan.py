"""The benchmark's orders: seeded, half crossing, tradable, and every crossing one fills."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from matcher.matching import enter
from matcher.order import Order
from matcher.order_book import OrderBook
from schemas.instruments import load_instruments
from schemas.money import parse_decimal
from schemas.orders import OrderType, TimeInForce
from tapehouse.bench.order_plan import Market, OrderPlan, PlannedOrder
from tapehouse.usual_prices import USUAL_PRICES

INSTRUMENTS = load_instruments()


def market(symbol: str) -> Market:
    instrument = INSTRUMENTS[symbol]
    return Market.around(instrument, parse_decimal(USUAL_PRICES[symbol], 8) // instrument.tick_e8)


def plan(seed: int = 1, symbols: tuple[str, ...] = ("BTCUSDT", "ETHBTC"), accounts: int = 4) -> OrderPlan:
    return OrderPlan([market(symbol) for symbol in symbols], accounts, seed)


def orders(count: int, seed: int = 1) -> list[PlannedOrder]:
    return list(islice(plan(seed).orders(), count))


def test_same_seed_gives_the_same_orders() -> None:
    assert orders(100) == orders(100)
    assert orders(100) != orders(100, seed=2)


def test_half_of_the_orders_cross_on_every_symbol() -> None:
    counted = Counter((order.symbol, order.crossing) for order in orders(800))
    assert set(counted.values()) == {200}


def test_makers_and_takers_are_different_accounts() -> None:
    placed = orders(500)
    makers = {o.account for o in placed if not o.crossing} | {o.account for o in plan().first_orders()}
    takers = {o.account for o in placed if o.crossing}
    assert (makers, takers) == ({0, 1}, {2, 3})


@pytest.mark.parametrize("symbol", sorted(INSTRUMENTS.symbols))
def test_every_order_passes_the_filters(symbol: str) -> None:
    instrument = INSTRUMENTS[symbol]
    one = plan(symbols=(symbol,))
    for order in [*one.first_orders(), *islice(one.orders(), 200)]:
        ticks, rest = divmod(parse_decimal(order.price, 8), instrument.tick_e8)
        lots, rest_lots = divmod(parse_decimal(order.quantity, 8), instrument.lot_e8)
        assert (rest, rest_lots) == (0, 0)
        assert instrument.min_quantity_lots <= lots <= instrument.max_quantity_lots
        assert instrument.notional_minor(ticks, lots) >= instrument.min_notional_minor


def test_every_crossing_order_fills_and_the_book_stays_as_deep() -> None:
    one = plan(symbols=("BTCUSDT",))
    book, instrument = OrderBook(), INSTRUMENTS["BTCUSDT"]
    fills_of, number = Counter[int](), 0

    def send(order: PlannedOrder) -> None:
        nonlocal number
        number += 1
        lots = parse_decimal(order.quantity, 8) // instrument.lot_e8
        entering = Order(
            order_id=number,
            account_id=order.account,
            client_order_id="",
            side=order.side,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce(order.time_in_force),
            price_ticks=parse_decimal(order.price, 8) // instrument.tick_e8,
            quantity_lots=lots,
            leaves_lots=lots,
            executed_notional=0,
            maker_fee_ppm=0,
            entered_at_ns=0,
            entered_sequence=number,
        )
        fills, _ = enter(book, entering)
        assert sum(filled for _, _, filled, _ in fills) == (lots if order.crossing else 0)
        if order.crossing:
            fills_of[len(fills)] += 1

    for order in one.first_orders():
        send(order)
    depth = sum(order.leaves_lots for account in (0, 1) for order in book.open_orders_of(account))
    for order in islice(one.orders(), 4_000):
        send(order)
    assert sum(o.leaves_lots for account in (0, 1) for o in book.open_orders_of(account)) == depth
    assert fills_of[1] > 500
    assert fills_of[2] > 300


def test_one_account_cannot_make_and_take() -> None:
    with pytest.raises(ValueError, match="two accounts"):
        plan(accounts=1)
