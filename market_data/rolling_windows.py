"""Statistics of a span of time that ends now: some hours, some days, the day of a time zone.

A span opens on a whole minute. It is put together from the minutes up to the next whole hour and the hours
after it, the present one among them, so a week costs no more than 60 and 168 candles.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from market_data.intervals import DAY_MS, HOUR_MS, INTERVALS, MINUTE_MS
from market_data.klines import Klines
from market_data.symbol_view import SymbolView, empty_ticker
from schemas.events import Candle, Ticker

_MINUTES: Final = INTERVALS["1m"]
_HOURS: Final = INTERVALS["1h"]
_EDGES_KEPT: Final = 1_000


def opened_before(now_ms: int, width_ms: int) -> int:
    """Return where a window of that width opens: it is up to a minute wider, to open on a whole one."""
    opened = now_ms - width_ms
    return opened - opened % MINUTE_MS


def trading_day(now_ms: int, zone_minutes: int) -> int:
    """Return when the present day began in a zone so many minutes east of UTC."""
    offset_ms = zone_minutes * MINUTE_MS
    return now_ms - (now_ms + offset_ms) % DAY_MS


def statistics(symbol: str, candles: Iterable[Candle], open_ms: int, close_ms: int) -> Ticker:
    """Return what happened in candles that lie one after another. Without trades: zero prices, ids -1."""
    traded = [candle for candle in candles if candle.trade_count]
    nothing = empty_ticker(symbol, close_ms)
    if not traded:
        return _moved(nothing, open_ms, close_ms)
    return Ticker(
        event_id=nothing.event_id,
        correlation_id="",
        causation_id="",
        occurred_at_ns=nothing.occurred_at_ns,
        symbol=symbol,
        open_time_ms=open_ms,
        close_time_ms=close_ms,
        open_ticks=traded[0].open_ticks,
        high_ticks=max(candle.high_ticks for candle in traded),
        low_ticks=min(candle.low_ticks for candle in traded),
        last_ticks=traded[-1].close_ticks,
        last_quantity_lots=0,
        previous_close_ticks=0,
        volume_lots=sum(candle.volume_lots for candle in traded),
        quote_minor=sum(candle.quote_minor for candle in traded),
        trade_count=sum(candle.trade_count for candle in traded),
        first_trade_id=traded[0].first_trade_id,
        last_trade_id=traded[-1].last_trade_id,
    )


def _moved(ticker: Ticker, open_ms: int, close_ms: int) -> Ticker:
    values = {name: getattr(ticker, name) for name in ticker.__struct_fields__}
    return Ticker(**{**values, "open_time_ms": open_ms, "close_time_ms": close_ms})


class RollingWindows:
    """Raises what `candle_store` raises when candles have to come from Postgres and it is away."""

    def __init__(self, klines: Klines) -> None:
        self._klines = klines
        self._edges: dict[tuple[str, int], list[Candle]] = {}

    async def since(self, view: SymbolView, open_ms: int, now_ms: int, close_ms: int | None = None) -> Ticker:
        """Return the statistics from `open_ms`, a whole minute, until now."""
        whole = _HOURS.open_of(open_ms + HOUR_MS - 1)
        candles = await self._edge(view, open_ms, min(whole, now_ms + 1), now_ms) if open_ms < whole else []
        if whole <= now_ms:
            candles = candles + await self._klines.traded(view, _HOURS, whole, _HOURS.open_of(now_ms))
        closed = now_ms if close_ms is None else close_ms
        return statistics(view.instrument.symbol, candles, open_ms, closed)

    async def _edge(self, view: SymbolView, open_ms: int, end_ms: int, now_ms: int) -> list[Candle]:
        """Return the minutes from `open_ms` to before `end_ms`; those long over are asked for once."""
        key = (view.instrument.symbol, open_ms)
        kept = self._edges.get(key)
        if kept is not None:
            return kept
        found = await self._klines.traded(view, _MINUTES, open_ms, end_ms - 1)
        if end_ms + 2 * MINUTE_MS < now_ms:  # late trades come within seconds
            if len(self._edges) >= _EDGES_KEPT:
                self._edges.clear()
            self._edges[key] = found
        return found
