"""What an order must pass when it enters, after its terms: state, price band, stop price, would it take."""

from __future__ import annotations

from collections.abc import Sequence

from matcher.matching import MARKET_TYPES
from matcher.order import Order
from matcher.order_book import OrderBook
from matcher.order_lists import OrderList, enclosing
from matcher.stops import STOP_TYPES, rises
from schemas.instruments import Instrument
from schemas.money import PPM
from schemas.orders import MarketState, OrderType, Side, TimeInForce
from schemas.reasons import RejectReason

_BUY, _LIMIT, _LIMIT_MAKER, _GTC = Side.BUY, OrderType.LIMIT, OrderType.LIMIT_MAKER, TimeInForce.GTC
_TRADING, _AUCTION = MarketState.TRADING, MarketState.AUCTION


def closed_to(order: Order, state: MarketState) -> RejectReason | None:
    """Return why the state of the market keeps an order from entering."""
    if state is _TRADING:
        return None
    if state is not _AUCTION:
        return RejectReason.MARKET_CLOSED
    waits = order.order_type in STOP_TYPES or (order.order_type is _LIMIT and order.time_in_force is _GTC)
    return None if waits else RejectReason.NOT_IN_AUCTION


def within_band(price_ticks: int, side: Side, instrument: Instrument, last_price_ticks: int) -> bool:
    """PERCENT_PRICE_BY_SIDE against the last trade; no trade yet: anything."""
    if not last_price_ticks:
        return True
    band = instrument.price_band
    up, down = (band.bid_up_ppm, band.bid_down_ppm) if side is _BUY else (band.ask_up_ppm, band.ask_down_ppm)
    return last_price_ticks * down <= price_ticks * PPM <= last_price_ticks * up


def outside_band(order: Order, instrument: Instrument, last_price_ticks: int) -> bool:
    return order.order_type not in MARKET_TYPES and not within_band(
        order.price_ticks, order.side, instrument, last_price_ticks
    )


def would_trigger(order: Order, last_price_ticks: int) -> bool:
    """Tell whether a stop price is not on the side of the last trade where it must be."""
    stop = order.conditions.stop_price_ticks if order.conditions is not None else None
    if stop is None or not last_price_ticks:
        return False
    return stop <= last_price_ticks if rises(order) else stop >= last_price_ticks


def would_take(order: Order, book: OrderBook) -> bool:
    return order.order_type is _LIMIT_MAKER and book.would_take(order.side, order.price_ticks)


def legs_misplaced(
    found: OrderList, entering: Sequence[Order], book: OrderBook, last_price_ticks: int
) -> RejectReason | None:
    """Return why legs that enter together may not, for their prices."""
    pair = found.pair if len(entering) == 2 else []
    if pair:
        if not enclosing(pair[0], pair[1], last_price_ticks):
            return RejectReason.BAD_LIST_PRICES
    elif any(would_trigger(leg, last_price_ticks) for leg in entering):
        return RejectReason.WOULD_TRIGGER
    return RejectReason.WOULD_TAKE if any(would_take(leg, book) for leg in entering) else None
