"""Whether an order's terms make sense at all. The processor lets only such pass: this is the last guard."""

from __future__ import annotations

from collections.abc import Sequence

from matcher.order_lists import LEGS, PAID, PAIRS, is_pair
from matcher.stops import STOP_TYPES
from schemas.commands import EnterOrder, EnterOrderList, OrderTerms
from schemas.instruments import Instrument
from schemas.money import MAX_AMOUNT, PPM
from schemas.orders import OrderListKind, OrderType, Side, TimeInForce

_BUY, _SELL, _GTC = Side.BUY, Side.SELL, TimeInForce.GTC
_LIMIT, _MARKET, _LIMIT_MAKER = OrderType.LIMIT, OrderType.MARKET, OrderType.LIMIT_MAKER
_MAY_SHOW_PART = frozenset({_LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT})
_WORKING = frozenset({_LIMIT, _LIMIT_MAKER})


def fees_sane(maker_fee_ppm: int, taker_fee_ppm: int) -> bool:
    return 0 <= maker_fee_ppm <= PPM and 0 <= taker_fee_ppm <= PPM


def sane(terms: EnterOrder | OrderTerms, instrument: Instrument) -> bool:
    """Tell whether the terms are positive, fit 63 bits, agree with each other and with what it costs."""
    price, quantity, budget = terms.price_ticks, terms.quantity_lots, terms.quote_budget_minor
    if not (0 < price <= MAX_AMOUNT and 0 < terms.order_id <= MAX_AMOUNT and _conditions_sane(terms)):
        return False
    if budget is not None and not (terms.order_type is _MARKET and 0 < budget <= MAX_AMOUNT):
        return False
    if quantity is None:
        return terms.side is _BUY and budget is not None and terms.reserved_minor == budget
    base = quantity * instrument.lot_minor
    if not (quantity > 0 and base <= MAX_AMOUNT):
        return False
    if budget is not None:
        return terms.side is _SELL and terms.reserved_minor == base
    notional = price * quantity * instrument.tick_lot_minor
    return notional <= MAX_AMOUNT and terms.reserved_minor == (notional if terms.side is _BUY else base)


def _conditions_sane(terms: EnterOrder | OrderTerms) -> bool:
    stop, delta = terms.stop_price_ticks, terms.trailing_delta_bips
    if stop is None and delta is None:
        if terms.order_type in STOP_TYPES:
            return False
    elif terms.order_type not in STOP_TYPES:
        return False
    if (stop is not None and not 0 < stop <= MAX_AMOUNT) or (delta is not None and not 0 < delta < 10_000):
        return False
    return terms.display_lots is None or _display_sane(terms, terms.display_lots)


def _display_sane(terms: EnterOrder | OrderTerms, display_lots: int) -> bool:
    if not 0 < display_lots <= (MAX_AMOUNT if terms.quantity_lots is None else terms.quantity_lots):
        return False
    kind = terms.order_type
    return kind is _LIMIT_MAKER or (kind in _MAY_SHOW_PART and terms.time_in_force is _GTC)


def list_sane(command: EnterOrderList, instrument: Instrument) -> bool:
    """Tell whether the legs make the list, each makes sense, and their costs are what is locked."""
    legs, kind = command.legs, command.kind
    if not (
        0 < command.list_id <= MAX_AMOUNT
        and len(legs) == LEGS[kind]
        and len({leg.order_id for leg in legs}) == len(legs)
        and fees_sane(command.maker_fee_ppm, command.taker_fee_ppm)
        and _legs_sane(legs, kind, instrument)
    ):
        return False
    if kind in PAIRS:
        above, below = ((leg.side, leg.order_type, leg.quantity_lots) for leg in legs[-2:])
        if not is_pair(above, below):
            return False
    costs = [leg.reserved_minor for leg in legs]
    cost = max(costs) if kind is OrderListKind.OCO else costs[0] + max(costs[1:])
    return command.reserved_minor == cost


def _legs_sane(legs: Sequence[OrderTerms], kind: OrderListKind, instrument: Instrument) -> bool:
    if kind is OrderListKind.OCO:
        return all(sane(leg, instrument) for leg in legs)
    working = legs[0]
    if working.order_type not in _WORKING or not sane(working, instrument):
        return False
    if kind not in PAID:
        return all(sane(leg, instrument) for leg in legs[1:])
    return working.side is _BUY and all(_paid_leg_sane(leg, working, instrument) for leg in legs[1:])


def _paid_leg_sane(leg: OrderTerms, working: OrderTerms, instrument: Instrument) -> bool:
    """A pending leg of OPO or OPOCO: it sells what the working order will have received."""
    most = leg.price_ticks * (working.quantity_lots or 0) * instrument.tick_lot_minor
    return (
        leg.side is _SELL
        and leg.quantity_lots is None
        and leg.quote_budget_minor is None
        and leg.reserved_minor == 0
        and 0 < leg.price_ticks <= MAX_AMOUNT
        and most <= MAX_AMOUNT
        and 0 < leg.order_id <= MAX_AMOUNT
        and _conditions_sane(leg)
    )
