"""I9: what the engine does is fair, whatever it is given; what is not is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from matcher import SymbolEngine
from schemas.events import CommandMatched, MarketStateChanged, OrderRested, OrdersTraded
from schemas.orders import MarketState
from tapehouse.audit.difference import Difference
from tapehouse.audit.fairness import Fairness
from tests.simulation.matcher.test_hot_changes import unique_inputs
from tests.simulation.matcher.trader import MARKETPLACES
from tests.unit.matcher.orders import BUY, SELL, Desk


def check(records: list[CommandMatched]) -> Fairness:
    fairness = Fairness()
    for record in records:
        fairness.apply(record, f"sequence {record.sequence}")
    return fairness


@pytest.mark.parametrize("place", MARKETPLACES)
def test_what_the_engine_does_is_fair(place: str) -> None:
    engine = SymbolEngine(MARKETPLACES[place])
    fairness = check([m.record for m in engine.apply(unique_inputs(place, 5, 600))])
    assert fairness.trades == engine.trade_id > 0


def test_an_icebergs_next_part_waits_behind_the_others() -> None:
    desk = Desk()
    desk.enter(1, SELL, 100, 6, account_id=7, display_lots=2)
    desk.enter(2, SELL, 100, 3, account_id=8)
    records = _records(desk, lambda: desk.enter(3, BUY, 100, 8, account_id=9))
    trades = [event for event in records[-1].events if isinstance(event, OrdersTraded)]
    assert [trade.maker_order_id for trade in trades] == [1, 2, 1, 1]
    check(records)


def _records(desk: Desk, last: Callable[[], Any]) -> list[CommandMatched]:
    last()
    return [m.record for m in SymbolEngine(desk.instrument).apply(desk.inputs)]


def _book() -> list[CommandMatched]:
    """Two at 100, one at 101; the buyer meets the older of the two."""
    desk = Desk()
    desk.enter(1, SELL, 101, 5, account_id=7)
    desk.enter(2, SELL, 100, 5, account_id=7)
    desk.enter(3, SELL, 100, 5, account_id=8)
    return _records(desk, lambda: desk.enter(4, BUY, 101, 5, account_id=9))


def _with(records: list[CommandMatched], kind: type, **changes: Any) -> list[CommandMatched]:
    """Return them with the last one's event of a kind changed."""
    events = tuple(replace(e, **changes) if type(e) is kind else e for e in records[-1].events)
    return [*records[:-1], replace(records[-1], events=events)]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"maker_order_id": 3}, "trade 1 is of order 3, which waits at 100; it is the turn of 2"),
        ({"maker_order_id": 1}, "trade 1 is of order 1, which waits at 101; it is the turn of 2"),
        ({"maker_order_id": 77}, "trade 1 is of order 77, which does not rest; it is the turn of 2"),
        ({"price_ticks": 101}, "trade 1 is at 101, order 2 waits at 100"),
    ],
)
def test_a_fill_out_of_turn_is_found(changes: dict[str, Any], text: str) -> None:
    check(_book())
    with pytest.raises(Difference, match=f"sequence 4: {text}"):
        check(_with(_book(), OrdersTraded, **changes))


def test_a_crossed_book_is_found_but_not_while_nobody_trades() -> None:
    desk = Desk()
    desk.enter(1, SELL, 101, 5, account_id=7)
    right = _records(desk, lambda: desk.enter(2, BUY, 99, 5, account_id=8))
    records = _with(right, OrderRested, price_ticks=101)
    with pytest.raises(Difference, match="sequence 2: the book is crossed, 101 is bid and 101 asked"):
        check(records)
    halted = MarketStateChanged(state=MarketState.AUCTION, cause="command", until_ns=None)
    check([records[0], replace(records[1], events=(halted, *records[1].events))])
