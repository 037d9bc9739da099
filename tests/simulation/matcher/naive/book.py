"""All open orders in one list, sorted at every look."""

from __future__ import annotations

from schemas.orders import Side
from tests.simulation.matcher.naive.open_order import OpenOrder, Where

Level = tuple[Side, int]


class NaiveBook:
    def __init__(self) -> None:
        self.orders: list[OpenOrder] = []
        self.arrivals = 0
        self.touched: list[Level] = []
        """Levels to which shown lots were added or from which they were taken, the first touch first."""

    def in_priority(self, side: Side) -> list[OpenOrder]:
        """Return the resting orders: better price first, then earlier arrival."""
        sign = -1 if side is Side.BUY else 1
        resting = [o for o in self.orders if o.side is side and o.where is Where.RESTING]
        return sorted(resting, key=lambda o: (sign * o.price_ticks, o.arrival))

    def offers_for(self, taker: OpenOrder) -> list[OpenOrder]:
        other = Side.SELL if taker.side is Side.BUY else Side.BUY
        return [o for o in self.in_priority(other) if taker.accepts(o.price_ticks)]

    def is_crossed(self) -> bool:
        bids, asks = self.in_priority(Side.BUY), self.in_priority(Side.SELL)
        return bool(bids and asks) and bids[0].price_ticks >= asks[0].price_ticks

    def open_orders_of(self, account_id: int) -> list[OpenOrder]:
        return sorted((o for o in self.orders if o.account_id == account_id), key=lambda o: o.age)

    def find(self, order_id: int, account_id: int) -> OpenOrder | None:
        return next((o for o in self.orders if (o.order_id, o.account_id) == (order_id, account_id)), None)

    def shown_at(self, level: Level) -> int:
        return sum(
            o.shown_lots for o in self.orders if o.where is Where.RESTING and (o.side, o.price_ticks) == level
        )

    def touch(self, order: OpenOrder) -> None:
        if (order.side, order.price_ticks) not in self.touched:
            self.touched.append((order.side, order.price_ticks))

    def go_last(self, order: OpenOrder) -> None:
        """Show a part at the end of the queue."""
        self.arrivals += 1
        order.arrival = self.arrivals
        order.show_next_part()

    def rest(self, order: OpenOrder) -> None:
        order.where = Where.RESTING
        self.go_last(order)
        self.touch(order)

    def lift(self, order: OpenOrder) -> None:
        """Take a resting order out; it is still open."""
        self.touch(order)
        order.where = Where.ARRIVING
        order.shown_lots = 0

    def shrink(self, order: OpenOrder) -> None:
        """Show no more than what is left."""
        if order.where is Where.RESTING and order.shown_lots > order.leaves_lots:
            order.shown_lots = order.leaves_lots
            self.touch(order)

    def fill(self, maker: OpenOrder, lots: int) -> None:
        """Take traded lots from what a resting order shows; its fields of execution are done already."""
        self.touch(maker)
        maker.shown_lots -= lots
        if maker.shown_lots == 0 and maker.leaves_lots:
            self.go_last(maker)

    def close(self, order: OpenOrder, how: Where) -> None:
        if order.where is Where.RESTING:
            self.touch(order)
        order.where = how
        order.shown_lots = 0
        self.orders.remove(order)
