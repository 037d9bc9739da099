"""One symbol's book and open orders, rebuilt from `matched-events`. Pure."""

from __future__ import annotations

from typing import NamedTuple

from schemas.events import (
    GENESIS_HASH,
    BookEvent,
    CommandMatched,
    MarketStateChanged,
    MatchPrevented,
    OrderActivated,
    OrderAmended,
    OrderCanceled,
    OrderEntered,
    OrderExpired,
    OrderFilled,
    OrderListRefused,
    OrderMoved,
    OrderRefused,
    OrderRested,
    OrdersTraded,
)
from schemas.orders import MarketState, Side
from tapehouse.audit.difference import differs

_ENDS = (OrderFilled, OrderCanceled, OrderExpired, OrderRefused)
_NAMES = {OrderFilled: "FILLED", OrderCanceled: "CANCELED", OrderExpired: "EXPIRED", OrderRefused: "REJECTED"}


class OpenOrder:
    """What the log says of an order that has not ended."""

    __slots__ = (
        *("account_id", "display", "executed_lots", "executed_quote", "leaves", "price"),
        *("quantity", "resting", "side"),
    )

    def __init__(self, entered: OrderEntered) -> None:
        self.account_id = entered.account_id
        self.side = entered.side
        self.price = entered.price_ticks
        self.quantity = entered.quantity_lots
        self.display = entered.display_lots
        self.resting = False
        """Not until it is told to rest: it may be held."""
        self.leaves = 0
        """0 while it is not resting."""
        self.executed_lots = 0
        self.executed_quote = 0


class Ended(NamedTuple):
    order_id: int
    executed_lots: int
    executed_quote: int
    ended: str
    reason: str | None


class RebuiltBook:
    """`trade_cut`: trades above it are not settled yet and do not count as executed."""

    def __init__(self, symbol: str, trade_cut: int) -> None:
        self.symbol = symbol
        self.trade_cut = trade_cut
        self.sequence = 0
        self.last_hash = GENESIS_HASH
        self.levels: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self.orders: dict[int, OpenOrder] = {}
        self.entered = 0
        self.ended: list[Ended] = []
        """Orders that ended since the caller last took them."""
        self.refused_lists: dict[int, str] = {}
        """List id -> reason. Which orders its legs were, the command says."""
        self.state = MarketState.TRADING

    def apply(self, matched: CommandMatched, record_hash: str, where: str) -> None:
        """Take the next record. Raises Difference (I3) when an order has more than one history."""
        for event in matched.events:
            self._event(event, where)
        for level in matched.levels:
            if level.quantity_lots:
                self.levels[level.side][level.price_ticks] = level.quantity_lots
            else:
                self.levels[level.side].pop(level.price_ticks, None)
        self.sequence, self.last_hash = matched.sequence, record_hash

    def check_levels(self) -> None:
        """Raise Difference (I6) when levels and resting orders disagree, or the book is crossed."""
        for side, levels in self.levels.items():
            least, most = self._shown(side)
            for price in sorted(most.keys() | levels.keys()):
                if not least.get(price, 0) <= levels.get(price, 0) <= most.get(price, 0):
                    differs(
                        "I6",
                        f"matched-events {self.symbol} sequence {self.sequence}: {side} level {price} has"
                        f" {levels.get(price, 0)} lots, its orders {most.get(price, 0)}",
                    )
        if self.state is not MarketState.TRADING:
            return
        bids, asks = self.levels[Side.BUY], self.levels[Side.SELL]
        if bids and asks and max(bids) >= min(asks):
            differs("I6", f"matched-events {self.symbol} sequence {self.sequence}: the book is crossed")

    def _shown(self, side: Side) -> tuple[dict[int, int], dict[int, int]]:
        """Return the least and the most that each level may show: an iceberg's part may be half used up."""
        least: dict[int, int] = {}
        most: dict[int, int] = {}
        for order in self.orders.values():
            if order.side is side and order.leaves:
                iceberg = order.display is not None and order.display < order.leaves
                shown = order.display if iceberg and order.display else order.leaves
                most[order.price] = most.get(order.price, 0) + shown
                least[order.price] = least.get(order.price, 0) + (1 if order.display else shown)
        return least, most

    def _event(self, event: BookEvent, where: str) -> None:
        if isinstance(event, OrderEntered):
            if event.order_id in self.orders:
                differs("I3", f"{where}: order {event.order_id} entered twice")
            self.orders[event.order_id] = OpenOrder(event)
            self.entered += 1
        elif isinstance(event, OrderRested):
            order = self._open(event.order_id, where)
            order.leaves, order.resting, order.price = event.leaves_lots, True, event.price_ticks
        elif isinstance(event, OrdersTraded):
            self._trade(event, where)
        elif isinstance(event, _ENDS):
            self._end(event, where)
        else:
            self._change(event, where)

    def _change(self, event: BookEvent, where: str) -> None:
        if isinstance(event, MatchPrevented):
            for order_id, lots in (
                (event.maker_order_id, event.maker_prevented_lots),
                (event.taker_order_id, event.taker_prevented_lots),
            ):
                order = self._open(order_id, where)
                if order.resting:
                    order.leaves -= lots
        elif isinstance(event, OrderAmended):
            order = self._open(event.order_id, where)
            order.quantity = event.quantity_lots
            if order.resting:
                order.leaves = event.leaves_lots
        elif isinstance(event, OrderMoved):
            order = self._open(event.order_id, where)
            order.quantity, order.price = event.quantity_lots, event.price_ticks
            order.leaves, order.resting = 0, False
        elif isinstance(event, OrderActivated):
            self._open(event.order_id, where).quantity = event.quantity_lots or None
        elif isinstance(event, OrderListRefused):
            self.refused_lists[event.list_id] = event.reason.value
        elif isinstance(event, MarketStateChanged):
            self.state = event.state

    def _trade(self, event: OrdersTraded, where: str) -> None:
        maker, taker = self._open(event.maker_order_id, where), self._open(event.taker_order_id, where)
        if maker.leaves - event.quantity_lots != event.maker_leaves_lots:
            differs(
                "I3",
                f"{where}: order {event.maker_order_id} had {maker.leaves} lots, not what trade "
                f"{event.trade_id} leaves",
            )
        maker.leaves = event.maker_leaves_lots
        if taker.resting and event.taker_leaves_lots is not None:
            taker.leaves = event.taker_leaves_lots
        if event.trade_id > self.trade_cut:
            return
        for order_id, order in ((event.maker_order_id, maker), (event.taker_order_id, taker)):
            order.executed_lots += event.quantity_lots
            order.executed_quote += event.quote_minor
            if order.quantity is not None and order.executed_lots > order.quantity:
                differs("I3", f"{where}: order {order_id} is filled beyond its quantity")

    def _end(self, event: OrderFilled | OrderCanceled | OrderExpired | OrderRefused, where: str) -> None:
        if isinstance(event, OrderRefused) and event.order_id not in self.orders:
            self.entered += 1  # handed over, and refused before it entered
            self.ended.append(Ended(event.order_id, 0, 0, "REJECTED", event.reason.value))
            return
        order = self._open(event.order_id, where)
        reason = event.reason.value if isinstance(event, OrderExpired | OrderRefused) else None
        name = _NAMES[type(event)]
        self.ended.append(Ended(event.order_id, order.executed_lots, order.executed_quote, name, reason))
        del self.orders[event.order_id]

    def _open(self, order_id: int, where: str) -> OpenOrder:
        order = self.orders.get(order_id)
        if order is None:
            differs("I3", f"{where}: order {order_id} is not open")
        return order
