from __future__ import annotations

import msgspec

from market_data.candle_series import CandleSeries, fill_flat
from market_data.intervals import INTERVALS
from schemas.events import Candle
from tests.unit.market_data.builders import START_MS

MINUTE = INTERVALS["1m"]


def candle(minute: int, close: int = 100, last_trade_id: int = 1, *, closed: bool = True) -> Candle:
    open_ms = START_MS + minute * 60_000
    return Candle(
        event_id="c",
        correlation_id="c",
        causation_id="c",
        occurred_at_ns=0,
        symbol="BTCUSDT",
        interval="1m",
        open_time_ms=open_ms,
        close_time_ms=MINUTE.close_of(open_ms),
        open_ticks=close,
        high_ticks=close,
        low_ticks=close,
        close_ticks=close,
        volume_lots=1,
        quote_minor=1,
        taker_buy_lots=0,
        taker_buy_quote_minor=0,
        trade_count=1,
        first_trade_id=1,
        last_trade_id=last_trade_id,
        closed=closed,
    )


def opens(rows: list[Candle]) -> list[tuple[int, int]]:
    return [((row.open_time_ms - START_MS) // 60_000, row.trade_count) for row in rows]


def test_periods_without_trades_are_filled_and_nothing_is_invented_before_the_first_trade() -> None:
    rows = fill_flat(MINUTE, None, [candle(2), candle(5)], START_MS, START_MS + 7 * 60_000)
    assert opens(rows) == [(2, 1), (3, 0), (4, 0), (5, 1), (6, 0), (7, 0)]


def test_a_window_after_the_last_trade_repeats_its_close() -> None:
    rows = fill_flat(MINUTE, candle(0, close=77), [], START_MS + 3 * 60_000, START_MS + 4 * 60_000)
    assert opens(rows) == [(3, 0), (4, 0)]
    assert {row.open_ticks for row in rows} == {77}


def test_an_older_state_of_a_candle_changes_nothing() -> None:
    series = CandleSeries(MINUTE, 10)
    series.put(candle(0, close=5, last_trade_id=9))
    series.put(candle(0, close=4, last_trade_id=8))
    assert [row.close_ticks for row in series.between(0, 2**62)] == [5]


def test_a_candle_is_told_to_be_closed_once() -> None:
    series = CandleSeries(MINUTE, 10)
    assert series.first_close(candle(0))
    assert not series.first_close(candle(0, last_trade_id=2))
    assert series.first_close(candle(1))


def test_old_candles_leave_memory_and_the_series_knows() -> None:
    series = CandleSeries(MINUTE, 10)
    for minute in range(30):
        series.put(candle(minute))
    held = series.between(0, 2**62)
    assert series.complete_from == held[0].open_time_ms
    assert 10 <= len(held) <= 20
    assert msgspec.structs.asdict(held[-1])["open_time_ms"] == START_MS + 29 * 60_000
