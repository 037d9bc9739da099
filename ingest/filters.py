"""An instrument's filters on one order, in the documented order; what needs the market, others check.

PRICE_FILTER, TRAILING_DELTA, LOT_SIZE, MARKET_LOT_SIZE, NOTIONAL, ICEBERG_PARTS here; PERCENT_PRICE_BY_SIDE,
the notional of market orders and all that counts (MAX_NUM_ORDERS, ...) in the processor, which knows the
last price and the open orders. An order that fails here after PRICE_FILTER has not come past
PERCENT_PRICE_BY_SIDE yet: `AfterPriceBand` carries what that needs (`filter_order.py` looks).
"""

from __future__ import annotations

from schemas import public_errors as errors
from schemas.instruments import Instrument
from schemas.orders import Side
from schemas.public_errors import PublicError


class AfterPriceBand(PublicError):
    """A refusal by a filter that stands after PERCENT_PRICE_BY_SIDE, which was not checked."""

    def __init__(self, refusal: PublicError, instrument: Instrument, side: Side, ticks: int) -> None:
        super().__init__(refusal.status, refusal.code, refusal.msg)
        self.instrument = instrument
        self.side = side
        self.price_ticks = ticks


def price_ticks(instrument: Instrument, price_e8: int) -> int:
    """Return the price in ticks. Raises PRICE_FILTER."""
    ticks, rest = divmod(price_e8, instrument.tick_e8)
    if rest or not instrument.min_price_ticks <= ticks <= instrument.max_price_ticks:
        raise errors.FILTER_FAILURE("PRICE_FILTER")
    return ticks


def quantity_lots(instrument: Instrument, quantity_e8: int, market: bool) -> int:
    """Return the quantity in lots. Raises LOT_SIZE, for a market order MARKET_LOT_SIZE too."""
    lots, rest = divmod(quantity_e8, instrument.lot_e8)
    if rest or not instrument.min_quantity_lots <= lots <= instrument.max_quantity_lots:
        raise errors.FILTER_FAILURE("LOT_SIZE")
    if market and lots > instrument.max_market_quantity_lots:
        raise errors.FILTER_FAILURE("MARKET_LOT_SIZE")
    return lots


def check_notional(instrument: Instrument, notional_minor: int) -> None:
    """Raise NOTIONAL for a value outside the range. Integers of any size: nothing overflows."""
    if not instrument.min_notional_minor <= notional_minor <= instrument.max_notional_minor:
        raise errors.FILTER_FAILURE("NOTIONAL")


def check_trailing_delta(instrument: Instrument, delta_bips: int) -> None:
    if not instrument.min_trailing_delta_bips <= delta_bips <= instrument.max_trailing_delta_bips:
        raise errors.FILTER_FAILURE("TRAILING_DELTA")


def check_iceberg(instrument: Instrument, quantity_lots: int, display_lots: int) -> None:
    """Raise for an iceberg that shows more than it has, or would be shown in too many parts."""
    if display_lots > quantity_lots:
        raise errors.ICEBERG_EXCEEDS()
    if -(-quantity_lots // display_lots) > instrument.max_iceberg_parts:
        raise errors.FILTER_FAILURE("ICEBERG_PARTS")
