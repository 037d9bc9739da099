"""The candles of one symbol and interval, as last published, and the flat ones between them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

import msgspec

from market_data.intervals import Interval
from schemas.events import Candle


def flat_candle(template: Candle, interval: Interval, open_ms: int, *, closed: bool) -> Candle:
    """Return the candle of a period without trades: all prices are `template`'s close."""
    close = template.close_ticks
    return msgspec.structs.replace(
        template,
        open_time_ms=open_ms,
        close_time_ms=interval.close_of(open_ms),
        open_ticks=close,
        high_ticks=close,
        low_ticks=close,
        volume_lots=0,
        quote_minor=0,
        taker_buy_lots=0,
        taker_buy_quote_minor=0,
        trade_count=0,
        first_trade_id=-1,
        last_trade_id=-1,
        closed=closed,
    )


class CandleSeries:
    """Candles with trades, newest last, at most `keep`. Flat ones are not kept: `window` makes them.

    From `complete_from` on nothing is missing; what is older is in Postgres.
    """

    def __init__(self, interval: Interval, keep: int) -> None:
        self.interval = interval
        self._keep = keep
        self._opens: list[int] = []
        self._candles: dict[int, Candle] = {}
        self.complete_from: int | None = None
        self._closed: dict[int, None] = {}

    @property
    def newest(self) -> Candle | None:
        return self._candles[self._opens[-1]] if self._opens else None

    def put(self, candle: Candle) -> None:
        """Take a candle as published. One with fewer trades than what is known of it changes nothing."""
        if not candle.trade_count:
            return
        known = self._candles.get(candle.open_time_ms)
        if known is None:
            insort(self._opens, candle.open_time_ms)
        elif known.last_trade_id > candle.last_trade_id:
            return
        self._candles[candle.open_time_ms] = candle
        if len(self._opens) > 2 * self._keep:
            for open_ms in self._opens[: -self._keep]:
                del self._candles[open_ms]
            del self._opens[: -self._keep]
            self.complete_from = max(self.complete_from or 0, self._opens[0])

    def fill(self, candle: Candle) -> None:
        """Take a stored candle, unless something as new was published since."""
        known = self._candles.get(candle.open_time_ms)
        if known is None or known.last_trade_id < candle.last_trade_id:
            self.put(candle)

    def first_close(self, candle: Candle) -> bool:
        """Return True the first time this candle is told to be closed."""
        open_ms = candle.open_time_ms
        if open_ms in self._closed:
            return False
        self._closed[open_ms] = None
        if len(self._closed) > self._keep:
            del self._closed[next(iter(self._closed))]
        return True

    def between(self, start_ms: int, end_ms: int) -> list[Candle]:
        """Return the candles with trades that open at or after `start_ms` and not after `end_ms`."""
        first = bisect_left(self._opens, start_ms)
        last = bisect_right(self._opens, end_ms)
        return [self._candles[open_ms] for open_ms in self._opens[first:last]]

    def before(self, open_ms: int) -> Candle | None:
        """Return the newest candle with trades that opens before `open_ms`."""
        index = bisect_left(self._opens, open_ms)
        return self._candles[self._opens[index - 1]] if index else None


def fill_flat(
    interval: Interval, before: Candle | None, candles: Iterable[Candle], start_ms: int, end_ms: int
) -> list[Candle]:
    """Return one candle a period from `start_ms` to `end_ms` (open times), flat where there was no trade.

    `candles` are those with trades in it, in order; `before` the last one ahead of them. Nothing is
    invented before the first trade ever.
    """
    rows: list[Candle] = []
    last = before
    expected = start_ms
    for candle in candles:
        if last is not None:
            while expected < candle.open_time_ms:
                rows.append(flat_candle(last, interval, expected, closed=True))
                expected = interval.next_open(expected)
        rows.append(candle)
        last = candle
        expected = interval.next_open(candle.open_time_ms)
    while last is not None and expected <= end_ms:
        rows.append(flat_candle(last, interval, expected, closed=True))
        expected = interval.next_open(expected)
    return rows
