from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market_data.intervals import INTERVALS, Interval


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("name", "at", "opens", "next_opens"),
    [
        ("1s", "2026-03-04T05:06:07", "2026-03-04T05:06:07", "2026-03-04T05:06:08"),
        ("1m", "2026-03-04T05:06:07", "2026-03-04T05:06:00", "2026-03-04T05:07:00"),
        ("8h", "2026-03-04T17:06:07", "2026-03-04T16:00:00", "2026-03-05T00:00:00"),
        ("1d", "2026-03-04T05:06:07", "2026-03-04T00:00:00", "2026-03-05T00:00:00"),
        ("1w", "2026-03-04T05:06:07", "2026-03-02T00:00:00", "2026-03-09T00:00:00"),  # a Monday
        ("1w", "2026-03-02T00:00:00", "2026-03-02T00:00:00", "2026-03-09T00:00:00"),
        ("1M", "2024-02-29T23:59:59", "2024-02-01T00:00:00", "2024-03-01T00:00:00"),
        ("1M", "2026-12-31T23:59:59", "2026-12-01T00:00:00", "2027-01-01T00:00:00"),
    ],
)
def test_open_times(name: str, at: str, opens: str, next_opens: str) -> None:
    interval = INTERVALS[name]
    assert interval.open_of(ms(at)) == ms(opens)
    assert interval.next_open(ms(opens)) == ms(next_opens)
    assert interval.close_of(ms(opens)) == ms(next_opens) - 1


def test_three_day_candles_count_from_the_epoch() -> None:
    assert INTERVALS["3d"].open_of(ms("2021-01-11T23:59:59")) == ms("2021-01-09T00:00:00")
    assert ms("2021-01-09T00:00:00") // 86_400_000 % 3 == 0


@given(
    st.sampled_from(sorted(INTERVALS)),
    st.integers(10**12, 4 * 10**12),
    st.integers(0, 300),
)
def test_candles_tile_time(name: str, time_ms: int, count: int) -> None:
    interval: Interval = INTERVALS[name]
    opened = interval.open_of(time_ms)
    assert opened <= time_ms < interval.next_open(opened)
    assert interval.open_of(opened) == opened
    assert interval.open_of(interval.next_open(opened)) == interval.next_open(opened)
    earlier = interval.back(opened, count)
    for _ in range(count):
        earlier = interval.next_open(earlier)
    assert earlier == opened
