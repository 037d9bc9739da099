"""MAX_POSITION, MAX_ASSET and the limits over all symbols."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from processor.decisions import decide
from processor.order_limits import counted
from processor.requests import Received
from processor.reservations import Market
from processor.view import ALL_SYMBOLS, Account, Counted, KnownOrder, View, request_terms
from schemas.commands import EnterOrder
from schemas.events import RequestRejected
from schemas.instruments import ExchangeLimits, Instruments, load_instruments
from schemas.orders import OrderListKind, OrderType, ReplaceMode, Side
from schemas.reasons import RejectReason
from tests.builders import (
    ALICE,
    NOW_NS,
    market_order,
    place_list,
    place_order,
    profit_order,
    replace_order,
    requested_order,
    stop_order,
)

USUAL = load_instruments()
LOT = USUAL["BTCUSDT"].lot_minor
PAIR = (ALICE, "BTCUSDT")
VIEW = View(
    accounts={ALICE: Account(True, 100, 200)},
    available={(ALICE, "USDT"): 10**15, (ALICE, "BTC"): 10**12},
    newest={},
    orders={},
    open_counts={},
    markets={"BTCUSDT": Market(2_999_000, 3_001_000, 3_000_000)},
)


def _limited(assets: dict[str, int] | None = None, **changes: Any) -> Instruments:
    """The usual instruments, with limits of BTCUSDT and of its assets."""
    named = {n: replace(a, max_order_minor=(assets or {}).get(n)) for n, a in USUAL.assets.items()}
    one = replace(USUAL["BTCUSDT"], base=named["BTC"], quote=named["USDT"], **changes)
    return replace(USUAL, assets=named, symbols={**USUAL.symbols, "BTCUSDT": one})


def _answers(instruments: Instruments, *requests: Any, **world: Any) -> list[RejectReason | str]:
    received = [Received(0, offset, request) for offset, request in enumerate(requests)]
    view = msgspec.structs.replace(VIEW, **world)
    outcomes = decide(received, view, instruments, NOW_NS).outcomes
    return [o.reason if isinstance(o, RequestRejected) else "accepted" for o in outcomes]


def test_a_position_counts_what_is_had_what_is_ordered_and_what_the_batch_has_accepted() -> None:
    instruments = _limited(max_position_lots=2_500)
    orders = [place_order(client_order_id=f"c-{n}") for n in range(3)]
    assert _answers(instruments, *orders) == ["accepted", "accepted", RejectReason.MAX_POSITION]
    held = {PAIR: 1_500 * LOT}
    assert _answers(instruments, *orders[:2], positions=held) == ["accepted", RejectReason.MAX_POSITION]
    sell = place_order(side=Side.SELL, quantity_lots=9_000)
    assert _answers(instruments, sell, positions={PAIR: 2_500 * LOT}) == ["accepted"]
    assert _answers(USUAL, *orders, positions={PAIR: 10**15}) == ["accepted"] * 3


def test_a_market_order_by_budget_counts_with_what_the_best_price_gives_for_it() -> None:
    budget = USUAL["BTCUSDT"].notional_minor(3_001_000, 1_000)
    order = market_order(quantity_lots=None, quote_quantity_minor=budget)
    assert _answers(_limited(max_position_lots=1_000), order) == ["accepted"]
    assert _answers(_limited(max_position_lots=999), order) == [RejectReason.MAX_POSITION]


def test_of_a_pair_one_leg_counts_and_with_its_working_order_both() -> None:
    pair = [
        stop_order(
            side=Side.BUY,
            order_type=OrderType.STOP_LOSS_LIMIT,
            stop_price_ticks=3_100_000,
            price_ticks=3_100_000,
            quantity_lots=1_000,
        ),
        requested_order(side=Side.BUY, client_order_id="low", quantity_lots=1_000),
    ]
    oco = place_list(OrderListKind.OCO, *pair)
    working = requested_order(client_order_id="first", quantity_lots=500)
    pending = requested_order(client_order_id="second", quantity_lots=700)
    oto = place_list(OrderListKind.OTO, working, pending)
    assert _answers(_limited(max_position_lots=1_000), oco) == ["accepted"]
    assert _answers(_limited(max_position_lots=999), oco) == [RejectReason.MAX_POSITION]
    assert _answers(_limited(max_position_lots=1_200), oto) == ["accepted"]
    assert _answers(_limited(max_position_lots=1_199), oto) == [RejectReason.MAX_POSITION]


def test_what_a_replaced_order_could_still_buy_is_taken_off() -> None:
    terms = request_terms(place_order())
    old = KnownOrder(77, *PAIR, "c-1", terms, NOW_NS, True, Side.BUY, 3_000_000, 1_000)
    request = replace_order(
        cancel_order_id=77,
        mode=ReplaceMode.STOP_ON_FAILURE,
        order=requested_order(client_order_id="new", quantity_lots=1_100),
    )
    world: dict[str, Any] = {"orders": {77: old}, "positions": {PAIR: 1_000 * LOT}}
    assert _answers(_limited(max_position_lots=1_100), request, **world) == ["accepted"]
    assert _answers(_limited(max_position_lots=1_099), request, **world) == [RejectReason.MAX_POSITION]


@pytest.mark.parametrize(
    ("order", "asset", "moved"),
    [
        (place_order(), "BTC", 1_000 * LOT),
        (place_order(), "USDT", USUAL["BTCUSDT"].notional_minor(3_000_000, 1_000)),
        (market_order(), "USDT", USUAL["BTCUSDT"].notional_minor(3_001_000, 1_000)),
        (market_order(quantity_lots=None, quote_quantity_minor=5 * 10**9), "USDT", 5 * 10**9),
    ],
)
def test_one_order_moves_no_more_of_an_asset_than_it_may(order: Any, asset: str, moved: int) -> None:
    assert _answers(_limited({asset: moved}), order) == ["accepted"]
    assert _answers(_limited({asset: moved - 1}), order) == [RejectReason.MAX_ASSET]


def test_counts_over_all_symbols_come_after_those_of_the_symbol() -> None:
    instruments = replace(USUAL, exchange=ExchangeLimits(3, 1, 1, 1))
    orders = [place_order(client_order_id=f"c-{n}", symbol=s) for n, s in enumerate(("BTCUSDT", "ETHUSDT"))]
    two = {(ALICE, ALL_SYMBOLS, Counted.ORDERS): 2}
    assert _answers(instruments, *orders, counts=two) == [
        "accepted",
        RejectReason.EXCHANGE_MAX_NUM_ORDERS,
    ]
    full = {PAIR: USUAL["BTCUSDT"].max_open_orders}
    three = {(ALICE, ALL_SYMBOLS, Counted.ORDERS): 3}
    assert _answers(instruments, orders[0], counts=three, open_counts=full) == [RejectReason.MAX_NUM_ORDERS]
    oco = place_list(OrderListKind.OCO, profit_order(), stop_order())
    for kind, reason in (
        (Counted.ALGO_ORDERS, RejectReason.EXCHANGE_MAX_NUM_ALGO_ORDERS),
        (Counted.ORDER_LISTS, RejectReason.EXCHANGE_MAX_NUM_ORDER_LISTS),
    ):
        assert _answers(instruments, oco) == ["accepted"]
        assert _answers(instruments, oco, counts={(ALICE, ALL_SYMBOLS, kind): 1}) == [reason]
    iceberg = place_order(display_lots=100)
    one = {(ALICE, ALL_SYMBOLS, Counted.ICEBERG_ORDERS): 1}
    assert _answers(instruments, iceberg, counts=one) == [RejectReason.EXCHANGE_MAX_NUM_ICEBERG_ORDERS]
    assert counted(oco, ExchangeLimits()) == {
        (*PAIR, Counted.ALGO_ORDERS): 1,
        (*PAIR, Counted.ORDER_LISTS): 1,
    }


def test_the_position_is_checked_before_the_funds_and_after_the_counts() -> None:
    instruments = _limited(max_position_lots=10)
    poor: dict[str, Any] = {"available": {}}
    assert _answers(instruments, place_order(), **poor) == [RejectReason.MAX_POSITION]
    full = {PAIR: instruments["BTCUSDT"].max_open_orders}
    assert _answers(instruments, place_order(), open_counts=full) == [RejectReason.MAX_NUM_ORDERS]
    assert _answers(USUAL, place_order(), **poor) == [RejectReason.INSUFFICIENT_FUNDS]
    assert isinstance(
        decide([Received(0, 0, place_order(quantity_lots=10))], VIEW, instruments, NOW_NS).outcomes[0],
        EnterOrder,
    )
