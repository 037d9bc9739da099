"""Candles cut by another time zone than UTC, put together from shorter ones that are cut alike in both."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import msgspec

from market_data.intervals import DAY_MS, INTERVALS, Interval
from schemas.events import Candle


@dataclass(frozen=True)
class ZonedInterval(Interval):
    """An interval whose candles open by the clock of a zone `offset_ms` east of UTC. Times stay UTC."""

    offset_ms: int = 0

    def open_of(self, time_ms: int) -> int:
        return super().open_of(time_ms + self.offset_ms) - self.offset_ms

    def next_open(self, open_ms: int) -> int:
        return super().next_open(open_ms + self.offset_ms) - self.offset_ms

    def back(self, open_ms: int, count: int) -> int:
        return super().back(open_ms + self.offset_ms, count) - self.offset_ms

    @property
    def part(self) -> Interval:
        """The longest interval that is cut alike in UTC and divides this one."""
        width = self.width_ms or DAY_MS
        parts = [i for i in INTERVALS.values() if i.width_ms and not i.anchor_ms]
        return max(
            (i for i in parts if width % i.width_ms == 0 and self.offset_ms % i.width_ms == 0),
            key=lambda interval: interval.width_ms,
        )


def zoned(interval: Interval, offset_ms: int) -> Interval:
    """Return the interval in a zone: itself, where its candles are cut there as in UTC."""
    if not offset_ms or (interval.width_ms and offset_ms % interval.width_ms == 0):
        return interval
    return ZonedInterval(interval.name, interval.width_ms, interval.anchor_ms, offset_ms)


def joined(interval: Interval, parts: list[Candle]) -> list[Candle]:
    """Return a candle for each period that has parts; these are in order, each with trades."""
    return [
        _join(interval, open_ms, list(group))
        for open_ms, group in groupby(parts, lambda part: interval.open_of(part.open_time_ms))
    ]


def _join(interval: Interval, open_ms: int, parts: list[Candle]) -> Candle:
    return msgspec.structs.replace(
        parts[0],
        interval=interval.name,
        open_time_ms=open_ms,
        close_time_ms=interval.close_of(open_ms),
        high_ticks=max(part.high_ticks for part in parts),
        low_ticks=min(part.low_ticks for part in parts),
        close_ticks=parts[-1].close_ticks,
        volume_lots=sum(part.volume_lots for part in parts),
        quote_minor=sum(part.quote_minor for part in parts),
        taker_buy_lots=sum(part.taker_buy_lots for part in parts),
        taker_buy_quote_minor=sum(part.taker_buy_quote_minor for part in parts),
        trade_count=sum(part.trade_count for part in parts),
        last_trade_id=parts[-1].last_trade_id,
        closed=False,
    )
