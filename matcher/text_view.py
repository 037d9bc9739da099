"""A book as a text table, for people and for tests."""

from __future__ import annotations

from matcher.order import Order
from matcher.order_book import OrderBook
from matcher.price_level import PriceLevel

_HEADER = "bid_lots | ticks | ask_lots"


def render(book: OrderBook) -> str:
    """Return one line a level, the highest price first; the orders of a level in time priority.

    bid_lots | ticks | ask_lots
             |   102 | 5
         7+3 |   100 |
    """
    rows = [("", level.price_ticks, _queue(level)) for level in reversed(book.asks.in_priority())]
    rows += [(_queue(level), level.price_ticks, "") for level in book.bids.in_priority()]
    return "\n".join([_HEADER, *(f"{b:>8} | {price:>5} | {a}".rstrip() for b, price, a in rows)])


def _shown(order: Order) -> str:
    """An iceberg's hidden lots stand in parentheses."""
    return f"{order.shown_lots}({order.hidden_lots})" if order.hidden_lots else str(order.leaves_lots)


def _queue(level: PriceLevel) -> str:
    return "+".join(_shown(order) for order in level.open_orders())
