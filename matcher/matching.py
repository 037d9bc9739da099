"""What an order does on entry: what it takes, what rests, what ends.

Prices are compared in ticks, money in notional units (ticks x lots), so that this file needs no
instrument. Rules and reasons: docs/matching.md.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from matcher.order import NONE, Order
from matcher.price_level import MOST_DEAD, Ladder
from matcher.self_trade import Prevented, lots_for, prevent
from schemas.orders import OrderType, Side, TimeInForce

if TYPE_CHECKING:
    from matcher.order_book import OrderBook


class Ending(Enum):
    """How the entering order stands when it has met all that it may."""

    FILLED = "filled"
    RESTED = "rested"
    WOULD_TAKE = "would_take"
    UNFILLED_IOC = "unfilled_ioc"
    UNFILLED_FOK = "unfilled_fok"
    NO_LIQUIDITY = "no_liquidity"
    SELF_TRADE = "self_trade"
    OUT_OF_RANGE = "out_of_range"


Fill = tuple[Order, int, int, int]
"""One resting order met: the order, its price in ticks, the lots, what that left of it. Plain, for speed."""
Met = Fill | Prevented
_BUY, _MARKET, _LIMIT_MAKER = Side.BUY, OrderType.MARKET, OrderType.LIMIT_MAKER
MARKET_TYPES = frozenset({OrderType.MARKET, OrderType.STOP_LOSS, OrderType.TAKE_PROFIT})
_GTC, _IOC, _FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
RESTED, _FILLED, _WOULD_TAKE = Ending.RESTED, Ending.FILLED, Ending.WOULD_TAKE


def enter(book: OrderBook, order: Order) -> tuple[list[Met], Ending]:
    """Match an order; rest, expire or refuse what is left."""
    met: list[Met] = []
    ending: Ending | None = None
    if order.side is _BUY:
        ladder, limit = book.asks, order.price_ticks
    else:
        ladder, limit = book.bids, -order.price_ticks
    if ladder.best_key <= limit:
        ending = _WOULD_TAKE if order.order_type is _LIMIT_MAKER else _meet(book, ladder, limit, order, met)
    if ending is None:
        ending = _left(order)
        if ending is RESTED:
            book.rest(order)
    return met, ending


def enter_plain(book: OrderBook, order: Order, ladder: Ladder, limit: int) -> tuple[list[Met], Ending]:
    """Do what `enter` does for a LIMIT order without conditions, where no rule but priority applies."""
    met: list[Met] = []
    if order.time_in_force is _FOK and not ladder.holds(limit, order.leaves_lots):
        return met, Ending.UNFILLED_FOK
    if not _sweep(book.orders, ladder, limit, order, met):
        _walk(book, ladder, limit, order, met)
    if not order.leaves_lots:
        return met, _FILLED
    if order.time_in_force is _GTC:
        book.rest(order)
        return met, RESTED
    return met, Ending.UNFILLED_IOC


def _left(order: Order) -> Ending:
    """Return what becomes of an order that no more offers stand against."""
    if order.order_type in MARKET_TYPES:
        return Ending.NO_LIQUIDITY
    if order.time_in_force is _GTC or order.order_type is _LIMIT_MAKER:
        return RESTED
    return Ending.UNFILLED_IOC if order.time_in_force is _IOC else Ending.UNFILLED_FOK


def _meet(book: OrderBook, ladder: Ladder, limit: int, order: Order, met: list[Met]) -> Ending | None:
    """Meet resting orders up to the key `limit`. None: no more offers there."""
    special = order.conditions
    plain = (
        order.self_trade_prevention is NONE
        and book.guard is None
        and (special is None or special.quote_left is None)
    )
    if order.time_in_force is _FOK and order.order_type not in MARKET_TYPES:
        wanted = order.leaves_lots
        if not (ladder.holds(limit, wanted) if plain else lots_for(book, ladder, limit, order) >= wanted):
            return Ending.UNFILLED_FOK
    if plain and _sweep(book.orders, ladder, limit, order, met):
        return None if order.leaves_lots else _FILLED
    return _walk(book, ladder, limit, order, met)


def _sweep(orders: dict[int, Order], ladder: Ladder, limit: int, taker: Order, met: list[Met]) -> bool:
    """Trade in priority until the taker or the offers up to `limit` are used up; no rule but that applies.

    False: came to a level with an iceberg, which is not for here.
    """
    left, notional = taker.leaves_lots, taker.executed_notional
    hidden = 0
    while left and ladder.best_key <= limit:
        level = ladder.levels[ladder.best_key * ladder.sign]
        hidden = level.hidden
        if hidden:
            break
        queue, price_ticks, there, place = level.queue, level.price_ticks, level.lots, level.head
        while left and there:
            maker = queue[place]
            if maker.ended:
                place += 1
                continue
            lots = maker.leaves_lots
            if lots > left:
                rest = lots - left
                lots = left
            else:
                rest = 0
                maker.ended = True
                place += 1
                level.dead += 1
                del orders[maker.order_id]
            maker.leaves_lots = rest
            traded = price_ticks * lots
            maker.executed_notional += traded
            notional += traded
            left -= lots
            there -= lots
            met.append((maker, price_ticks, lots, rest))
        level.lots, level.head = there, place
        if not there:
            ladder.emptied(level)
        elif level.dead > MOST_DEAD:
            level.sweep()
    taker.leaves_lots = left
    taker.executed_notional = notional
    return not hidden


def _walk(book: OrderBook, ladder: Ladder, limit: int, taker: Order, met: list[Met]) -> Ending | None:
    """Meet resting orders one by one, under every rule. None: no more offers inside the limit."""
    mode, guard = taker.self_trade_prevention, book.guard
    traded = False
    while ladder.best_key <= limit:
        level = ladder.levels[ladder.best_key * ladder.sign]
        price_ticks = level.price_ticks
        fits = _fitting(taker, price_ticks)
        if not fits:
            return _FILLED if traded else Ending.NO_LIQUIDITY
        maker = level.front()
        if mode is not NONE and maker.account_id == taker.account_id:
            prevented = prevent(book, ladder, level, taker, fits)
            met.append(prevented)
            if prevented.taker_ends:
                return Ending.SELF_TRADE
            continue
        if guard is not None and not guard.allows(price_ticks):
            return Ending.OUT_OF_RANGE
        lots = min(fits, maker.shown_lots)
        book.take_from(ladder, level, maker, lots)
        _spend(taker, price_ticks, lots)
        met.append((maker, price_ticks, lots, maker.leaves_lots))
        traded = True
        if _done(taker):
            return _FILLED
    return None


def _fitting(taker: Order, price_ticks: int) -> int:
    """Return how many lots the taker may still trade at a price."""
    special = taker.conditions
    if special is None or special.quote_left is None:
        return taker.leaves_lots
    fits = special.quote_left // price_ticks
    return fits if special.budget_minor is not None else min(fits, taker.leaves_lots)


def _spend(taker: Order, price_ticks: int, lots: int) -> None:
    taker.executed_notional += price_ticks * lots
    special = taker.conditions
    if special is not None and special.quote_left is not None:
        special.quote_left -= price_ticks * lots
        if special.budget_minor is not None:
            return
    taker.leaves_lots -= lots


def _done(taker: Order) -> bool:
    """Tell whether nothing is left to trade, spend or receive."""
    special = taker.conditions
    if special is None or special.quote_left is None:
        return not taker.leaves_lots
    return not special.quote_left or (special.budget_minor is None and not taker.leaves_lots)
