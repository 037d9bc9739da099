"""The uncrossing price, by trying every tick."""

from __future__ import annotations

from typing import NamedTuple

from tests.simulation.matcher.naive.open_order import OpenOrder


class Uncrossing(NamedTuple):
    price_ticks: int | None
    quantity_lots: int
    imbalance_lots: int


NOTHING = Uncrossing(None, 0, 0)


def uncrossing(bids: list[OpenOrder], asks: list[OpenOrder], last_price_ticks: int | None) -> Uncrossing:
    """Return where most lots trade; ties: least imbalance, nearest the last price, lowest."""
    best, best_rank = NOTHING, (0, 0, 0, 0)
    prices = [o.price_ticks for o in bids + asks]
    for price in range(min(prices, default=0), max(prices, default=-1) + 1):
        wanted = sum(o.leaves_lots for o in bids if o.accepts(price))
        offered = sum(o.leaves_lots for o in asks if o.accepts(price))
        volume = min(wanted, offered)
        distance = 0 if last_price_ticks is None else abs(price - last_price_ticks)
        rank = (-volume, abs(wanted - offered), distance, price)
        if volume and rank < best_rank:
            best, best_rank = Uncrossing(price, volume, wanted - offered), rank
    return best
