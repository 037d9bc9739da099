"""What makes terms invalid, whatever the market does."""

from __future__ import annotations

from collections.abc import Collection

from schemas.commands import EnterOrder, EnterOrderList, OrderTerms
from schemas.instruments import Instrument
from schemas.money import MAX_AMOUNT, PPM
from schemas.orders import OrderListKind, OrderType, Side, TimeInForce
from tests.simulation.matcher.naive.open_order import BIPS, STOP_LOSSES, STOPS, TAKE_PROFITS
from tests.simulation.matcher.naive.order_list import PAID_BY_WORKING

Terms = EnterOrder | OrderTerms
LIMIT_STOPS = {OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT}


def fits(number: int) -> bool:
    return 0 < number <= MAX_AMOUNT


def fees_fit(maker_fee_ppm: int, taker_fee_ppm: int) -> bool:
    return 0 <= maker_fee_ppm <= PPM and 0 <= taker_fee_ppm <= PPM


def order_fits(terms: Terms, instrument: Instrument, taken_ids: Collection[int]) -> bool:
    return (
        _may_stand(terms, taken_ids)
        and cost_minor(terms, instrument) is not None
        and terms.reserved_minor == cost_minor(terms, instrument)
    )


def _may_stand(terms: Terms, taken_ids: Collection[int]) -> bool:
    """All but quantity and money."""
    return (
        fits(terms.order_id)
        and terms.order_id not in taken_ids
        and fits(terms.price_ticks)
        and _stop_fits(terms)
        and _display_fits(terms)
    )


def _stop_fits(terms: Terms) -> bool:
    stop, delta = terms.stop_price_ticks, terms.trailing_delta_bips
    if terms.order_type not in STOPS:
        return stop is None and delta is None
    if stop is None and delta is None:
        return False
    return (stop is None or fits(stop)) and (delta is None or 1 <= delta < BIPS)


def _display_fits(terms: Terms) -> bool:
    if terms.display_lots is None:
        return True
    rests = terms.order_type is OrderType.LIMIT_MAKER or (
        terms.order_type in {OrderType.LIMIT, *LIMIT_STOPS} and terms.time_in_force is TimeInForce.GTC
    )
    most = MAX_AMOUNT if terms.quantity_lots is None else terms.quantity_lots
    return rests and 0 < terms.display_lots <= most


def cost_minor(terms: Terms, instrument: Instrument) -> int | None:
    """Return what such an order locks; None if quantity and budget make no order."""
    lots, budget = terms.quantity_lots, terms.quote_budget_minor
    if budget is not None and (terms.order_type is not OrderType.MARKET or not fits(budget)):
        return None
    if lots is None:
        return budget if terms.side is Side.BUY else None
    base = lots * instrument.lot_minor
    if not fits(base):
        return None
    if budget is not None:
        return base if terms.side is Side.SELL else None
    notional = terms.price_ticks * lots * instrument.tick_lot_minor
    if not fits(notional):
        return None
    return notional if terms.side is Side.BUY else base


# -- order lists ------------------------------------------------------------------------------


def list_fits(
    c: EnterOrderList, instrument: Instrument, taken_ids: Collection[int], taken_lists: Collection[int]
) -> bool:
    ids = [leg.order_id for leg in c.legs]
    if not (fits(c.list_id) and c.list_id not in taken_lists and len(set(ids)) == len(ids)):
        return False
    if not fees_fit(c.maker_fee_ppm, c.taker_fee_ppm):
        return False
    if len(c.legs) != (3 if c.kind in (OrderListKind.OTOCO, OrderListKind.OPOCO) else 2):
        return False
    if c.kind in PAID_BY_WORKING:
        return _paid_list_fits(c, instrument, taken_ids)
    if not all(order_fits(leg, instrument, taken_ids) for leg in c.legs):
        return False
    return _kind_fits(c) and c.reserved_minor == locked_minor(c) <= MAX_AMOUNT


def _paid_list_fits(c: EnterOrderList, instrument: Instrument, taken_ids: Collection[int]) -> bool:
    working, *pending = c.legs
    if not order_fits(working, instrument, taken_ids) or working.side is not Side.BUY:
        return False
    for leg in pending:
        bare = leg.quantity_lots is None and leg.quote_budget_minor is None and leg.reserved_minor == 0
        if not (bare and leg.side is Side.SELL and _may_stand(leg, taken_ids)):
            return False
        if not fits(leg.price_ticks * (working.quantity_lots or 0) * instrument.tick_lot_minor):
            return False
    return _kind_fits(c) and c.reserved_minor == locked_minor(c)


def locked_minor(c: EnterOrderList) -> int:
    needs = [leg.reserved_minor for leg in c.legs]
    if c.kind is OrderListKind.OCO:
        return max(needs)
    if c.kind in PAID_BY_WORKING:
        return needs[0]
    return needs[0] + max(needs[1:])


def _kind_fits(c: EnterOrderList) -> bool:
    if c.kind is OrderListKind.OCO:
        return _pair_fits(*c.legs)
    if c.legs[0].order_type not in (OrderType.LIMIT, OrderType.LIMIT_MAKER):
        return False
    return len(c.legs) == 2 or _pair_fits(*c.legs[1:])


def _pair_fits(above: OrderTerms, below: OrderTerms) -> bool:
    """Tell whether the legs stand as docs/matching.md's OCO says: a seller's profit is above its stop."""
    profits = {OrderType.LIMIT_MAKER, *TAKE_PROFITS}
    same = above.side is below.side and above.quantity_lots == below.quantity_lots
    profit, stop = (above, below) if above.side is Side.SELL else (below, above)
    return same and profit.order_type in profits and stop.order_type in STOP_LOSSES
