"""The state of one symbol's candles, as the table keeps it, and how a bar changes it.

Pure. One row holds everything a bar changes, so a crash never leaves half a bar behind; minutes that
are over go to rows of their own, for the 24 h ticker and for late bars.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter

import msgspec

from market_data.candles.bucket import Bucket, bucket_of, merged
from market_data.intervals import DAY_MS, INTERVALS, MINUTE_MS, Interval
from schemas.events import Candle, TradeBar
from service_runtime.errors import SequenceGap

KEPT = {"1s": 30, "1m": 3}
KEPT_OTHERWISE = 2
WINDOW_MINUTES = 1440
_by_open = attrgetter("open_ms")


class SymbolState(msgspec.Struct):
    """A row of the table. `next_offset`: from where in `trade-execution` the next trade is looked for."""

    last_trade_id: int = 0
    next_offset: int = 0
    last_at_ms: int = 0
    last_quantity_lots: int = 0
    series: dict[str, list[Bucket]] = {}
    """By interval, oldest first: the newest buckets, and all that are not yet published as closed."""
    evicted: dict[str, int] = {}
    """By interval, open time of the newest bucket that has left `series`."""
    dropped_trade_id: int = 0
    dropped_close_ticks: int = 0
    """The last trade of the minutes that have left the 24 hours."""


encode_state = msgspec.json.Encoder().encode
decode_state = msgspec.json.Decoder(SymbolState).decode
encode_minute = msgspec.json.Encoder().encode
decode_minute = msgspec.json.Decoder(Bucket).decode


class SymbolCandles:
    """One symbol at work. `minutes` are the minutes that are over, by open time."""

    def __init__(self, symbol: str, state: SymbolState, minutes: Iterable[Bucket] = ()) -> None:
        self.symbol = symbol
        self.state = state
        # A minute stored by a run that died before it stored the state is still in the series.
        evicted = state.evicted.get("1m", -1)
        self.minutes = {minute.open_ms: minute for minute in minutes if minute.open_ms <= evicted}
        self.minutes_version = 0
        self.too_late = 0
        """Bars that came so late that a candle could no longer take them."""
        # What was published before a restart is not known: all of it is published again.
        self.unpublished: dict[tuple[str, int], Bucket] = {
            (name, bucket.open_ms): bucket for name, series in state.series.items() for bucket in series
        }
        self.unclosed = set(self.unpublished)
        """Candles that nobody was told to be closed: they stay in `series` until then."""

    def apply(self, bar: TradeBar) -> dict[int, Bucket | None]:
        """Take in the symbol's next bar; return the minutes to store, None for one to forget.

        Minutes are stored before the state and forgotten after it.
        A bar that was applied before changes nothing. Raises SequenceGap if trades are missing.
        """
        state = self.state
        if bar.last_trade_id <= state.last_trade_id:
            return {}
        if bar.first_trade_id != state.last_trade_id + 1:
            raise SequenceGap(
                f"{self.symbol}: a bar from trade {bar.first_trade_id} after {state.last_trade_id}"
            )
        stored: dict[int, Bucket | None] = {}
        for interval in INTERVALS.values():
            self._add(interval, interval.open_of(bar.first_at_ms), bar, stored)
        state.last_trade_id = bar.last_trade_id
        state.next_offset = bar.next_offset
        state.last_at_ms = max(state.last_at_ms, bar.last_at_ms)
        state.last_quantity_lots = bar.last_quantity_lots
        self._evict(stored)
        return stored

    def published(self, candles: Iterable[Candle]) -> None:
        """Forget what has been published, unless it changed since."""
        for candle in candles:
            key = (candle.interval, candle.open_time_ms)
            if candle.closed:
                self.unclosed.discard(key)
            bucket = self.unpublished.get(key)
            if bucket is not None and bucket.last_trade_id == candle.last_trade_id:
                del self.unpublished[key]

    def _add(self, interval: Interval, open_ms: int, bar: TradeBar, stored: dict[int, Bucket | None]) -> None:
        name = interval.name
        series = self.state.series.setdefault(name, [])
        index = bisect_left(series, open_ms, key=_by_open)
        if index < len(series) and series[index].open_ms == open_ms:
            bucket = series[index]
            bucket.add(bar)
        elif open_ms > self.state.evicted.get(name, -1):
            bucket = bucket_of(bar, open_ms)
            series.insert(index, bucket)
            self.unclosed.add((name, open_ms))
        else:
            late = self._late(interval, open_ms, bar, stored)
            if late is None:
                self.too_late += 1
                return
            bucket = late
        self.unpublished[name, open_ms] = bucket

    def _late(
        self, interval: Interval, open_ms: int, bar: TradeBar, stored: dict[int, Bucket | None]
    ) -> Bucket | None:
        """Return the bucket of a period that has left the row; None where it cannot be had any more."""
        if interval.name == "1m":
            if open_ms < self._oldest_minute():
                return None
            minute = self.minutes.get(open_ms)
            if minute is None:
                minute = self.minutes[open_ms] = bucket_of(bar, open_ms)
            elif minute.last_trade_id < bar.last_trade_id:  # else a run stored it and died before the state
                minute.add(bar)
            stored[open_ms] = minute
            self.minutes_version += 1
            return minute
        if not MINUTE_MS < interval.width_ms < DAY_MS or open_ms < self._oldest_minute():
            return None
        # 1m comes before the longer intervals, so its minute already holds the bar.
        end_ms = interval.next_open(open_ms)
        inside = [m for m in self.all_minutes() if open_ms <= m.open_ms < end_ms]
        return merged(inside, open_ms)

    def all_minutes(self) -> Iterable[Bucket]:
        yield from self.minutes.values()
        yield from self.state.series.get("1m", ())

    def _oldest_minute(self) -> int:
        """Open time of the oldest minute that is still kept."""
        newest = self.state.last_at_ms - self.state.last_at_ms % MINUTE_MS
        return newest - WINDOW_MINUTES * MINUTE_MS

    def _evict(self, stored: dict[int, Bucket | None]) -> None:
        for name, series in self.state.series.items():
            kept = KEPT.get(name, KEPT_OTHERWISE)
            while len(series) > kept:
                key = (name, series[0].open_ms)
                if key in self.unpublished or key in self.unclosed:
                    break
                bucket = series.pop(0)
                self.state.evicted[name] = bucket.open_ms
                if name == "1m":
                    stored[bucket.open_ms] = self.minutes[bucket.open_ms] = bucket
                    self.minutes_version += 1
                    self._drop_minutes(stored)

    def _drop_minutes(self, stored: dict[int, Bucket | None]) -> None:
        oldest = self._oldest_minute()
        for open_ms in [open_ms for open_ms in self.minutes if open_ms < oldest]:
            minute = self.minutes.pop(open_ms)
            stored[open_ms] = None
            if minute.last_trade_id > self.state.dropped_trade_id:
                self.state.dropped_trade_id = minute.last_trade_id
                self.state.dropped_close_ticks = minute.close_ticks
