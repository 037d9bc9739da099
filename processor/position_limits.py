"""MAX_POSITION and MAX_ASSET: what an account may have of an asset, and move with one order. Pure.

An account's position is what it has of the base asset, free and locked, and what its open BUY orders on
the symbol may still bring. Postgres knows it at one moment: a fill moves the same lots from the order to
the wallet. An order that has ended counts until the recorder has heard of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from processor.order_limits import Placing
from processor.reservations import Market, Reservation, Terms, reference_ticks
from schemas.commands import PlaceOrder, PlaceOrderList, ReplaceOrder
from schemas.instruments import Instrument
from schemas.orders import MARKET_TYPES, OrderListKind, Side


def may_buy(request: Placing) -> bool:
    """Return whether the request may add to the account's position."""
    if isinstance(request, PlaceOrder):
        return request.side is Side.BUY
    if isinstance(request, ReplaceOrder):
        return request.order.side is Side.BUY
    return any(leg.side is Side.BUY for leg in request.legs)


def bought_minor(order: Terms, sized: Reservation, instrument: Instrument, market: Market) -> int:
    """Return the base that an order may bring: nothing for a SELL."""
    if order.side is Side.SELL:
        return 0
    lots = sized.quantity_lots
    if lots is None:
        price = reference_ticks(Side.BUY, market)
        if price is None:
            return 0  # nothing can match
        lots = (sized.quote_budget_minor or 0) // instrument.notional_minor(price, 1)
    return lots * instrument.lot_minor


def bought_by_list(request: PlaceOrderList, sized: Sequence[Reservation], instrument: Instrument) -> int:
    """Return the base that a list may bring: of an OCO pair only one leg trades."""
    each = [
        bought_minor(leg, one, instrument, Market()) for leg, one in zip(request.legs, sized, strict=True)
    ]
    return max(each) if request.kind is OrderListKind.OCO else each[0] + max(each[1:])


def moves_too_much(order: Terms, sized: Reservation, instrument: Instrument, market: Market) -> bool:
    """Return whether the order would move more of base or quote than MAX_ASSET allows."""
    most_base, most_quote = instrument.base.max_order_minor, instrument.quote.max_order_minor
    if most_base is None and most_quote is None:
        return False
    lots, budget = sized.quantity_lots or 0, sized.quote_budget_minor
    if most_base is not None and lots * instrument.lot_minor > most_base:
        return True
    price = sized.price_ticks
    if order.order_type in MARKET_TYPES:
        price = order.stop_price_ticks or reference_ticks(order.side, market) or price
    quote = instrument.notional_minor(price, lots) if budget is None else budget
    return most_quote is not None and quote > most_quote
