"""When candles close, and which records tell it: changed candles, and flat ones where there was no trade."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter

from market_data.candles.bucket import Bucket
from market_data.candles.symbol_state import SymbolCandles
from market_data.intervals import INTERVALS, Interval
from schemas.events import Candle

CATCH_UP_PERIODS = 300
"""After a pause at most this many flat candles an interval are told; REST knows the others."""
_by_open = attrgetter("open_ms")


class Closing:
    """Per interval, the open time up to which flat candles have been told."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self._watermark_ms = 0

    def take(self, candles: SymbolCandles, watermark_ms: int, now_ms: int, *, flats: bool) -> list[Candle]:
        """Return what is to be published: changed candles, those that ended before `watermark_ms` as closed.

        With `flats` also the flat ones since the last time. The caller tells `candles.published` once
        the records are stored.
        """
        watermark_ms = self._watermark_ms = max(watermark_ms, self._watermark_ms)  # closed stays closed
        opens: dict[str, set[int]] = {}
        for name, open_ms in candles.unpublished:
            opens.setdefault(name, set()).add(open_ms)
        for name, open_ms in candles.unclosed:
            if INTERVALS[name].next_open(open_ms) <= watermark_ms:
                opens.setdefault(name, set()).add(open_ms)
        records: list[Candle] = []
        for name, series in candles.state.series.items():
            interval = INTERVALS[name]
            self._next.setdefault(name, series[0].open_ms)
            if flats:
                evicted = candles.state.evicted.get(name, -1)
                opens.setdefault(name, set()).update(self._flat(interval, series, evicted, watermark_ms))
            for open_ms in sorted(opens.get(name, ())):
                bucket = candles.unpublished.get((name, open_ms)) or _find(series, open_ms)
                if bucket is None:
                    bucket = _flat(series, open_ms)
                closed = interval.next_open(open_ms) <= watermark_ms
                records.append(_candle(candles.symbol, interval, bucket, closed, now_ms))
        return records

    def _flat(self, interval: Interval, series: list[Bucket], evicted: int, watermark_ms: int) -> list[int]:
        """Move on past every period that has ended; return the open times of those without trades."""
        opened = max(
            self._next[interval.name], interval.back(interval.open_of(watermark_ms), CATCH_UP_PERIODS)
        )
        flat = []
        while (following := interval.next_open(opened)) <= watermark_ms:
            # What is older than the series has had its say, with trades or without.
            if opened > max(evicted, series[0].open_ms) and _find(series, opened) is None:
                flat.append(opened)
            opened = following
        self._next[interval.name] = opened
        return flat


def _find(series: list[Bucket], open_ms: int) -> Bucket | None:
    index = bisect_left(series, open_ms, key=_by_open)
    return series[index] if index < len(series) and series[index].open_ms == open_ms else None


def _flat(series: list[Bucket], open_ms: int) -> Bucket:
    """Return a period without trades: it repeats the close of the last one before it."""
    close = series[bisect_left(series, open_ms, key=_by_open) - 1].close_ticks
    return Bucket(open_ms, close, close, close, close, 0, 0, 0, 0, 0, -1, -1)


def _candle(symbol: str, interval: Interval, bucket: Bucket, closed: bool, now_ms: int) -> Candle:
    state = "closed" if closed else "open"
    name = f"candle:{symbol}:{interval.name}:{bucket.open_ms}:{bucket.last_trade_id}:{state}"
    return Candle(
        event_id=name,
        correlation_id=name,
        causation_id=name,
        occurred_at_ns=now_ms * 1_000_000,
        symbol=symbol,
        interval=interval.name,
        open_time_ms=bucket.open_ms,
        close_time_ms=interval.close_of(bucket.open_ms),
        open_ticks=bucket.open_ticks,
        high_ticks=bucket.high_ticks,
        low_ticks=bucket.low_ticks,
        close_ticks=bucket.close_ticks,
        volume_lots=bucket.volume_lots,
        quote_minor=bucket.quote_minor,
        taker_buy_lots=bucket.taker_buy_lots,
        taker_buy_quote_minor=bucket.taker_buy_quote_minor,
        trade_count=bucket.trade_count,
        first_trade_id=bucket.first_trade_id,
        last_trade_id=bucket.last_trade_id,
        closed=closed,
    )
