"""PERCENT_PRICE_BY_SIDE in its place among the filters.

It needs the last price, so the processor checks it; ingest refuses what fails a filter that needs none. An
order that fails both is refused by the one that comes first. Only then is the hot book asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ingest.filters import AfterPriceBand
from schemas import public_errors as errors
from schemas.public_errors import PublicError
from service_runtime.hot_book import HotBookAway


class HotPrices(Protocol):
    """What is read of `service_runtime.hot_book_reads.AsyncHotBook`. Raises HotBookAway."""

    async def last_prices(self, symbols: Sequence[str]) -> dict[str, int | None]: ...


async def first_refusal(later: AfterPriceBand, hot: HotPrices) -> PublicError:
    """Return the refusal that comes first. Without a hot book it is the one there is."""
    symbol = later.instrument.symbol
    try:
        last = (await hot.last_prices([symbol]))[symbol]
    except HotBookAway:
        return later
    if later.instrument.within_band(later.price_ticks, later.side, last):
        return later
    return errors.FILTER_FAILURE("PERCENT_PRICE_BY_SIDE")
