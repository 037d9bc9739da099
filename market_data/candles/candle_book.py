"""The candles of the symbols this worker has: rows in, rows out, records to publish. No Faust, no Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass, field

from market_data.candles.closing import Closing
from market_data.candles.symbol_state import (
    SymbolCandles,
    SymbolState,
    decode_minute,
    decode_state,
    encode_minute,
    encode_state,
)
from market_data.candles.ticker_window import TickerWindow
from schemas.events import Candle, Ticker, TradeBar

Table = MutableMapping[bytes, bytes]
"""`SYMBOL` -> SymbolState, `SYMBOL|minute` -> Bucket."""
Repair = Callable[[str, int, int, int], list[TradeBar]]
"""(symbol, next offset, after trade id, last trade id) -> the bars in between."""


@dataclass
class SymbolWork:
    candles: SymbolCandles
    closing: Closing = field(default_factory=Closing)

    def __post_init__(self) -> None:
        self.window = TickerWindow(self.candles)


class CandleBook:
    def __init__(self, table: Table) -> None:
        self._table = table
        self._work: dict[str, SymbolWork] = {}
        self.loaded = False

    def __iter__(self) -> Iterator[tuple[str, SymbolWork]]:
        return iter(list(self._work.items()))

    def clear(self) -> None:
        """Forget everything: other partitions are coming."""
        self._work.clear()
        self.loaded = False

    def load(self) -> None:
        """Read the rows of the table, once after partitions came."""
        if self.loaded:
            return
        minutes: dict[str, list[bytes]] = {}
        states: dict[str, bytes] = {}
        for key, value in self._table.items():
            symbol, _, minute = key.decode().partition("|")
            if minute:
                minutes.setdefault(symbol, []).append(value)
            else:
                states[symbol] = value
        for symbol, state in states.items():
            rows = map(decode_minute, minutes.get(symbol, ()))
            self._work[symbol] = SymbolWork(SymbolCandles(symbol, decode_state(state), rows))
        self.loaded = True

    def work(self, symbol: str) -> SymbolWork:
        self.load()
        found = self._work.get(symbol)
        if found is None:
            found = self._work[symbol] = SymbolWork(SymbolCandles(symbol, SymbolState()))
        return found

    def missing_before(self, bar: TradeBar) -> tuple[int, int, int] | None:
        """Return (next offset, after trade id, last trade id) if the bar does not follow what is applied."""
        state = self.work(bar.symbol).candles.state
        if bar.last_trade_id <= state.last_trade_id or bar.first_trade_id == state.last_trade_id + 1:
            return None
        return state.next_offset, state.last_trade_id, bar.last_trade_id

    def apply(self, bar: TradeBar) -> SymbolWork:
        """Apply a bar that follows, or was seen before, and write the rows it changes."""
        work = self.work(bar.symbol)
        before = work.candles.state.last_trade_id
        stored = work.candles.apply(bar)
        if work.candles.state.last_trade_id == before:
            return work
        for open_ms, minute in stored.items():
            if minute is not None:
                self._table[_minute_key(bar.symbol, open_ms)] = encode_minute(minute)
        self._table[bar.symbol.encode()] = encode_state(work.candles.state)
        for open_ms, minute in stored.items():
            if minute is None:
                self._table.pop(_minute_key(bar.symbol, open_ms), None)
        return work


def candles_to_publish(work: SymbolWork, now_ms: int, grace_ms: int, *, caught_up: bool) -> list[Candle]:
    """Return what changed and what closes.

    A worker that lags closes by the time of its last trade, and tells no flat candles yet.
    """
    present_ms = now_ms if caught_up else work.candles.state.last_at_ms
    return work.closing.take(work.candles, present_ms - grace_ms, now_ms, flats=caught_up)


def ticker_to_publish(work: SymbolWork, now_ms: int) -> Ticker | None:
    return work.window.ticker(now_ms) if work.window.due(now_ms) else None


def _minute_key(symbol: str, open_ms: int) -> bytes:
    return f"{symbol}|{open_ms}".encode()
