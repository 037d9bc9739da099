"""Candles for a request: memory and Postgres put together, flat ones where there was no trade."""

from __future__ import annotations

from market_data.candle_series import CandleSeries, fill_flat
from market_data.candle_store import CandleHistory
from market_data.intervals import DAY_MS, Interval
from market_data.symbol_view import SymbolView
from market_data.zoned_candles import ZonedInterval, joined
from schemas.events import Candle

MOST = 1_000
MOST_PARTS = 5_000


class Klines:
    def __init__(self, history: CandleHistory) -> None:
        self._history = history

    async def window(
        self,
        view: SymbolView,
        interval: Interval,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        now_ms: int,
    ) -> list[Candle]:
        """Return at most `limit` candles by open time, oldest first, up to the present one.

        With `start_ms` the oldest from there, else the newest; bounds are inclusive.
        """
        if isinstance(interval, ZonedInterval):
            return await self._zoned(view, interval, start_ms, end_ms, limit, now_ms)
        series = view.candles[interval.name]
        newest = series.newest
        present_ms = now_ms if newest is None else max(now_ms, newest.open_time_ms)
        last_open = interval.open_of(present_ms if end_ms is None else min(present_ms, end_ms))
        if start_ms is None:
            first_open = interval.back(last_open, limit - 1)
        else:
            first_open = await self._first_open(view, interval, start_ms)
            last_open = min(last_open, interval.back(first_open, 1 - limit))
        if first_open > last_open:
            return []
        before, rows = await self._known(view, series, first_open, last_open)
        return fill_flat(interval, before, rows, first_open, last_open)

    async def _zoned(
        self,
        view: SymbolView,
        interval: ZonedInterval,
        start_ms: int | None,
        end_ms: int | None,
        limit: int,
        now_ms: int,
    ) -> list[Candle]:
        """The same by another clock: at most as many candles as MOST_PARTS shorter ones make."""
        part = interval.part
        limit = min(limit, max(1, MOST_PARTS // -(-(interval.width_ms or 31 * DAY_MS) // part.width_ms)))
        last_open = interval.open_of(now_ms if end_ms is None else min(now_ms, end_ms))
        if start_ms is None:
            first_open = interval.back(last_open, limit - 1)
        else:
            first_part = await self._first_open(view, part, start_ms)
            first_open = interval.open_of(first_part)
            if first_open < start_ms:
                first_open = interval.next_open(first_open)
            last_open = min(last_open, interval.back(first_open, 1 - limit))
        if first_open > last_open:
            return []
        last_part = min(interval.close_of(last_open), now_ms)
        before, parts = await self._known(view, view.candles[part.name], first_open, last_part, MOST_PARTS)
        if before is not None:
            (before,) = joined(interval, [before])
        return fill_flat(interval, before, joined(interval, parts), first_open, last_open)

    async def traded(
        self, view: SymbolView, interval: Interval, first_open: int, last_open: int
    ) -> list[Candle]:
        """Return the candles with trades that open in the range, both ends inclusive, oldest first."""
        _, rows = await self._known(view, view.candles[interval.name], first_open, last_open)
        return rows

    async def _first_open(self, view: SymbolView, interval: Interval, start_ms: int) -> int:
        """Return the first open time not before `start_ms`, and not before the first trade ever."""
        opened = interval.open_of(start_ms)
        opened = opened if opened >= start_ms else interval.next_open(opened)
        series = view.candles[interval.name]
        if series.complete_from is not None and opened >= series.complete_from and series.before(opened):
            return opened
        symbol = view.instrument.symbol
        if await self._history.before(symbol, interval, opened) is not None or series.before(opened):
            return opened
        stored = await self._history.at_or_after(symbol, interval, opened)
        held = series.between(opened, 2**62)
        firsts = [candle.open_time_ms for candle in (stored, held[0] if held else None) if candle is not None]
        return min(firsts, default=opened)

    async def _known(
        self,
        view: SymbolView,
        series: CandleSeries,
        first_open: int,
        last_open: int,
        most: int = 2 * MOST,
    ) -> tuple[Candle | None, list[Candle]]:
        """Return the candles with trades in the range, and the last one before it."""
        if series.complete_from is None or first_open < series.complete_from:
            await self._load(view, series, first_open, last_open)
        rows = {candle.open_time_ms: candle for candle in series.between(first_open, last_open)}
        before = series.before(first_open)
        if series.complete_from is None or first_open < series.complete_from:
            interval, symbol = series.interval, view.instrument.symbol
            for candle in await self._history.between(symbol, interval, first_open, last_open, most):
                held = rows.get(candle.open_time_ms)
                if held is None or held.last_trade_id < candle.last_trade_id:
                    rows[candle.open_time_ms] = candle
            stored = await self._history.before(symbol, interval, first_open)
            if stored is not None and (before is None or before.open_time_ms < stored.open_time_ms):
                before = stored
        return before, [rows[open_ms] for open_ms in sorted(rows)]

    async def _load(self, view: SymbolView, series: CandleSeries, first_open: int, last_open: int) -> None:
        """Keep what the newest rows ask for in memory, so that Postgres is asked once."""
        newest = series.newest
        if newest is not None and last_open < newest.open_time_ms:
            return
        interval, symbol = series.interval, view.instrument.symbol
        start = interval.back(interval.open_of(last_open), MOST)
        if first_open < start:
            return
        stored = await self._history.between(symbol, interval, start, 2**62, 2 * MOST)
        before = await self._history.before(symbol, interval, start)
        for candle in ([before] if before is not None else []) + stored:
            series.fill(candle)
        series.complete_from = start
