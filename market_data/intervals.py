"""The sixteen candle intervals: where a candle opens and where the next one does.

Everything is UTC. Weeks open on Monday, months by the calendar, all others on whole multiples of
their width since 1970 (so does Binance: its 3d candles count from 1970-01-01).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WEEK_MS = 7 * DAY_MS
FIRST_MONDAY_MS = 4 * DAY_MS
"""1970-01-05."""


@dataclass(frozen=True)
class Interval:
    """`width_ms` 0 stands for a calendar month; `anchor_ms` is a time at which a candle opens."""

    name: str
    width_ms: int
    anchor_ms: int = 0

    def open_of(self, time_ms: int) -> int:
        """Return the open time of the candle that holds `time_ms`."""
        if self.width_ms:
            return time_ms - (time_ms - self.anchor_ms) % self.width_ms
        moment = datetime.fromtimestamp(time_ms // 1000, UTC)
        return _month_ms(moment.year, moment.month)

    def next_open(self, open_ms: int) -> int:
        """Return the open time of the candle after the one that opens at `open_ms`."""
        if self.width_ms:
            return open_ms + self.width_ms
        moment = datetime.fromtimestamp(open_ms // 1000, UTC)
        return _month_ms(moment.year, moment.month + 1)

    def back(self, open_ms: int, count: int) -> int:
        """Return the open time `count` candles before the one that opens at `open_ms`; never below 0."""
        if self.width_ms:
            return max(open_ms - count * self.width_ms, self.anchor_ms)
        moment = datetime.fromtimestamp(open_ms // 1000, UTC)
        return max(0, _month_ms(moment.year, moment.month - count))

    def close_of(self, open_ms: int) -> int:
        """Return the last millisecond of the candle that opens at `open_ms`."""
        return self.next_open(open_ms) - 1


def _month_ms(year: int, month: int) -> int:
    months = year * 12 + month - 1
    if months < 1970 * 12:
        return 0
    return int(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC).timestamp()) * 1000


INTERVALS: dict[str, Interval] = {
    interval.name: interval
    for interval in (
        Interval("1s", SECOND_MS),
        Interval("1m", MINUTE_MS),
        Interval("3m", 3 * MINUTE_MS),
        Interval("5m", 5 * MINUTE_MS),
        Interval("15m", 15 * MINUTE_MS),
        Interval("30m", 30 * MINUTE_MS),
        Interval("1h", HOUR_MS),
        Interval("2h", 2 * HOUR_MS),
        Interval("4h", 4 * HOUR_MS),
        Interval("6h", 6 * HOUR_MS),
        Interval("8h", 8 * HOUR_MS),
        Interval("12h", 12 * HOUR_MS),
        Interval("1d", DAY_MS),
        Interval("3d", 3 * DAY_MS),
        Interval("1w", WEEK_MS, FIRST_MONDAY_MS),
        Interval("1M", 0),
    )
}
