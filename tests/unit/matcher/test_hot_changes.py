"""What the hot book is told of orders that waited, and of the labels that clients gave them."""

from __future__ import annotations

from matcher.hot_changes import of_batch
from matcher.symbol_engine import Matched
from schemas.events import OrderCanceled, OrderEntered
from schemas.hot_book import OpenOrder
from schemas.orders import OrderType
from tests.unit.matcher.orders import BUY, SELL, T0, Desk

P = 3_000_000


def _shown(desk: Desk, matched: Matched, order_id: int) -> OpenOrder:
    return of_batch(desk.engine, [matched]).set_orders[order_id]


def test_a_stop_works_since_it_was_triggered() -> None:
    desk = Desk()
    desk.enter(1, SELL, P, 10)
    desk.enter(2, BUY, P, 10)
    stop = {"order_type": OrderType.STOP_LOSS_LIMIT, "stop_price_ticks": P + 10}
    waiting = _shown(desk, desk.enter(3, BUY, P + 5, 10, **stop), 3)
    assert (waiting.held_until, waiting.working_at_ns) == ("triggered", None)
    desk.enter(4, SELL, P + 10, 10)
    triggered = desk.enter(5, BUY, P + 10, 10)
    working = _shown(desk, triggered, 3)
    assert (working.held_until, working.working_at_ns) == (None, triggered.record.occurred_at_ns)
    assert working.entered_at_ns < triggered.record.occurred_at_ns == T0 + 4


def test_labels_are_told_from_entry_to_cancel() -> None:
    desk = Desk()
    entered = desk.enter(1, BUY, P, 10, strategy_id=7, strategy_type=1_000_001)
    assert (_shown(desk, entered, 1).strategy_id, _shown(desk, entered, 1).strategy_type) == (7, 1_000_001)
    canceled = desk.cancel(1)
    for event in (entered.record.events[0], canceled.record.events[0]):
        assert isinstance(event, OrderEntered | OrderCanceled)
        assert (event.strategy_id, event.strategy_type) == (7, 1_000_001)
    plain = _shown(desk, desk.enter(2, BUY, P, 10), 2)
    assert (plain.strategy_id, plain.strategy_type, plain.working_at_ns) == (None, None, None)
