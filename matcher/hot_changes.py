"""What a batch did to the hot book, or the hot book as a whole, from the engine's view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from matcher.order import HELD, PENDING, PLAIN, Order
from matcher.price_level import PriceLevel
from matcher.symbol_engine import Matched, SymbolEngine
from schemas.events import (
    HeldUntil,
    MatchPrevented,
    OrderActivated,
    OrderAmended,
    OrderCanceled,
    OrderEntered,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderListRefused,
    OrderMoved,
    OrderRefused,
    OrderRested,
    OrdersTraded,
    OrderTriggered,
)
from schemas.hot_book import OpenOrder
from schemas.orders import Side
from schemas.topics import LIST_LEG, order_id_of, request_of
from service_runtime.book_change import BookChange

_OF_ONE_ORDER = frozenset(
    {
        OrderActivated,
        OrderAmended,
        OrderCanceled,
        OrderEntered,
        OrderExpired,
        OrderFilled,
        OrderHeld,
        OrderMoved,
        OrderRefused,
        OrderRested,
        OrderTriggered,
    }
)
_HELD_UNTIL: dict[int, HeldUntil | None] = {
    PLAIN: None,
    HELD: "triggered",
    PENDING: "working_order_filled",
}


def of_batch(engine: SymbolEngine, batch: Sequence[Matched]) -> BookChange:
    """Return what the records changed; `engine` is as the last of them left it.

    Only the last of several changes to an order or level counts. An order that came and went is told as
    gone: the processor may have written it as pending.
    """
    change = stamped(engine, first_sequence=batch[0].record.sequence)
    gone = change.gone_orders
    for order_id, (event, updated_at_ns) in _touched(batch, change).items():
        order = engine.book.orders.get(order_id)
        if order is None:
            gone[order_id] = _account_of(event, order_id)
        else:
            change.set_orders[order_id] = open_order(engine, order, updated_at_ns)
    return change


def _touched(batch: Sequence[Matched], change: BookChange) -> dict[int, tuple[Any, int]]:
    """Return the last event that names each order, and its time; note levels and accounts in `change`."""
    seen = change.seen
    touched: dict[int, tuple[Any, int]] = {}
    for record, _, _ in batch:
        now, account_id = record.occurred_at_ns, record.account_id
        seen[account_id] = mark = (record.sequence, record.last_trade_id)
        event: Any
        for event in record.events:
            kind = type(event)
            if kind in _OF_ONE_ORDER:
                touched[event.order_id] = (event, now)
                if event.account_id != account_id:
                    seen[event.account_id] = mark
            elif kind is OrdersTraded:
                maker, taker = event.maker_account_id, event.taker_account_id
                touched[event.maker_order_id] = (event, now)
                seen[maker] = seen[taker] = mark
                if event.taker_client_order_id:  # not the order of the command, which tells its own end
                    touched[event.taker_order_id] = (event, now)
            elif kind is MatchPrevented:
                touched[event.maker_order_id] = touched[event.taker_order_id] = (event, now)
                seen[event.account_id] = mark
            elif kind is OrderListRefused:
                touched |= dict.fromkeys(_legs_of(event.list_id), (event, now))
        for level in record.levels:
            change.levels[level.side, level.price_ticks] = level.quantity_lots
    return touched


def _account_of(event: Any, order_id: int) -> int:
    if type(event) is not OrdersTraded:
        return int(event.account_id)
    return event.maker_account_id if order_id == event.maker_order_id else event.taker_account_id


def _legs_of(list_id: int) -> list[int]:
    """Return the ids that the legs of a refused list would have had: they may be there as pending."""
    source = request_of(list_id)
    return [order_id_of(*source, leg) for leg in range(LIST_LEG)]


class WholeBook:
    """The hot book written in parts, between batches, so that a large one does not stop matching.

    What changes meanwhile goes in with the batches, under the same name; each part is written as it is then.
    """

    PART = 2_000

    def __init__(self, engine: SymbolEngine, name: str, takes_over: bool) -> None:
        self.name = name
        self.engine = engine
        self._begins = True
        self._takes_over = takes_over
        self._orders = list(engine.book.orders)
        self._levels = [(side, level.price_ticks) for side, level in _levels(engine)]

    def next_part(self) -> BookChange:
        """Return the next change; the one that `ends` is the last."""
        engine = self.engine
        change = stamped(engine, first_sequence=1)
        change.building = self.name
        change.begins, self._begins = self._begins, False
        change.takes_over = self._takes_over
        order_ids, self._orders = self._orders[-self.PART :], self._orders[: -self.PART]
        for order_id in order_ids:
            order = engine.book.orders.get(order_id)
            if order is not None:
                change.set_orders[order_id] = open_order(engine, order, engine.occurred_at_ns)
        places, self._levels = self._levels[-self.PART :], self._levels[: -self.PART]
        for side, price_ticks in places:
            change.levels[side, price_ticks] = engine.book.ladder(side).lots_at(price_ticks)
        change.ends = not self._orders and not self._levels
        return change


def stamped(engine: SymbolEngine, first_sequence: int) -> BookChange:
    return BookChange(
        symbol=engine.symbol,
        first_sequence=first_sequence,
        sequence=engine.sequence,
        record_hash=engine.last_hash,
        partition=engine.input_partition,
        offset=engine.input_offset,
        update_id=engine.update_id,
        trade_id=engine.trade_id,
        last_price_ticks=engine.last_price_ticks or None,
        state=engine.market.state,
        until_ns=engine.market.until_ns,
        passed=dict(engine.passed),
    )


def _levels(engine: SymbolEngine) -> Iterable[tuple[Side, PriceLevel]]:
    for side in Side:
        for level in engine.book.ladder(side).in_priority():
            yield side, level


def open_order(engine: SymbolEngine, order: Order, updated_at_ns: int) -> OpenOrder:
    shown = OpenOrder(  # no more than 15 arguments: beyond, Python makes a dict of them
        order_id=order.order_id,
        account_id=order.account_id,
        client_order_id=order.client_order_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        price_ticks=order.price_ticks,
        quantity_lots=order.quantity_lots,
        leaves_lots=order.leaves_lots,
        executed_quote_minor=order.executed_notional * engine.instrument.tick_lot_minor,
        entered_at_ns=order.entered_at_ns,
        updated_at_ns=updated_at_ns,
        self_trade_prevention=order.self_trade_prevention,
    )
    special = order.conditions
    if special is None:
        return shown
    return replace(
        shown,
        stop_price_ticks=special.stop_price_ticks,
        trailing_delta_bips=special.trailing_delta_bips,
        display_lots=special.display_lots,
        prevented_lots=special.prevented_lots,
        list_id=special.list_id,
        held_until=_HELD_UNTIL[special.place],
        working_at_ns=special.working_at_ns if special.place == PLAIN else None,
        strategy_id=special.strategy_id,
        strategy_type=special.strategy_type,
    )
