"""Price levels: a queue of orders at one price, and the ladder of all prices of one side."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

from matcher.order import Order

MOST_DEAD: Final = 64
"""So much that is dead may always stay; beyond it, at most half."""
NO_KEY: Final = 2**80
"""The best key of a side without orders: worse than any."""


class PriceLevel:
    """The orders at one price, first in first out: `lots` are shown in all, none when no order is open;
    `hidden` are the hidden lots of icebergs. The queue goes on from `head`; what is before it, and orders
    that ended behind it, are its `dead` places.

    `key` orders the levels of a side: the lowest is the best.
    """

    __slots__ = ("dead", "head", "hidden", "key", "listed", "lots", "price_ticks", "queue")

    def __init__(self, price_ticks: int, key: int) -> None:
        self.price_ticks = price_ticks
        self.key = key
        self.listed = True
        """Whether its key stands in the ladder's heap."""
        self.lots = 0
        self.hidden = 0
        self.head = 0
        self.dead = 0
        self.queue: list[Order] = []

    def front(self) -> Order:
        """Return the open order that is first in time; there must be one."""
        queue = self.queue
        while queue[self.head].ended:
            self.head += 1
        return queue[self.head]

    def open_orders(self) -> list[Order]:
        """Return the open orders in time priority."""
        return [order for order in self.queue[self.head :] if not order.ended]

    def sweep(self) -> None:
        """Drop the places of ended orders, if they are most."""
        if self.dead * 2 > len(self.queue):
            self.queue = self.open_orders()
            self.head = self.dead = 0

    def show_next(self, order: Order) -> None:
        """Let an iceberg at the front, whose shown lots are used up, show its next part, last in time."""
        special = order.special()
        shown = min(special.display_lots or 0, order.leaves_lots)
        self.hidden -= shown
        self.lots += shown
        special.hidden_lots = order.leaves_lots - shown
        self.queue.append(order)
        self.pass_front()

    def pass_front(self) -> None:
        """Let the next order in the queue be the first."""
        self.head += 1
        self.dead += 1
        if self.dead > MOST_DEAD:
            self.sweep()


class Ladder:
    """All price levels of one side, by price.

    A level's key is its price for asks and minus its price for bids, so that the lowest key is the
    best. Keys stand in a heap; that of an emptied level stays there until it comes to the top. Emptied
    levels are kept for the next order at their price until too many are empty. So every operation costs
    at most O(log levels), amortised.
    """

    __slots__ = ("_empty", "_heap", "best_key", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.levels: dict[int, PriceLevel] = {}
        self.best_key = NO_KEY
        self._heap: list[int] = []
        self._empty = 0

    def best(self) -> PriceLevel | None:
        return None if self.best_key == NO_KEY else self.levels[self.best_key * self.sign]

    def open(self, price_ticks: int) -> PriceLevel:
        """Return the level of a price for an order to join, made or revived if there is none."""
        level = self.levels.get(price_ticks)
        if level is None:
            key = price_ticks * self.sign
            level = self.levels[price_ticks] = PriceLevel(price_ticks, key)
            heappush(self._heap, key)
        elif level.lots:
            return level
        else:
            self._empty -= 1
            if not level.listed:
                level.listed = True
                heappush(self._heap, level.key)
        if level.key < self.best_key:  # noqa: PLR1730 (twice as fast)
            self.best_key = level.key
        return level

    def add(self, order: Order) -> None:
        """Let the order join its price, last in time, an iceberg with what it shows."""
        level = self.open(order.price_ticks)
        level.queue.append(order)
        hidden = order.hidden_lots
        level.lots += order.leaves_lots - hidden
        level.hidden += hidden

    def remove(self, order: Order) -> None:
        """Take an open order out of its level; its place in the queue is swept later."""
        level = self.levels[order.price_ticks]
        order.ended = True
        hidden = order.hidden_lots
        level.lots -= order.leaves_lots - hidden
        level.hidden -= hidden
        if level.lots:
            level.dead += 1
            if level.dead > MOST_DEAD:
                level.sweep()
        else:
            self.emptied(level)

    def reduce(self, order: Order, lots: int) -> None:
        """Take open lots, but not all, from an order that keeps its place; hidden ones go first."""
        level = self.levels[order.price_ticks]
        hidden = 0
        if order.conditions is not None:
            hidden = min(order.conditions.hidden_lots, lots)
            order.conditions.hidden_lots -= hidden
        order.leaves_lots -= lots
        level.hidden -= hidden
        level.lots -= lots - hidden

    def emptied(self, level: PriceLevel) -> None:
        """Note that the last open order of a level has gone."""
        level.queue.clear()
        level.head = level.dead = 0
        self._empty += 1
        if level.key == self.best_key:
            self._find_best()
        if self._empty > MOST_DEAD and self._empty * 2 > len(self.levels):
            self.levels = {price: held for price, held in self.levels.items() if held.lots}
            self._heap = [held.key for held in self.levels.values()]
            heapify(self._heap)
            self._empty = 0

    def lots_at(self, price_ticks: int) -> int:
        """Return the lots that are shown at a price."""
        level = self.levels.get(price_ticks)
        return level.lots if level is not None else 0

    def holds(self, limit: int, wanted_lots: int) -> bool:
        """Tell whether `wanted_lots`, hidden ones too, are there up to the key `limit`."""
        heap, levels, sign = self._heap, self.levels, self.sign
        places = [0]
        while places:
            place = places.pop()
            if place < len(heap) and heap[place] <= limit:
                level = levels[heap[place] * sign]
                wanted_lots -= level.lots + level.hidden
                if wanted_lots <= 0:
                    return True
                places += (2 * place + 1, 2 * place + 2)
        return False

    def in_priority(self) -> list[PriceLevel]:
        """Return the levels that have open orders, best first."""
        levels, sign = self.levels, self.sign
        return [levels[price] for price in sorted(levels, reverse=sign < 0) if levels[price].lots]

    def in_order(self) -> list[Order]:
        """Return the open orders in price-time priority."""
        return [order for level in self.in_priority() for order in level.open_orders()]

    def _find_best(self) -> None:
        heap, levels, sign = self._heap, self.levels, self.sign
        while heap:
            level = levels[heap[0] * sign]
            if level.lots:
                self.best_key = level.key
                return
            heappop(heap)
            level.listed = False
        self.best_key = NO_KEY
