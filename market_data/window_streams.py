"""The streams of rolling windows: `<symbol>@ticker_1h`, `!ticker_1h@arr`, and so for 4h and 1d."""

from __future__ import annotations

from typing import Any, Final

import psycopg
import psycopg_pool
import structlog

from market_data import payloads
from market_data.fanout import Hub
from market_data.intervals import DAY_MS, HOUR_MS
from market_data.rolling_windows import RollingWindows, opened_before
from market_data.symbol_view import MarketView, SymbolView
from schemas.events import Ticker

_log = structlog.get_logger("window_streams")
WIDTHS_MS: Final = {"1h": HOUR_MS, "4h": 4 * HOUR_MS, "1d": DAY_MS}


class WindowStreams:
    """Told every second of what changed: a trade came, or the window moved on."""

    def __init__(self, view: MarketView, hub: Hub, windows: RollingWindows) -> None:
        self._view = view
        self._streams = hub.streams
        self._windows = windows
        self._sent: dict[tuple[str, str], tuple[int, int]] = {}

    async def tick(self, now_ms: int) -> None:
        """Send what is listened to. While older candles cannot be read nothing is sent."""
        try:
            for name, width_ms in WIDTHS_MS.items():
                await self._tick(name, width_ms, now_ms)
        except (psycopg.OperationalError, psycopg_pool.PoolTimeout) as error:
            _log.warning("history not reachable", error=str(error).strip()[:200])

    async def _tick(self, name: str, width_ms: int, now_ms: int) -> None:
        everybody = f"!ticker_{name}@arr"
        rows = []
        for view in self._view:
            own = f"{view.instrument.symbol.lower()}@ticker_{name}"
            if own not in self._streams and everybody not in self._streams:
                self._sent.pop((own, name), None)
                continue
            ticker = await self._windows.since(view, opened_before(now_ms, width_ms), now_ms)
            state = (ticker.open_time_ms, ticker.last_trade_id)
            if self._sent.get((own, name)) == state:
                continue
            self._sent[own, name] = state
            event = _event(view, ticker, name, now_ms)
            rows.append(event)
            self._send(own, event)
        if rows:
            self._send(everybody, rows)

    def _send(self, name: str, event: Any) -> None:
        stream = self._streams.get(name)
        if stream is not None:
            stream.send(payloads.to_json(event))


def _event(view: SymbolView, ticker: Ticker, name: str, now_ms: int) -> dict[str, Any]:
    row = payloads.ticker_row(view.instrument, ticker, None, None)
    return payloads.window_event(payloads.window_row(row), name, now_ms)
