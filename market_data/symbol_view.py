"""All that is served of one symbol, in memory. REST and streams read the same one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from market_data.candle_series import CandleSeries
from market_data.depth import Depth
from market_data.intervals import INTERVALS, MINUTE_MS
from market_data.recent_trades import AggregateTrade, RecentTrades, Trade, aggregate, trades_of
from schemas.events import Candle, CommandMatched, Ticker
from schemas.instruments import Instrument, Instruments

TRADES_KEPT = 5_000
CANDLES_KEPT = 1_500
WINDOW_MINUTES = 1440


class SymbolView:
    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.depth = Depth(instrument)
        self.trades = RecentTrades(TRADES_KEPT)
        self.last_price_ticks = 0
        self.candles = {name: CandleSeries(i, CANDLES_KEPT) for name, i in INTERVALS.items()}
        self.ticker: Ticker | None = None
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def apply(self, record: CommandMatched) -> tuple[list[Trade], list[AggregateTrade]]:
        """Apply one command; return the trades it made, one by one and as aggregates."""
        if record.levels:
            self.depth.apply(record.levels, record.last_update_id)
            if self._waiting:
                self._wake()
        trades = trades_of(record)
        if not trades:
            return [], []
        aggregates = aggregate(trades)
        self.trades.add(trades, aggregates)
        self.last_price_ticks = trades[-1].price_ticks
        return trades, aggregates

    def current_ticker(self, now_ms: int) -> Ticker:
        """Return the 24 h ticker as last published; an empty one before the first."""
        if self.ticker is not None:
            return self.ticker
        return empty_ticker(self.instrument.symbol, now_ms)

    def closed_candle_is_complete(self, candle: Candle) -> bool:
        """Return False if a trade is known that belongs to the candle and is not yet in it."""
        last = self.trades.last_id_until(candle.close_time_ms)
        if last is None or last <= candle.last_trade_id:
            return True
        first = self.trades.trades[0].trade_id
        trade = self.trades.trades[last - first]
        return trade.time_ms < candle.open_time_ms

    async def reached(self, update_id: int, timeout_s: float) -> bool:
        """Wait until the depth is not behind `update_id`; return False if that takes too long."""
        if self.depth.update_id >= update_id:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((update_id, future))
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            self._waiting = [waiting for waiting in self._waiting if waiting[1] is not future]
            return False
        return True

    def _wake(self) -> None:
        reached = self.depth.update_id
        for update_id, future in self._waiting:
            if update_id <= reached and not future.done():
                future.set_result(None)
        self._waiting = [waiting for waiting in self._waiting if waiting[0] > reached]


class MarketView:
    """Every symbol. Unknown ones raise KeyError."""

    def __init__(self, instruments: Instruments) -> None:
        self.symbols = {name: SymbolView(i) for name, i in instruments.symbols.items()}

    def __getitem__(self, symbol: str) -> SymbolView:
        return self.symbols[symbol]

    def __iter__(self) -> Iterator[SymbolView]:
        return iter(self.symbols.values())


def empty_ticker(symbol: str, now_ms: int) -> Ticker:
    """Return the ticker of a symbol that never traded."""
    opened = now_ms - now_ms % MINUTE_MS - (WINDOW_MINUTES - 1) * MINUTE_MS
    return Ticker(
        event_id=f"ticker:{symbol}:none",
        correlation_id="",
        causation_id="",
        occurred_at_ns=now_ms * 1_000_000,
        symbol=symbol,
        open_time_ms=opened,
        close_time_ms=now_ms,
        open_ticks=0,
        high_ticks=0,
        low_ticks=0,
        last_ticks=0,
        last_quantity_lots=0,
        previous_close_ticks=0,
        volume_lots=0,
        quote_minor=0,
        trade_count=0,
        first_trade_id=-1,
        last_trade_id=-1,
    )
