"""What an order may cost, known before it reaches the book. Values in, values out.

A LIMIT order locks price x quantity (BUY, quote) or its quantity (SELL, base).

A MARKET order is collared: it becomes a marketable limit at `market_collar_ppm` beyond the best
opposite price (BUY rounded up, SELL down, within min and max price), or beyond the last trade's
price when that side is empty or unknown. With no reference at all a BUY gets the min price and a
SELL the max price: nothing can match there, and the matcher expires it for want of liquidity.

  BUY by quantity       locks quantity x collar; what it does not pay comes back with each fill
  BUY by quote budget   locks the budget
  SELL by quantity      locks the quantity
  SELL by quote target  locks the lots that bring the target even if all of them sell at the collar,
                        rounded up to a lot, but at most what the account has and what one market
                        order may sell: the matcher stops at the target and the rest is released.
                        So an account with less than the collar would need may still sell: the book
                        is normally better than the collar. It is refused when it has not one lot.

A market stop (STOP_LOSS, TAKE_PROFIT) is collared from its stop price; a trailing one from as far as
its trigger may move against it: stop or last price, once more by the delta. Without either, a BUY gets
the max price and a SELL the min price: it will be worth its money when it triggers, whenever that is.

What an order list locks: docs/matching.md. A pending leg is priced as if the working leg's price were
the last one.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.commands import PlaceOrder, RequestedOrder
from schemas.instruments import Instrument
from schemas.money import MAX_AMOUNT, PPM
from schemas.orders import MARKET_TYPES, OrderListKind, OrderType, Side
from schemas.reasons import RejectReason

Terms = PlaceOrder | RequestedOrder
_BIPS = 10_000


class Market(msgspec.Struct, frozen=True, gc=False):
    """What is known of a symbol's prices; None: nothing."""

    best_bid_ticks: int | None = None
    best_ask_ticks: int | None = None
    last_price_ticks: int | None = None


class Reservation(msgspec.Struct, frozen=True, gc=False):
    """The terms an order enters the book with, and what it locks."""

    price_ticks: int
    reserved_minor: int
    quantity_lots: int | None
    quote_budget_minor: int | None


def reserve(
    order: Terms, instrument: Instrument, market: Market, available_minor: int
) -> Reservation | RejectReason:
    """Price the order and size what it locks; the first refusal that its terms alone lead to.

    `available_minor` is what the account has of the asset; only a SELL by quote target is cut down to
    it. Whether the account has what is to be locked is the caller's next question.
    """
    if order.order_type is OrderType.MARKET:
        return _market(order, instrument, market, available_minor)
    if order.order_type in MARKET_TYPES:
        return _market_stop(order, instrument, market)
    return _limit(order, instrument, market)


def locks_of_list(kind: OrderListKind, costs: Sequence[int]) -> list[int]:
    """Return what is locked at each leg, given what each leg costs alone."""
    if kind is OrderListKind.OCO:
        return [max(costs), 0]
    if kind is OrderListKind.OTO:
        return list(costs)
    if kind is OrderListKind.OTOCO:
        return [costs[0], max(costs[1:]), 0]
    return [costs[0], *[0] * (len(costs) - 1)]


def unpaid_leg(leg: RequestedOrder, instrument: Instrument, market: Market) -> Reservation | RejectReason:
    """Price a pending leg of OPO or OPOCO: it sells what its working order will have received."""
    if leg.order_type in MARKET_TYPES:
        return Reservation(_stop_collar(leg, instrument, market), 0, None, None)
    price = leg.price_ticks
    assert price is not None
    if not instrument.min_price_ticks <= price <= instrument.max_price_ticks:
        return RejectReason.INVALID_ORDER
    return Reservation(price, 0, None, None)


def still_locked(side: Side, price_ticks: int, leaves_lots: int, instrument: Instrument) -> int:
    """Return what an open order has locked."""
    if side is Side.BUY:
        return instrument.notional_minor(price_ticks, leaves_lots)
    return leaves_lots * instrument.lot_minor


def locked_asset(side: Side, instrument: Instrument) -> str:
    return instrument.quote.name if side is Side.BUY else instrument.base.name


def reference_ticks(side: Side, market: Market) -> int | None:
    """Return the price a market order is measured by: the best opposite one, else the last trade's."""
    best = market.best_ask_ticks if side is Side.BUY else market.best_bid_ticks
    return best if best is not None else market.last_price_ticks


def collar_ticks(side: Side, instrument: Instrument, reference: int | None) -> int:
    """Return the worst price a market order may trade at."""
    low, high = instrument.min_price_ticks, instrument.max_price_ticks
    if reference is None:
        return low if side is Side.BUY else high
    if side is Side.BUY:
        collar = -(-reference * (PPM + instrument.market_collar_ppm) // PPM)
    else:
        collar = reference * (PPM - instrument.market_collar_ppm) // PPM
    return min(max(collar, low), high)


def _limit(order: Terms, instrument: Instrument, market: Market) -> Reservation | RejectReason:
    price, quantity = order.price_ticks, order.quantity_lots
    assert price is not None
    assert quantity is not None
    if not (
        instrument.min_price_ticks <= price <= instrument.max_price_ticks
        and instrument.min_quantity_lots <= quantity <= instrument.max_quantity_lots
    ):
        return RejectReason.INVALID_ORDER
    if not instrument.within_band(price, order.side, market.last_price_ticks):
        return RejectReason.PRICE_BAND
    notional = price * quantity * instrument.tick_lot_minor
    base = quantity * instrument.lot_minor
    if notional > MAX_AMOUNT or base > MAX_AMOUNT:
        return RejectReason.NOTIONAL_OVERFLOW
    return Reservation(price, notional if order.side is Side.BUY else base, quantity, None)


def _market(
    order: Terms, instrument: Instrument, market: Market, available_minor: int
) -> Reservation | RejectReason:
    reference = reference_ticks(order.side, market)
    collar = collar_ticks(order.side, instrument, reference)
    if order.quantity_lots is not None:
        return _market_quantity(order.side, order.quantity_lots, instrument, collar, reference)
    budget = order.quote_quantity_minor
    assert budget is not None
    if not _notional_fits(budget, instrument):
        return RejectReason.MARKET_NOTIONAL
    if order.side is Side.BUY:
        return Reservation(collar, budget, None, budget)
    needed = -(-budget // instrument.notional_minor(collar, 1))
    lots = min(needed, available_minor // instrument.lot_minor, instrument.max_market_quantity_lots)
    return Reservation(collar, lots * instrument.lot_minor, lots, budget)


def _market_stop(order: Terms, instrument: Instrument, market: Market) -> Reservation | RejectReason:
    assert order.quantity_lots is not None
    collar = _stop_collar(order, instrument, market)
    reference = order.stop_price_ticks or market.last_price_ticks
    return _market_quantity(order.side, order.quantity_lots, instrument, collar, reference)


def _stop_collar(order: Terms, instrument: Instrument, market: Market) -> int:
    """Return the worst price that an order without a limit price may trade at, once it is triggered."""
    buying = order.side is Side.BUY
    reference = order.stop_price_ticks or market.last_price_ticks
    if reference is None:
        return instrument.max_price_ticks if buying else instrument.min_price_ticks
    if (delta := order.trailing_delta_bips) is not None:
        moved = reference * (_BIPS + delta if buying else _BIPS - delta)
        reference = -(-moved // _BIPS) if buying else moved // _BIPS
    return collar_ticks(order.side, instrument, reference)


def _market_quantity(
    side: Side, quantity: int, instrument: Instrument, collar: int, reference: int | None
) -> Reservation | RejectReason:
    if not instrument.min_quantity_lots <= quantity <= instrument.max_market_quantity_lots:
        return RejectReason.INVALID_ORDER
    cost, base = instrument.notional_minor(collar, quantity), quantity * instrument.lot_minor
    if cost > MAX_AMOUNT or base > MAX_AMOUNT:
        return RejectReason.NOTIONAL_OVERFLOW
    if reference is not None and not _notional_fits(
        instrument.notional_minor(reference, quantity), instrument
    ):
        return RejectReason.MARKET_NOTIONAL
    return Reservation(collar, cost if side is Side.BUY else base, quantity, None)


def _notional_fits(amount_minor: int, instrument: Instrument) -> bool:
    return instrument.min_notional_minor <= amount_minor <= instrument.max_notional_minor
