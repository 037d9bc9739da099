"""Holds `matched-events` to price-time priority (I9). Pure.

Every order that rests joins the end of its price's queue, and every trade takes from the front of the best
one: price first, then time. What an iceberg shows anew goes to the end. No record leaves a crossed book.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush

from schemas.events import (
    AuctionUncrossed,
    BookEvent,
    CommandMatched,
    MarketStateChanged,
    MatchPrevented,
    OrderAmended,
    OrderCanceled,
    OrderEntered,
    OrderExpired,
    OrderFilled,
    OrderMoved,
    OrderRested,
    OrdersTraded,
)
from schemas.orders import MarketState, Side
from tapehouse.audit.difference import differs

_LEAVING = OrderCanceled | OrderExpired | OrderFilled | OrderMoved
"""Who is refused does not rest."""
_OPPOSITE = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


class _Resting:
    __slots__ = ("display", "leaves", "order_id", "price", "shown", "side")

    def __init__(self, rested: OrderRested, display: int | None) -> None:
        self.order_id = rested.order_id
        self.side = rested.side
        self.price = rested.price_ticks
        self.leaves = rested.leaves_lots
        self.display = display
        self.shown = 0
        self.show()

    def show(self) -> None:
        self.shown = self.leaves if self.display is None else min(self.display, self.leaves)

    def reduce(self, leaves: int) -> None:
        """Hidden lots go first."""
        self.leaves = leaves
        self.shown = min(self.shown, leaves)


class _Queues:
    """The orders of one side by price, each price's by time."""

    def __init__(self, side: Side) -> None:
        self._sign = -1 if side is Side.BUY else 1
        self._by_price: dict[int, OrderedDict[int, _Resting]] = {}
        self._keys: list[int] = []

    def best(self) -> int | None:
        while self._keys and self._keys[0] * self._sign not in self._by_price:
            heappop(self._keys)
        return self._keys[0] * self._sign if self._keys else None

    def front(self) -> int | None:
        """Return the order whose turn it is."""
        price = self.best()
        return None if price is None else next(iter(self._by_price[price]))

    def join(self, order: _Resting) -> None:
        queue = self._by_price.get(order.price)
        if queue is None:
            queue = self._by_price[order.price] = OrderedDict()
            heappush(self._keys, order.price * self._sign)
        queue[order.order_id] = order

    def leave(self, order: _Resting) -> None:
        queue = self._by_price[order.price]
        del queue[order.order_id]
        if not queue:
            del self._by_price[order.price]

    def again(self, order: _Resting) -> None:
        self._by_price[order.price].move_to_end(order.order_id)


class Fairness:
    """One symbol's queues, rebuilt."""

    def __init__(self) -> None:
        self.trades = 0
        self._sides = {side: _Queues(side) for side in Side}
        self._orders: dict[int, _Resting] = {}
        self._displays: dict[int, int] = {}
        self._state = MarketState.TRADING
        self._uncrossing = False

    def apply(self, matched: CommandMatched, where: str) -> None:
        """Take the next record. Raises Difference."""
        for event in matched.events:
            if isinstance(event, OrdersTraded):
                self._trade(event, where)
            elif isinstance(event, MatchPrevented):
                self._prevented(event, where)
            elif isinstance(event, AuctionUncrossed):
                self._uncrossing = True
            elif isinstance(event, MarketStateChanged):
                self._state, self._uncrossing = event.state, False
            else:
                self._order(event)
        if self._state is MarketState.TRADING and matched.events:
            bid, ask = self._sides[Side.BUY].best(), self._sides[Side.SELL].best()
            if bid is not None and ask is not None and bid >= ask:
                differs("I9", f"{where}: the book is crossed, {bid} is bid and {ask} asked")

    def _order(self, event: BookEvent) -> None:
        if isinstance(event, OrderEntered):
            if event.display_lots is not None:
                self._displays[event.order_id] = event.display_lots
        elif isinstance(event, OrderRested):
            self._rest(event)
        elif isinstance(event, _LEAVING):
            self._leave(event.order_id, ended=not isinstance(event, OrderMoved))
        elif isinstance(event, OrderAmended) and event.order_id in self._orders:
            self._orders[event.order_id].reduce(event.leaves_lots)

    def _rest(self, rested: OrderRested) -> None:
        self._leave(rested.order_id, ended=False)
        order = self._orders[rested.order_id] = _Resting(rested, self._displays.get(rested.order_id))
        self._sides[order.side].join(order)

    def _leave(self, order_id: int, ended: bool) -> None:
        order = self._orders.pop(order_id, None)
        if order is not None:
            self._sides[order.side].leave(order)
        if ended:
            self._displays.pop(order_id, None)

    def _trade(self, trade: OrdersTraded, where: str) -> None:
        self.trades += 1
        what = f"{where}: trade {trade.trade_id}"
        maker = self._in_turn(_OPPOSITE[trade.taker_side], trade.maker_order_id, what)
        if self._uncrossing:
            taker = self._in_turn(trade.taker_side, trade.taker_order_id, what)
            bid, ask = (taker, maker) if trade.taker_side is Side.BUY else (maker, taker)
            if not ask.price <= trade.price_ticks <= bid.price:
                differs("I9", f"{what} at {trade.price_ticks} is not from {ask.price} to {bid.price}")
            self._take(taker, trade.quantity_lots)
        elif trade.price_ticks != maker.price:
            differs("I9", f"{what} is at {trade.price_ticks}, order {maker.order_id} waits at {maker.price}")
        self._take(maker, trade.quantity_lots)

    def _prevented(self, prevented: MatchPrevented, where: str) -> None:
        what = f"{where}: prevented match {prevented.prevented_match_id}"
        maker = self._in_turn(_OPPOSITE[prevented.taker_side], prevented.maker_order_id, what)
        maker.reduce(maker.leaves - prevented.maker_prevented_lots)
        if not maker.leaves:
            self._leave(maker.order_id, ended=False)

    def _in_turn(self, side: Side, order_id: int, what: str) -> _Resting:
        front = self._sides[side].front()
        if front != order_id or front is None:
            order = self._orders.get(order_id)
            waits = "does not rest" if order is None else f"waits at {order.price}"
            differs("I9", f"{what} is of order {order_id}, which {waits}; it is the turn of {front}")
        return self._orders[order_id]

    def _take(self, order: _Resting, lots: int) -> None:
        order.leaves -= lots
        order.shown -= lots
        if order.leaves <= 0:
            self._leave(order.order_id, ended=False)
        elif order.shown <= 0:
            order.show()
            self._sides[order.side].again(order)
