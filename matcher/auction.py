"""Where a call auction would uncross."""

from __future__ import annotations

from typing import NamedTuple

from matcher.order_book import OrderBook


class Uncrossing(NamedTuple):
    """`imbalance_lots`: buy less sell volume at the price. No price: nothing crosses."""

    price_ticks: int | None
    quantity_lots: int
    imbalance_lots: int


_NOTHING = Uncrossing(None, 0, 0)


def uncrossing(book: OrderBook, last_price_ticks: int) -> Uncrossing:
    """Return the price of most volume, then least imbalance, nearest to the last, lowest.

    Volumes change only at limit prices, so each limit and each stretch between two is tried once.
    """
    if not book.crossed():
        return _NOTHING
    bids = {level.price_ticks: level.lots + level.hidden for level in book.bids.in_priority()}
    asks = {level.price_ticks: level.lots + level.hidden for level in book.asks.in_priority()}
    prices = sorted(bids.keys() | asks.keys())
    buying, selling = sum(bids.values()), 0
    best: tuple[int, int, int, int, int] | None = None
    for place, price in enumerate(prices):
        selling += asks.get(price, 0)
        tries = [(price, buying)]
        buying -= bids.get(price, 0)
        if place + 1 < len(prices) and prices[place + 1] - price > 1:
            tries.append((_nearest(last_price_ticks, price + 1, prices[place + 1] - 1), buying))
        for at, bought in tries:
            volume, imbalance = min(bought, selling), bought - selling
            distance = abs(at - last_price_ticks) if last_price_ticks else 0
            key = (-volume, abs(imbalance), distance, at, imbalance)
            if best is None or key < best:
                best = key
    if best is None or not best[0]:
        return _NOTHING
    return Uncrossing(best[3], -best[0], best[4])


def _nearest(last_price_ticks: int, low: int, high: int) -> int:
    return min(max(last_price_ticks, low), high)
