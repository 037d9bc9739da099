"""Scenarios: a book as a table, an order, the trades, the ending, and the book afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from matcher import Matched
from matcher.text_view import render
from schemas.events import CancelRefused, OrderCanceled, OrderEntered, OrderRefused, OrderRested, OrdersTraded
from schemas.orders import OrderType, Side, TimeInForce
from tests.unit.matcher.orders import BUY, SELL, book_of

IOC = {"time_in_force": TimeInForce.IOC}
FOK = {"time_in_force": TimeInForce.FOK}
MAKER = {"order_type": OrderType.LIMIT_MAKER}
MARKET = {"order_type": OrderType.MARKET}
BOOK = """
bid_lots | ticks | ask_lots
         |   102 | 4
         |   101 | 5+2
       7 |   100 |
     3+1 |    99 |
"""
# bids: 1 (7@100), 2 (3@99), 3 (1@99); asks: 4 (5@101), 5 (2@101), 6 (4@102)
BUY_SWEEPS_TO_102 = """
bid_lots | ticks | ask_lots
       1 |   102 |
       7 |   100 |
     3+1 |    99 |
"""
ONE_OF_102_LEFT = """
bid_lots | ticks | ask_lots
         |   102 | 1
       7 |   100 |
     3+1 |    99 |
"""
FRONT_OF_101_PART_FILLED = """
bid_lots | ticks | ask_lots
         |   102 | 4
         |   101 | 2+2
       7 |   100 |
     3+1 |    99 |
"""
BIDS_AT_100_GONE = """
bid_lots | ticks | ask_lots
         |   102 | 4
         |   101 | 5+2
     3+1 |    99 |
"""
ONE_BID_AT_99_LEFT = """
bid_lots | ticks | ask_lots
         |   102 | 4
         |   101 | 5+2
       1 |    99 |
"""
JOINED_100 = """
bid_lots | ticks | ask_lots
         |   102 | 4
         |   101 | 5+2
     7+2 |   100 |
     3+1 |    99 |
"""
NO_BIDS = """
bid_lots | ticks | ask_lots
         |   102 | 4
         |   101 | 5+2
"""
NO_ASKS = """
bid_lots | ticks | ask_lots
       7 |   100 |
     3+1 |    99 |
"""
ASK_103 = """
bid_lots | ticks | ask_lots
         |   103 | 2
         |   102 | 4
         |   101 | 5+2
       7 |   100 |
     3+1 |    99 |
"""

SCENARIOS: list[Any] = [
    ("limit joins its level last", (BUY, 100, 2, {}), [], "OrderRested", JOINED_100),
    ("limit takes the oldest first", (BUY, 101, 3, {}), [(4, 101, 3)], "OrderFilled",
     FRONT_OF_101_PART_FILLED),
    ("limit sweeps best price first and rests", (BUY, 102, 12, {}),
     [(4, 101, 5), (5, 101, 2), (6, 102, 4)], "OrderRested", BUY_SWEEPS_TO_102),
    ("sell is filled at the bid, not at its limit", (SELL, 99, 7, {}), [(1, 100, 7)], "OrderFilled",
     BIDS_AT_100_GONE),
    ("ioc takes what is there, the rest expires", (BUY, 101, 9, IOC), [(4, 101, 5), (5, 101, 2)],
     "unfilled_ioc_quantity 2", """
bid_lots | ticks | ask_lots
         |   102 | 4
       7 |   100 |
     3+1 |    99 |
"""),
    ("ioc that meets nothing expires", (BUY, 100, 9, IOC), [], "unfilled_ioc_quantity 9", BOOK),
    ("fok is filled across levels", (BUY, 102, 10, FOK), [(4, 101, 5), (5, 101, 2), (6, 102, 3)],
     "OrderFilled", ONE_OF_102_LEFT),
    ("fok one lot too large takes nothing", (BUY, 102, 12, FOK), [], "unfilled_fok_order 12", BOOK),
    ("fok does not count what is beyond its limit", (BUY, 101, 8, FOK), [], "unfilled_fok_order 8", BOOK),
    ("fok that meets nothing expires", (BUY, 100, 1, FOK), [], "unfilled_fok_order 1", BOOK),
    ("limit maker that would take is refused", (SELL, 100, 1, MAKER), [], "would_take", BOOK),
    ("limit maker rests", (SELL, 103, 2, MAKER), [], "OrderRested", ASK_103),
    ("market takes down to its collar", (SELL, 99, 10, MARKET), [(1, 100, 7), (2, 99, 3)], "OrderFilled",
     ONE_BID_AT_99_LEFT),
    ("market rest beyond the collar expires", (SELL, 100, 10, MARKET), [(1, 100, 7)],
     "insufficient_liquidity 3", BIDS_AT_100_GONE),
    ("market larger than the book sweeps it", (SELL, 1, 99, MARKET), [(1, 100, 7), (2, 99, 3), (3, 99, 1)],
     "insufficient_liquidity 88", NO_BIDS),
    ("budget buys whole lots and is filled", (BUY, 110, None, MARKET | {"quote_budget_minor": 5 * 101 + 300}),
     [(4, 101, 5), (5, 101, 2)], "OrderFilled", """
bid_lots | ticks | ask_lots
         |   102 | 4
       7 |   100 |
     3+1 |    99 |
"""),
    ("budget too small for one lot expires", (BUY, 110, None, MARKET | {"quote_budget_minor": 100}), [],
     "insufficient_liquidity 0", BOOK),
    ("budget larger than the book expires", (BUY, 110, None, MARKET | {"quote_budget_minor": 9999}),
     [(4, 101, 5), (5, 101, 2), (6, 102, 4)], "insufficient_liquidity 0", NO_ASKS),
    ("sell stops before it gets more than its target", (SELL, 90, 99, MARKET | {"quote_budget_minor": 1000}),
     [(1, 100, 7), (2, 99, 3)], "OrderFilled", ONE_BID_AT_99_LEFT),
    ("sell by target sells no more than it has", (SELL, 90, 7, MARKET | {"quote_budget_minor": 9999}),
     [(1, 100, 7)], "OrderFilled", BIDS_AT_100_GONE),
]  # fmt: skip


def trades_of(matched: Matched) -> list[tuple[int, int, int]]:
    events = [e for e in matched.record.events if isinstance(e, OrdersTraded)]
    return [(e.maker_order_id, e.price_ticks, e.quantity_lots) for e in events]


def ending_of(matched: Matched) -> str:
    last: Any = matched.record.events[-1]
    reason = getattr(last, "reason", None)
    if reason is None:
        return type(last).__name__
    return f"{reason.value} {last.leaves_lots}" if hasattr(last, "leaves_lots") else str(reason.value)


@pytest.mark.parametrize(("order", "trades", "ending", "after"), [s[1:] for s in SCENARIOS],
                         ids=[s[0] for s in SCENARIOS])  # fmt: skip
def test_scenario(order: Any, trades: list[Any], ending: str, after: str) -> None:
    desk = book_of(BOOK)
    side, price, lots, terms = order
    matched = desk.enter(50, side, price, lots, **terms)
    assert isinstance(matched.record.events[0], OrderEntered)
    assert trades_of(matched) == trades
    assert ending_of(matched) == ending
    assert render(desk.engine.book) == after.strip("\n")


def test_a_partly_filled_maker_keeps_its_place() -> None:
    desk = book_of(BOOK)
    desk.enter(50, BUY, 101, 3)
    desk.enter(51, SELL, 101, 9)
    assert trades_of(desk.enter(52, BUY, 101, 5)) == [(4, 101, 2), (5, 101, 2), (51, 101, 1)]


def test_cancel_reports_the_order_and_frees_its_leaves() -> None:
    desk = book_of(BOOK)
    desk.enter(50, SELL, 100, 2)
    (event,) = desk.cancel(1, account_id=101).record.events
    assert isinstance(event, OrderCanceled)
    assert (event.order_id, event.client_order_id, event.quantity_lots, event.leaves_lots) == (1, "c1", 7, 5)
    unit = desk.instrument.tick_lot_minor
    assert (event.executed_quote_minor, event.released_minor) == (200 * unit, 500 * unit)
    assert render(desk.engine.book) == BIDS_AT_100_GONE.strip("\n")


def test_cancel_in_the_middle_of_a_queue_is_skipped_by_the_next_taker() -> None:
    desk = book_of("bid_lots | ticks | ask_lots\n | 101 | 5+2+4")
    desk.cancel(2, account_id=102)
    assert trades_of(desk.enter(50, BUY, 101, 7)) == [(1, 101, 5), (3, 101, 2)]


@pytest.mark.parametrize(("order_id", "account_id"), [(99, 101), (1, 102)], ids=["unknown", "another's"])
def test_cancel_that_finds_nothing_is_told(order_id: int, account_id: int) -> None:
    desk = book_of(BOOK)
    (event,) = desk.cancel(order_id, account_id=account_id).record.events
    assert isinstance(event, CancelRefused)
    assert (event.order_id, event.reason.value) == (order_id, "unknown_order")
    assert render(desk.engine.book) == BOOK.strip("\n")


def test_cancel_of_a_filled_order_is_refused() -> None:
    desk = book_of(BOOK)
    desk.enter(50, BUY, 101, 5)
    assert isinstance(desk.cancel(4, account_id=104).record.events[0], CancelRefused)


def test_cancel_all_goes_oldest_first_over_both_sides_and_touches_each_level_once() -> None:
    desk = book_of(BOOK)
    for order_id, side, price in ((60, SELL, 103), (61, BUY, 99), (62, SELL, 103), (63, BUY, 98)):
        desk.enter(order_id, side, price, 1, account_id=9)
    record = desk.cancel_all(account_id=9).record
    assert [e.order_id for e in record.events if isinstance(e, OrderCanceled)] == [60, 61, 62, 63]
    levels = [(c.side, c.price_ticks, c.quantity_lots) for c in record.levels]
    assert levels == [(SELL, 103, 0), (BUY, 99, 4), (BUY, 98, 0)]
    assert isinstance(desk.cancel_all(account_id=9).record.events[0], CancelRefused)


def test_level_changes_are_taken_levels_best_first_then_the_own_one() -> None:
    record = book_of(BOOK).enter(50, BUY, 102, 12).record
    levels = [(c.side, c.price_ticks, c.quantity_lots) for c in record.levels]
    assert levels == [(SELL, 101, 0), (SELL, 102, 0), (BUY, 102, 1)]


def test_money_of_a_trade() -> None:
    desk = book_of(BOOK)
    trade, _, rested = desk.enter(50, BUY, 105, 6).record.events[1:4]
    unit, lot = desk.instrument.tick_lot_minor, desk.instrument.lot_minor
    assert isinstance(trade, OrdersTraded)
    assert (trade.base_minor, trade.quote_minor) == (5 * lot, 505 * unit)
    assert trade.buyer_lock_minor == 525 * unit
    assert trade.taker_fee_minor == -(-5 * lot * 2000 // 1_000_000)
    assert trade.maker_fee_minor == -(-505 * unit * 1000 // 1_000_000)
    assert isinstance(rested, OrdersTraded)


def test_leftover_of_a_budget_is_released() -> None:
    matched = book_of(BOOK).enter(
        50, BUY, 110, None, order_type=OrderType.MARKET, quote_budget_minor=3 * 101 + 55
    )
    unit = book_of(BOOK).instrument.tick_lot_minor
    assert unit == 1
    assert matched.record.events[-1].released_minor == 55  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "wrong",
    [
        {"lots": 0}, {"lots": -1}, {"lots": 2**63}, {"price": 0}, {"price": -5}, {"price": 2**63},
        {"price": 2**62, "lots": 4}, {"reserved_minor": 1}, {"taker_fee_ppm": -1},
        {"maker_fee_ppm": 1_000_001}, {"quote_budget_minor": 5}, {"lots": None},
        {"lots": None, "quote_budget_minor": 10}, {"order_id": 0}, {"order_id": 1}, {"order_id": 2**63},
    ],
    ids=str,
)  # fmt: skip
def test_terms_that_make_no_sense_are_refused_and_change_nothing(wrong: dict[str, Any]) -> None:
    desk = book_of(BOOK)
    terms: dict[str, Any] = {"order_id": 50, "side": BUY, "price": 100, "lots": 1, **wrong}
    record = desk.enter(**terms).record
    (event,) = record.events
    assert isinstance(event, OrderRefused)
    assert event.reason.value == "invalid_order"
    assert record.levels == ()
    assert render(desk.engine.book) == BOOK.strip("\n")


@pytest.mark.parametrize("side", list(Side))
def test_an_order_of_one_side_alone_rests(side: Side) -> None:
    record = book_of("bid_lots | ticks | ask_lots").enter(1, side, 100, 1).record
    assert isinstance(record.events[-1], OrderRested)


def test_the_market_of_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[3] / "docs" / "matching.md").read_text()
    exec(text.partition("```python\n")[2].partition("```")[0], {})
    assert capsys.readouterr().out.splitlines()[2:] == [
        "[(1, 101, 2)] Ending.FILLED",
        "bid_lots | ticks | ask_lots",
        "         |   101 | 3",
        "       4 |    99 |",
    ]
