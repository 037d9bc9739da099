"""From records to streams: applies each record to the view and sends what listeners asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from market_data import payloads
from market_data.depth import DepthDiff
from market_data.fanout import Hub, Stream
from market_data.intervals import INTERVALS, MINUTE_MS
from market_data.symbol_view import MarketView, SymbolView
from schemas.events import Candle, CommandMatched, Ticker

PARTIAL_DEPTHS = (5, 10, 20)
AVERAGE_MINUTES = 5
Best = tuple[payloads.Level, payloads.Level]


@dataclass
class SymbolStreams:
    """The stream names of one symbol, and what was last sent on them."""

    view: SymbolView
    prefix: str
    best: Best = (None, None)
    partial_sent: dict[str, int] = field(default_factory=dict)
    kline_sent: dict[str, tuple[int, int]] = field(default_factory=dict)
    ticker_sent: tuple[Ticker, Best] | None = None
    mini_sent: Ticker | None = None
    average_sent: int = -1

    def __post_init__(self) -> None:
        self.trade = f"{self.prefix}@trade"
        self.aggregate = f"{self.prefix}@aggTrade"
        self.book_ticker = f"{self.prefix}@bookTicker"
        self.ticker = f"{self.prefix}@ticker"
        self.mini_ticker = f"{self.prefix}@miniTicker"
        self.average = f"{self.prefix}@avgPrice"
        # Kept while nobody listens too: the first event must reach back to before the subscription.
        self.diffs = {100: DepthDiff(self.view.depth), 1000: DepthDiff(self.view.depth)}
        self.diff_names = {100: f"{self.prefix}@depth@100ms", 1000: f"{self.prefix}@depth"}
        self.partial_names = {
            100: {levels: f"{self.prefix}@depth{levels}@100ms" for levels in PARTIAL_DEPTHS},
            1000: {levels: f"{self.prefix}@depth{levels}" for levels in PARTIAL_DEPTHS},
        }
        self.klines = {name: f"{self.prefix}@kline_{name}" for name in INTERVALS}


class Publisher:
    """Everything here runs on the event loop's thread; whoever calls it flushes the clients after."""

    def __init__(self, view: MarketView, hub: Hub) -> None:
        self._view = view
        self._streams = hub.streams
        self._symbols = {
            symbol: SymbolStreams(symbol_view, symbol.lower()) for symbol, symbol_view in view.symbols.items()
        }

    # -- as records arrive ------------------------------------------------------------------------

    def matched(self, record: CommandMatched, now_ms: int) -> None:
        streams = self._symbols[record.symbol]
        view = streams.view
        trades, aggregates = view.apply(record)
        if record.levels:
            for diff in streams.diffs.values():
                diff.note(record.levels)
            self._book_ticker(streams)
        if trades:
            stream = self._streams.get(streams.trade)
            if stream is not None:
                for trade in trades:
                    stream.send(payloads.trade_event(view.instrument, trade, now_ms))
            stream = self._streams.get(streams.aggregate)
            if stream is not None:
                for row in aggregates:
                    stream.send(payloads.aggregate_event(view.instrument, row, now_ms))

    def candle(self, candle: Candle, now_ms: int) -> None:
        streams = self._symbols[candle.symbol]
        series = streams.view.candles[candle.interval]
        series.put(candle)
        # A candle that lacks a trade we know of comes again, with it: only then it is final.
        if candle.closed and streams.view.closed_candle_is_complete(candle) and series.first_close(candle):
            stream = self._streams.get(streams.klines[candle.interval])
            if stream is not None:
                stream.send(payloads.kline_event(streams.view.instrument, candle, now_ms, closed=True))

    def ticker(self, ticker: Ticker) -> None:
        self._view[ticker.symbol].ticker = ticker

    # -- as time passes ---------------------------------------------------------------------------

    def tick(self, every_ms: int, now_ms: int) -> None:
        """Send the streams of one speed, 100 or 1000 ms."""
        for streams in self._symbols.values():
            self._diff_depth(streams, every_ms, now_ms)
            self._partial_depth(streams, every_ms)

    def tick_second(self, now_ms: int, second: int) -> None:
        """Send candles, tickers and averages; `second` counts the calls."""
        events: list[dict[str, Any]] = []
        minis: list[dict[str, Any]] = []
        for streams in self._symbols.values():
            self._klines(streams, now_ms, even=second % 2 == 0)
            self._average(streams, now_ms)
            self._tickers(streams, now_ms, events, minis)
        for name, rows in (("!ticker@arr", events), ("!miniTicker@arr", minis)):
            stream = self._streams.get(name)
            if stream is not None and rows:
                stream.send(payloads.to_json(rows))

    # -- one stream each --------------------------------------------------------------------------

    def _book_ticker(self, streams: SymbolStreams) -> None:
        depth = streams.view.depth
        best = (depth.bids.best(), depth.asks.best())
        if best == streams.best:
            return
        streams.best = best
        stream = self._streams.get(streams.book_ticker)
        if stream is not None:
            stream.send(payloads.book_ticker_event(streams.view.instrument, depth.update_id, *best))

    def _diff_depth(self, streams: SymbolStreams, every_ms: int, now_ms: int) -> None:
        diff = streams.diffs[every_ms]
        stream = self._streams.get(streams.diff_names[every_ms])
        if stream is None:
            diff.skip()
            return
        event = diff.take_json(streams.view.instrument.symbol, now_ms)
        if event is not None:
            stream.send(event)

    def _partial_depth(self, streams: SymbolStreams, every_ms: int) -> None:
        depth = streams.view.depth
        for levels, name in streams.partial_names[every_ms].items():
            stream = self._streams.get(name)
            if stream is None:
                streams.partial_sent.pop(name, None)
            elif streams.partial_sent.get(name) != depth.update_id:
                streams.partial_sent[name] = depth.update_id
                stream.send(depth.snapshot_json(levels))

    def _klines(self, streams: SymbolStreams, now_ms: int, *, even: bool) -> None:
        for interval, name in streams.klines.items():
            stream = self._streams.get(name)
            if stream is None:
                streams.kline_sent.pop(name, None)
                continue
            candle = streams.view.candles[interval].newest
            if candle is None or candle.closed or not (even or interval == "1s"):
                continue
            state = (candle.open_time_ms, candle.last_trade_id)
            if streams.kline_sent.get(name) != state:
                streams.kline_sent[name] = state
                stream.send(payloads.kline_event(streams.view.instrument, candle, now_ms, closed=False))

    def _average(self, streams: SymbolStreams, now_ms: int) -> None:
        stream = self._streams.get(streams.average)
        if stream is None:
            streams.average_sent = -1
            return
        price, last_ms = average_price(streams.view, now_ms)
        if streams.average_sent == last_ms:
            return
        streams.average_sent = last_ms
        symbol = streams.view.instrument.symbol
        event = {"e": "avgPrice", "E": now_ms, "s": symbol, "i": "5m", "w": price, "T": last_ms}
        stream.send(payloads.to_json(event))

    def _tickers(
        self,
        streams: SymbolStreams,
        now_ms: int,
        events: list[dict[str, Any]],
        minis: list[dict[str, Any]],
    ) -> None:
        ticker = streams.view.ticker
        if ticker is None:
            return
        full = streams.ticker_sent != (ticker, streams.best)
        mini = streams.mini_sent is not ticker
        if not full and not mini:
            return
        row = payloads.ticker_row(streams.view.instrument, ticker, *streams.best)
        if full:
            streams.ticker_sent = (ticker, streams.best)
            events.append(payloads.ticker_event(row, now_ms))
            _send(self._streams.get(streams.ticker), events[-1])
        if mini:
            streams.mini_sent = ticker
            minis.append(payloads.mini_ticker_event(row, now_ms))
            _send(self._streams.get(streams.mini_ticker), minis[-1])


def average_price(view: SymbolView, now_ms: int) -> tuple[str, int]:
    """Return the mean price of the last five minutes, weighted by quantity, and the last trade's time.

    Made of whole minute candles; without a trade in them it is the last price.
    """
    minute = now_ms - now_ms % MINUTE_MS
    candles = view.candles["1m"].between(minute - (AVERAGE_MINUTES - 1) * MINUTE_MS, minute)
    lots = sum(candle.volume_lots for candle in candles)
    last_ms = view.trades.trades[-1].time_ms if view.trades.trades else 0
    if not lots:
        return view.instrument.price_text(view.last_price_ticks), last_ms
    quote = sum(candle.quote_minor for candle in candles)
    return payloads.mean_price_text(view.instrument, quote, lots), last_ms


def _send(stream: Stream | None, event: dict[str, Any]) -> None:
    if stream is not None:
        stream.send(payloads.to_json(event))
