"""The streams `<symbol>@kline_<interval>@+08:00`, of intervals that are cut there elsewhere than in UTC.

Those that are cut alike are the same stream: `fanout.canonical`.
"""

from __future__ import annotations

from typing import Final

import psycopg
import psycopg_pool
import structlog

from market_data import payloads
from market_data.fanout import EAST_8, Hub
from market_data.intervals import HOUR_MS, INTERVALS
from market_data.klines import Klines
from market_data.symbol_view import MarketView, SymbolView
from market_data.zoned_candles import ZonedInterval, zoned

_log = structlog.get_logger("zoned_streams")
GRACE_MS: Final = 2_000
"""A period is over so long after its end: the last trades arrive a little late."""
INTERVALS_THERE: Final = {
    name: there
    for name, interval in INTERVALS.items()
    if isinstance(there := zoned(interval, 8 * HOUR_MS), ZonedInterval)
}


class ZonedStreams:
    def __init__(self, view: MarketView, hub: Hub, klines: Klines) -> None:
        self._view = view
        self._streams = hub.streams
        self._klines = klines
        self._sent: dict[str, tuple[int, int]] = {}

    async def tick(self, now_ms: int) -> None:
        """Send what changed, and each period once more when it is over. Without Postgres maybe nothing."""
        try:
            for view in self._view:
                for interval in INTERVALS_THERE.values():
                    await self._tick(view, interval, now_ms)
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
            _log.warning("history not reachable", error=str(error).strip()[:200])

    async def _tick(self, view: SymbolView, interval: ZonedInterval, now_ms: int) -> None:
        name = f"{view.instrument.symbol.lower()}@kline_{interval.name}{EAST_8}"
        if name not in self._streams:
            self._sent.pop(name, None)
            return
        rows = await self._klines.window(view, interval, None, None, 2, now_ms - GRACE_MS)
        stream = self._streams.get(name)
        if stream is None or not rows:
            return
        opened, last_trade_id = self._sent.get(name, (0, 0))
        for candle in rows:
            over = candle is not rows[-1]
            newer = candle.open_time_ms > opened or candle.last_trade_id > last_trade_id
            if candle.open_time_ms == opened if over else newer:
                stream.send(payloads.kline_event(view.instrument, candle, now_ms, closed=over))
        self._sent[name] = (rows[-1].open_time_ms, rows[-1].last_trade_id)
