"""The 24 h ticker: the present minute and the 1439 before it, so the window opens on a whole minute."""

from __future__ import annotations

from market_data.candles.bucket import Bucket, merged
from market_data.candles.symbol_state import WINDOW_MINUTES, SymbolCandles
from market_data.intervals import MINUTE_MS
from schemas.events import Ticker


def window_open_ms(now_ms: int) -> int:
    return now_ms - now_ms % MINUTE_MS - (WINDOW_MINUTES - 1) * MINUTE_MS


class TickerWindow:
    """Rolls over one symbol's minutes. Those that are over are summed once a minute."""

    def __init__(self, candles: SymbolCandles) -> None:
        self._candles = candles
        self._sum: Bucket | None = None
        self._sum_of: tuple[int, int] | None = None
        self._told: tuple[int, int] | None = None

    def due(self, now_ms: int) -> bool:
        """Return True if there were trades, or the window moved, since `told`."""
        state = self._candles.state
        return bool(state.last_trade_id) and self._told != (window_open_ms(now_ms), state.last_trade_id)

    def told(self, ticker: Ticker, last_trade_id: int) -> None:
        self._told = (ticker.open_time_ms, last_trade_id)

    def ticker(self, now_ms: int) -> Ticker:
        """Return the statistics as of `now_ms`. Without trades prices are zero and ids -1."""
        candles, opened = self._candles, window_open_ms(now_ms)
        if self._sum_of != (opened, candles.minutes_version):
            self._sum = merged((m for m in candles.minutes.values() if m.open_ms >= opened), opened)
            self._sum_of = (opened, candles.minutes_version)
        recent = [m for m in candles.state.series.get("1m", ()) if m.open_ms >= opened]
        total = merged(([self._sum] if self._sum is not None else []) + recent, opened)
        state = candles.state
        name = f"ticker:{candles.symbol}:{state.last_trade_id}:{opened}"
        total = total or Bucket(opened, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1)
        return Ticker(
            event_id=name,
            correlation_id=name,
            causation_id=name,
            occurred_at_ns=now_ms * 1_000_000,
            symbol=candles.symbol,
            open_time_ms=opened,
            close_time_ms=now_ms,
            open_ticks=total.open_ticks,
            high_ticks=total.high_ticks,
            low_ticks=total.low_ticks,
            last_ticks=total.close_ticks,
            last_quantity_lots=state.last_quantity_lots if total.trade_count else 0,
            previous_close_ticks=self._previous_close(opened),
            volume_lots=total.volume_lots,
            quote_minor=total.quote_minor,
            trade_count=total.trade_count,
            first_trade_id=total.first_trade_id,
            last_trade_id=total.last_trade_id,
        )

    def _previous_close(self, opened: int) -> int:
        """Return the price of the last trade before the window, 0 if there was none."""
        state = self._candles.state
        before = merged((m for m in self._candles.all_minutes() if m.open_ms < opened), opened)
        if before is None or before.last_trade_id < state.dropped_trade_id:
            return state.dropped_close_ticks
        return before.close_ticks
