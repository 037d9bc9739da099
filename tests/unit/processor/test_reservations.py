"""What an order may cost: collars, budgets, targets, and refusals by terms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.reservations import (
    Market,
    Reservation,
    collar_ticks,
    locks_of_list,
    reserve,
)
from schemas.instruments import load_instruments
from schemas.money import MAX_AMOUNT, PPM
from schemas.orders import OrderListKind, Side
from schemas.reasons import RejectReason
from tests.builders import market_order, place_order, stop_order

BTCUSDT = load_instruments()["BTCUSDT"]
BOOK = Market(2_990_000, 3_010_000, 3_000_000)
LOT_COST = BTCUSDT.tick_lot_minor


def _reserve(order, market: Market = BOOK, available: int = MAX_AMOUNT):
    return reserve(order, BTCUSDT, market, available)


def test_a_limit_buy_locks_price_times_quantity_of_quote() -> None:
    assert _reserve(place_order()) == Reservation(3_000_000, 3_000_000 * 1_000 * LOT_COST, 1_000, None)


def test_a_limit_sell_locks_its_quantity_of_base() -> None:
    assert _reserve(place_order(side=Side.SELL)) == Reservation(3_000_000, 100_000, 1_000, None)


def test_a_market_buy_by_quantity_locks_quantity_at_the_collar() -> None:
    collar = 3_160_500  # the best ask + 5 %
    assert _reserve(market_order()) == Reservation(collar, collar * 1_000 * LOT_COST, 1_000, None)


def test_a_market_sell_is_collared_below_the_best_bid() -> None:
    assert _reserve(market_order(side=Side.SELL)) == Reservation(2_840_500, 100_000, 1_000, None)


def test_the_last_trade_stands_in_for_an_empty_side() -> None:
    assert _reserve(market_order(), Market(None, None, 3_000_000)) == Reservation(
        3_150_000, 3_150_000 * 1_000 * LOT_COST, 1_000, None
    )


def test_without_any_reference_nothing_can_match() -> None:
    assert _reserve(market_order(), Market()).price_ticks == BTCUSDT.min_price_ticks
    assert _reserve(market_order(side=Side.SELL), Market()).price_ticks == BTCUSDT.max_price_ticks


def test_a_market_buy_by_budget_locks_the_budget() -> None:
    order = market_order(quantity_lots=None, quote_quantity_minor=5_000_000_000)
    assert _reserve(order) == Reservation(3_160_500, 5_000_000_000, None, 5_000_000_000)


def test_a_market_sell_by_target_locks_what_the_target_needs_at_the_collar() -> None:
    order = market_order(
        side=Side.SELL, quantity_lots=None, quote_quantity_minor=2_840_500 * LOT_COST * 7 + 1
    )
    assert _reserve(order) == Reservation(2_840_500, 8 * BTCUSDT.lot_minor, 8, order.quote_quantity_minor)


def test_a_market_sell_by_target_takes_what_the_account_has_when_that_is_less() -> None:
    order = market_order(side=Side.SELL, quantity_lots=None, quote_quantity_minor=2_840_500 * LOT_COST * 7)
    sized = _reserve(order, available=3 * BTCUSDT.lot_minor + 99)
    assert (sized.quantity_lots, sized.reserved_minor) == (3, 300)


def test_market_notional_is_measured_at_the_reference_price() -> None:
    tiny = market_order(quantity_lots=None, quote_quantity_minor=999_999)
    assert _reserve(tiny) is RejectReason.MARKET_NOTIONAL
    cheap = Market(None, 1, None)
    assert _reserve(market_order(quantity_lots=1), cheap) is RejectReason.MARKET_NOTIONAL
    dear = Market(None, 100_000_000, None)
    assert _reserve(market_order(quantity_lots=150_000_000), dear) is RejectReason.MARKET_NOTIONAL


def test_terms_outside_the_instrument_are_refused() -> None:
    assert _reserve(place_order(price_ticks=10**12)) is RejectReason.INVALID_ORDER
    assert _reserve(place_order(quantity_lots=10**15)) is RejectReason.INVALID_ORDER
    assert _reserve(market_order(quantity_lots=10**15)) is RejectReason.INVALID_ORDER


def test_a_notional_beyond_63_bits_is_refused() -> None:
    wide = replace(BTCUSDT, max_price_ticks=10**15)
    order = place_order(price_ticks=10**10, quantity_lots=9_000_000_000)
    assert reserve(order, wide, Market(), MAX_AMOUNT) is RejectReason.NOTIONAL_OVERFLOW


def test_the_band_is_inclusive_and_by_side() -> None:
    assert BTCUSDT.within_band(5_000, Side.BUY, 1_000)
    assert not BTCUSDT.within_band(5_001, Side.BUY, 1_000)
    assert BTCUSDT.within_band(200, Side.SELL, 1_000)
    assert not BTCUSDT.within_band(199, Side.SELL, 1_000)
    assert BTCUSDT.within_band(10**9, Side.BUY, None)
    assert _reserve(place_order(price_ticks=100), BOOK) is RejectReason.PRICE_BAND


@given(
    reference=st.integers(1, BTCUSDT.max_price_ticks),
    lots=st.integers(1, BTCUSDT.max_market_quantity_lots),
    side=st.sampled_from(Side),
)
def test_a_market_order_never_costs_more_than_it_locks(reference: int, lots: int, side: Side) -> None:
    market = Market(reference, reference, None)
    sized = _reserve(market_order(side=side, quantity_lots=lots), market)
    if not isinstance(sized, Reservation):
        return
    collar = collar_ticks(side, BTCUSDT, reference)
    if side is Side.BUY:
        assert collar >= min(reference, BTCUSDT.max_price_ticks)
        assert sized.reserved_minor == BTCUSDT.notional_minor(collar, lots)
    else:
        assert BTCUSDT.min_price_ticks <= collar <= reference
        assert sized.reserved_minor == lots * BTCUSDT.lot_minor
    assert abs(collar - reference) * PPM <= reference * BTCUSDT.market_collar_ppm + PPM


@pytest.mark.parametrize(
    ("changes", "price"),
    [
        ({}, 2_755_000),
        ({"trailing_delta_bips": 1_000}, 2_479_500),
        ({"trailing_delta_bips": 1_000, "stop_price_ticks": None}, 2_565_000),
        ({"side": Side.BUY, "stop_price_ticks": 3_100_000}, 3_255_000),
        ({"side": Side.BUY, "stop_price_ticks": None, "trailing_delta_bips": 1_000}, 3_465_000),
    ],
)
def test_a_market_stop_is_collared_from_where_it_may_trigger(changes: dict[str, Any], price: int) -> None:
    sized = reserve(stop_order(**changes), BTCUSDT, Market(None, None, 3_000_000), 0)
    assert isinstance(sized, Reservation)
    assert sized.price_ticks == price
    assert sized.reserved_minor == (100_000 if changes.get("side") is None else price * 1_000)


def test_a_trailing_stop_before_the_first_trade_may_sell_at_any_price() -> None:
    sized = reserve(stop_order(stop_price_ticks=None, trailing_delta_bips=100), BTCUSDT, Market(), 0)
    assert isinstance(sized, Reservation)
    assert sized.price_ticks == BTCUSDT.min_price_ticks


@pytest.mark.parametrize(
    ("kind", "costs", "locks"),
    [
        (OrderListKind.OCO, [3, 5], [5, 0]),
        (OrderListKind.OTO, [3, 5], [3, 5]),
        (OrderListKind.OTOCO, [3, 5, 7], [3, 7, 0]),
        (OrderListKind.OPO, [3, 0], [3, 0]),
        (OrderListKind.OPOCO, [3, 0, 0], [3, 0, 0]),
    ],
)
def test_a_list_locks_what_it_may_need(kind: OrderListKind, costs: list[int], locks: list[int]) -> None:
    assert locks_of_list(kind, costs) == locks
