"""Orders that wait for a trade at or beyond a price: stops, take-profits and trailing stops.

Fixed prices stand in two heaps, so a trade that triggers nothing costs two comparisons. Trailing ones
are looked at only when a trade leaves the range in which none of them starts, moves or triggers.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from matcher.order import Order, age
from schemas.orders import OrderType, Side

STOP_TYPES = frozenset(
    {OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT}
)
_LOSS = frozenset({OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT})
_BUY = Side.BUY
_ONE = 10_000
"""100 % in basis points."""
_SLACK = 1024
"""So many places of ended stops may always stay."""


def rises(order: Order) -> bool:
    """Tell whether a trade at or above the order's stop price is at or beyond it."""
    return (order.side is _BUY) == (order.order_type in _LOSS)


class Stops:
    """Held orders. Ended ones leave the heaps when they come to the top, or are most of them."""

    __slots__ = ("_falling", "_high", "_low", "_rising", "_trailing", "held")

    def __init__(self) -> None:
        self.held: dict[int, Order] = {}
        self._rising: list[tuple[int, int, int]] = []
        self._falling: list[tuple[int, int, int]] = []
        self._trailing: dict[int, Order] = {}
        self._low: int | None = None
        self._high: int | None = None
        """No trade from `_low` to `_high` concerns a trailing stop; None: not known."""

    def add(self, order: Order) -> None:
        special = order.special()
        self.held[order.order_id] = order
        if special.trailing_delta_bips is not None:
            self._trailing[order.order_id] = order
            self._low = self._high = None
            return
        price, number = special.stop_price_ticks or 0, order.entered_sequence
        if rises(order):
            heappush(self._rising, (price, number, order.order_id))
        else:
            heappush(self._falling, (-price, number, order.order_id))
        if len(self._rising) + len(self._falling) > 2 * len(self.held) + _SLACK:
            self._tidy()

    def remove(self, order: Order) -> None:
        """Take an order out, if it is there."""
        if self.held.get(order.order_id) is order:
            del self.held[order.order_id]
            self._trailing.pop(order.order_id, None)

    def see(self, prices: Iterable[int]) -> list[Order]:
        """Hold trades, in order, against the stops; take out and return what they trigger, oldest first."""
        found: list[Order] = []
        for price in prices:
            self._take_up_to(self._rising, price, found)
            self._take_up_to(self._falling, -price, found)
            if self._trailing and (self._low is None or self._high is None
                                   or not self._low <= price <= self._high):  # fmt: skip
                self._trail(price, found)
        found.sort(key=age)
        return found

    def in_order(self) -> list[Order]:
        return sorted(self.held.values(), key=age)

    def _take_up_to(self, heap: list[tuple[int, int, int]], key: int, found: list[Order]) -> None:
        while heap and heap[0][0] <= key:
            price, number, order_id = heappop(heap)
            if self._stands(price, number, order_id):
                order = self.held[order_id]
                self.remove(order)
                found.append(order)

    def _tidy(self) -> None:
        """Drop the places of stops that have ended: most of them."""
        for heap in (self._rising, self._falling):
            heap[:] = [place for place in heap if self._stands(*place)]
            heapify(heap)

    def _stands(self, price: int, number: int, order_id: int) -> bool:
        """Tell whether a place in a heap is that of a stop that is held now."""
        order = self.held.get(order_id)
        return (
            order is not None
            and order.entered_sequence == number
            and order_id not in self._trailing
            and abs(price) == order.special().stop_price_ticks
        )

    def _trail(self, price: int, found: list[Order]) -> None:
        triggered = [order for order in self._trailing.values() if _moved(order, price)]
        for order in triggered:
            self.remove(order)
        found += triggered
        self._low = max((_concerned(order)[0] for order in self._trailing.values()), default=0)
        self._high = min((_concerned(order)[1] for order in self._trailing.values()), default=price)


def start_trailing(order: Order, last_price_ticks: int) -> None:
    """Let a trailing stop without a stop price track from the last price, if there was a trade."""
    special = order.special()
    if special.trailing_delta_bips is not None and special.stop_price_ticks is None and last_price_ticks:
        special.extreme_ticks = last_price_ticks


def _moved(order: Order, price: int) -> bool:
    """Let a trailing stop see one trade; tell whether that triggers it."""
    special = order.special()
    extreme, stop, delta = special.extreme_ticks, special.stop_price_ticks, special.trailing_delta_bips or 0
    if extreme is None:
        if stop is None or (price >= stop if rises(order) else price <= stop):
            special.extreme_ticks = price
        return False
    if order.side is _BUY:
        special.extreme_ticks = min(extreme, price)
        return price * _ONE >= extreme * (_ONE + delta)
    special.extreme_ticks = max(extreme, price)
    return price * _ONE <= extreme * (_ONE - delta)


def _concerned(order: Order) -> tuple[int, int]:
    """Return the lowest and the highest price at which a trade leaves the trailing stop as it is."""
    special = order.special()
    extreme, stop, delta = special.extreme_ticks, special.stop_price_ticks, special.trailing_delta_bips or 0
    if extreme is None:
        if stop is None:
            return 1, 0
        return (0, stop - 1) if rises(order) else (stop + 1, _FAR)
    if order.side is _BUY:
        return extreme, -(-extreme * (_ONE + delta) // _ONE) - 1
    return extreme * (_ONE - delta) // _ONE + 1, extreme


_FAR = 2**80
