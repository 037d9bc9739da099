"""Self-trade prevention: what happens instead of a trade of an account with itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matcher.order import NONE, Order
from matcher.price_level import Ladder, PriceLevel
from schemas.orders import SelfTradePrevention

if TYPE_CHECKING:
    from matcher.order_book import OrderBook

_EXPIRE_TAKER, _EXPIRE_MAKER = SelfTradePrevention.EXPIRE_TAKER, SelfTradePrevention.EXPIRE_MAKER
_EXPIRE_BOTH, _DECREMENT = SelfTradePrevention.EXPIRE_BOTH, SelfTradePrevention.DECREMENT


class Prevented:
    """A match that was prevented, and how many lots of each side with it."""

    __slots__ = (
        "maker",
        "maker_leaves",
        "maker_lots",
        "price_ticks",
        "shown_lots",
        "taker_ends",
        "taker_lots",
    )

    def __init__(
        self,
        maker: Order,
        price_ticks: int,
        taker_lots: int,
        maker_lots: int,
        shown_lots: int,
        taker_ends: bool,
    ) -> None:
        self.maker = maker
        self.price_ticks = price_ticks
        self.taker_lots = taker_lots
        self.maker_lots = maker_lots
        self.shown_lots = shown_lots
        self.taker_ends = taker_ends
        self.maker_leaves = maker.leaves_lots


def prevent(book: OrderBook, ladder: Ladder, level: PriceLevel, taker: Order, fits: int) -> Prevented:
    """Apply the taker's mode to it and the order at the front of the level, which is its own account's.

    `fits`: the lots that the taker would still trade at this price, if there were enough.
    """
    maker, mode = level.front(), taker.self_trade_prevention
    shown = maker.shown_lots
    by_quote = taker.conditions is not None and taker.conditions.quote_left is not None
    from_taker = from_maker = 0
    ends = mode is _EXPIRE_TAKER or mode is _EXPIRE_BOTH
    if mode is _DECREMENT:
        from_taker = from_maker = min(fits, maker.leaves_lots)
        ends = from_taker == fits
    if ends and mode is not _DECREMENT and not by_quote:
        from_taker = taker.leaves_lots
    if mode is _EXPIRE_MAKER or mode is _EXPIRE_BOTH:
        from_maker = maker.leaves_lots
    if from_taker:
        special = taker.special()
        if special.quote_left is not None:
            special.quote_left -= from_taker * level.price_ticks
        if special.budget_minor is None:
            taker.leaves_lots -= from_taker
            special.prevented_lots += from_taker
    if from_maker:
        maker.special().prevented_lots += from_maker
        if from_maker == maker.leaves_lots:
            book.take_out(maker)
            maker.leaves_lots = 0
            maker.special().hidden_lots = 0
        else:
            ladder.reduce(maker, from_maker)
    return Prevented(maker, level.price_ticks, from_taker, from_maker, shown - maker.shown_lots, ends)


def lots_for(book: OrderBook, ladder: Ladder, limit: int, taker: Order) -> int:
    """Return how many lots a FOK taker would trade, up to the key `limit`, under its mode and the guard."""
    mode, guard = taker.self_trade_prevention, book.guard
    low, high = (0, 0) if guard is None else (guard.low, guard.high)
    bounded = guard is not None and guard.reference_ticks is not None
    found = 0
    for level in ladder.in_priority():
        if level.key > limit:
            break
        whole, shown, own = 0, 0, False
        for order in level.open_orders():
            if mode is not NONE and order.account_id == taker.account_id:
                if mode is _EXPIRE_MAKER:
                    continue
                own = True
                break
            whole += order.leaves_lots
            shown += order.shown_lots
        if whole and guard is not None:
            if not bounded:
                (low, high), bounded = guard.around(level.price_ticks), True
            if not low <= level.price_ticks <= high:
                break
        if own:
            return found + shown
        found += whole
    return found
