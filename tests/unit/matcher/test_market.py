"""One short story for each feature of the market; the breadth is in tests/simulation/matcher."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from matcher import SymbolEngine
from matcher.text_view import render
from schemas import commands as c
from schemas.codec import encode
from schemas.instruments import Volatility
from schemas.orders import (
    CancelRestriction,
    MarketState,
    OrderListKind,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from tests.unit.matcher.orders import BUY, INSTRUMENT, SELL, T0, Desk, reserved

FEES = {"maker_fee_ppm": 0, "taker_fee_ppm": 0}
QUIET = {"OrderEntered", "OrderRested"}


@pytest.fixture
def desk() -> Desk:
    """Last trade at 100, an empty book."""
    desk = Desk()
    desk.enter(901, SELL, 100, 1, account_id=90)
    desk.enter(902, BUY, 100, 1, account_id=91)
    return desk


def send(desk: Desk, command: type[Any], /, **fields: Any) -> list[str]:
    """Send a command of any kind; return its events as short lines."""
    fields.setdefault("client_order_id", "x")
    return story(desk.send(command(**desk._envelope(**fields))).record.events)


def story(events: Any) -> list[str]:
    lines = []
    for event in events:
        words = [type(event).__name__]
        for name in ("maker_order_id", "order_id", "price_ticks", "quantity_lots", "leaves_lots", "reason"):
            value = getattr(event, name, None)
            if value is not None:
                words.append(str(value))
        lines.append(" ".join(words))
    return [line for line in lines if line.split()[0] not in QUIET]


def leg(
    order_id: int, side: Side, kind: OrderType, price: int, lots: int | None, **more: Any
) -> c.OrderTerms:
    cost = reserved(INSTRUMENT, side, price, lots, None) if lots else 0
    return c.OrderTerms(
        order_id=order_id, side=side, order_type=kind, time_in_force=TimeInForce.GTC, price_ticks=price,
        quantity_lots=lots, client_order_id=f"c{order_id}", reserved_minor=cost, **more,
    )  # fmt: skip


def test_a_stop_waits_for_its_price_and_then_takes(desk: Desk) -> None:
    stop = {"order_type": OrderType.STOP_LOSS, "stop_price_ticks": 105}
    assert story(desk.enter(1, BUY, 120, 2, **stop).record.events) == ["OrderHeld 1"]
    desk.enter(2, SELL, 105, 1, account_id=2)
    desk.enter(3, SELL, 110, 2, account_id=2)
    assert story(desk.enter(4, BUY, 105, 1, account_id=3).record.events) == [
        "OrdersTraded 2 105 1", "OrderFilled 2", "OrderFilled 4",
        "OrderTriggered 1", "OrdersTraded 3 110 2", "OrderFilled 3", "OrderFilled 1",
    ]  # fmt: skip


def test_a_trailing_stop_follows_the_highest_price(desk: Desk) -> None:
    desk.enter(1, SELL, 90, 1, order_type=OrderType.STOP_LOSS, trailing_delta_bips=500)
    for order_id, price in ((2, 120), (3, 116), (4, 114)):
        desk.enter(order_id, SELL, price, 1, account_id=2)
        events = story(desk.enter(order_id + 10, BUY, price, 1, account_id=3).record.events)
        assert ("OrderTriggered 1" in events) == (price == 114)


def test_an_iceberg_shows_a_part_and_goes_to_the_end(desk: Desk) -> None:
    desk.enter(1, SELL, 101, 5, display_lots=2)
    desk.enter(2, SELL, 101, 1)
    assert render(desk.engine.book).splitlines()[1] == "         |   101 | 2(3)+1"
    trades = [
        line for line in story(desk.enter(3, BUY, 101, 4, account_id=2).record.events) if "Traded" in line
    ]
    assert trades == ["OrdersTraded 1 101 2", "OrdersTraded 2 101 1", "OrdersTraded 1 101 1"]


@pytest.mark.parametrize(
    ("mode", "expected", "left"),
    [
        ("EXPIRE_TAKER", ["MatchPrevented 1 100", "OrderExpired 2 0 self_trade_prevented"], 3),
        ("EXPIRE_MAKER", ["MatchPrevented 1 100", "OrderExpired 1 0 self_trade_prevented"], 0),
        ("DECREMENT", ["MatchPrevented 1 100", "OrderExpired 2 0 self_trade_prevented"], 1),
    ],
)
def test_an_account_does_not_trade_with_itself(desk: Desk, mode: str, expected: list[str], left: int) -> None:
    desk.enter(1, SELL, 100, 3)
    events = desk.enter(2, BUY, 100, 2, self_trade_prevention=SelfTradePrevention(mode)).record.events
    assert story(events) == expected
    assert desk.engine.book.asks.lots_at(100) == left


def test_one_leg_of_an_oco_cancels_the_other(desk: Desk) -> None:
    above = leg(1, SELL, OrderType.LIMIT_MAKER, 110, 2)
    below = leg(2, SELL, OrderType.STOP_LOSS, 80, 2, stop_price_ticks=90)
    entered = send(desk, c.EnterOrderList, list_id=7, kind=OrderListKind.OCO, legs=(above, below),
                   reserved_minor=2 * INSTRUMENT.lot_minor, **FEES)  # fmt: skip
    assert entered == ["OrderListEntered", "OrderHeld 2"]
    assert story(desk.enter(3, BUY, 110, 1, account_id=3).record.events) == [
        "OrdersTraded 1 110 1", "OrderFilled 3", "OrderExpired 2 2 oco_trigger",
    ]  # fmt: skip
    assert send(desk, c.CancelRestingOrder, order_id=1) == ["OrderCanceled 1 110 2 1", "OrderListEnded"]


def test_an_opo_sells_what_its_working_order_received(desk: Desk) -> None:
    working, pending = leg(1, BUY, OrderType.LIMIT, 99, 3), leg(2, SELL, OrderType.LIMIT, 150, None)
    entered = send(desk, c.EnterOrderList, list_id=7, kind=OrderListKind.OPO, legs=(working, pending),
                   reserved_minor=working.reserved_minor, **FEES)  # fmt: skip
    assert entered == ["OrderListEntered", "OrderHeld 2"]
    assert story(desk.enter(3, SELL, 99, 3, account_id=3).record.events) == [
        "OrdersTraded 1 99 3", "OrderFilled 1", "OrderFilled 3", "OrderActivated 2 3",
    ]  # fmt: skip
    assert render(desk.engine.book).splitlines()[1:] == ["         |   150 | 3"]


def test_a_replace_carries_the_lock_over(desk: Desk) -> None:
    desk.enter(1, BUY, 90, 4)
    new = leg(2, BUY, OrderType.LIMIT, 95, 4)
    replaced = desk.send(
        c.ReplaceRestingOrder(
            cancel_order_id=1, mode=ReplaceMode.STOP_ON_FAILURE, order=new, reserved_minor=20, **FEES,
            **desk._envelope(client_order_id="x"),
        )
    ).record.events  # fmt: skip
    assert [type(event).__name__ for event in replaced] == ["OrderCanceled", "OrderEntered", "OrderRested"]
    assert (replaced[0].carried_minor, replaced[0].released_minor) == (360, 0)  # type: ignore[union-attr]


def test_an_amend_keeps_the_place_and_a_move_loses_it(desk: Desk) -> None:
    for order_id in (1, 2, 3):
        desk.enter(order_id, SELL, 101, 5)
    assert send(desk, c.AmendRestingOrder, order_id=1, quantity_lots=2) == ["OrderAmended 1 2 2"]
    assert send(
        desk, c.MoveRestingOrder, order_id=2, quantity_lots=6, reserved_minor=INSTRUMENT.lot_minor
    ) == ["OrderMoved 2 101 6 6"]
    assert [order.order_id for order in desk.engine.book.asks.in_order()] == [1, 3, 2]
    assert send(desk, c.AmendRestingOrder, order_id=1, quantity_lots=3) == [
        "ChangeRefused 1 quantity_increase"
    ]


def test_a_cancel_may_want_an_untouched_order(desk: Desk) -> None:
    desk.enter(1, SELL, 101, 5)
    desk.enter(2, BUY, 101, 1, account_id=2)
    only_new = {"order_id": 1, "restriction": CancelRestriction.ONLY_NEW}
    assert send(desk, c.CancelRestingOrder, **only_new) == ["CancelRefused 1 cancel_restricted"]


def test_a_trade_outside_the_band_halts_and_an_auction_reopens() -> None:
    desk = Desk(dataclasses.replace(INSTRUMENT, volatility=Volatility(100_000, 10**12, 50, 30)))
    for order_id, price in ((1, 100), (2, 115)):
        desk.enter(order_id, SELL, price, 1, occurred_at_ns=T0)
    assert story(desk.enter(3, BUY, 120, 2, account_id=2, occurred_at_ns=T0).record.events) == [
        "OrdersTraded 1 100 1", "OrderFilled 1", "OrderExpired 3 1 price_range_exceeded",
        "MarketStateChanged",
    ]  # fmt: skip
    assert desk.engine.market_state is MarketState.HALT
    refused = desk.enter(4, BUY, 115, 1, account_id=2, occurred_at_ns=T0 + 49).record.events
    assert story(refused) == ["OrderRefused 4 market_closed"]
    desk.enter(5, BUY, 116, 1, account_id=2, occurred_at_ns=T0 + 50)
    assert send(desk, c.Tick, occurred_at_ns=T0 + 60) == ["AuctionIndicated 115 1"]
    assert send(desk, c.Tick, occurred_at_ns=T0 + 61) == []
    assert send(desk, c.Tick, occurred_at_ns=T0 + 80) == [
        "AuctionUncrossed 115 1", "OrdersTraded 2 115 1", "OrderFilled 2", "OrderFilled 5",
        "MarketStateChanged",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        {"order_type": OrderType.STOP_LOSS}, {"stop_price_ticks": 90},
        {"display_lots": 6}, {"display_lots": 0},
        {"order_type": OrderType.STOP_LOSS, "trailing_delta_bips": 10_000},
        {"display_lots": 1, "time_in_force": TimeInForce.IOC},
    ],
    ids=str,
)  # fmt: skip
def test_conditions_that_make_no_sense_are_refused(desk: Desk, wrong: dict[str, Any]) -> None:
    assert story(desk.enter(1, BUY, 100, 5, **wrong).record.events) == ["OrderRefused 1 invalid_order"]


def test_integers_of_any_size_are_refused_and_told(desk: Desk) -> None:
    huge = 10**40
    matched = desk.enter(1, BUY, huge, huge, reserved_minor=-huge, occurred_at_ns=T0)
    assert encode(matched.record) == matched.data
    assert story(matched.record.events) == ["OrderRefused 1 invalid_order"]
    moved = send(desk, c.MoveRestingOrder, order_id=huge, price_ticks=-huge, quantity_lots=huge)
    assert moved == [f"ChangeRefused {huge} unknown_order"]


def test_a_list_that_is_none_is_refused(desk: Desk) -> None:
    command = {"list_id": 1, "kind": OrderListKind.OCO, "legs": (), "reserved_minor": 5, **FEES}
    assert send(desk, c.EnterOrderList, **command) == ["OrderListRefused invalid_order"]


def test_a_state_with_everything_in_it_comes_back(desk: Desk) -> None:
    desk.enter(1, SELL, 110, 5, display_lots=2)
    desk.enter(2, BUY, 120, 2, order_type=OrderType.STOP_LOSS, stop_price_ticks=105)
    desk.enter(3, SELL, 90, 1, order_type=OrderType.TAKE_PROFIT, trailing_delta_bips=100)
    working, pending = leg(4, BUY, OrderType.LIMIT, 99, 3), leg(5, SELL, OrderType.LIMIT, 150, 3)
    send(desk, c.EnterOrderList, list_id=7, kind=OrderListKind.OTO, legs=(working, pending),
         reserved_minor=working.reserved_minor + pending.reserved_minor, **FEES)  # fmt: skip
    send(desk, c.SetMarketState, state=MarketState.AUCTION, until_ns=T0 + 10**9)
    send(desk, c.Tick)
    fresh = SymbolEngine(INSTRUMENT)
    fresh.restore(desk.engine.state())
    assert fresh.state() == desk.engine.state()
    given = desk.inputs[-1]._replace(command=c.CancelRestingList(
        list_id=7, **desk._envelope(client_order_id="x")), offset=99)  # fmt: skip
    assert fresh.apply([given])[0].data == desk.engine.apply([given])[0].data
