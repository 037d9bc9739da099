from __future__ import annotations

import duckdb

from market_data import truth
from schemas.instruments import load_instruments
from schemas.orders import Side
from tests.unit.market_data.builders import START_MS, Market

INSTRUMENT = load_instruments()["BTCUSDT"]


def loaded(market: Market) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    truth.load(connection, [*market.trades, *market.trades[:1]])
    return connection


def test_klines_with_a_flat_candle_worked_out_by_hand() -> None:
    market = Market()
    for at_ms, price, lots, side in (
        (0, 100, 2, Side.BUY),
        (59_999, 90, 3, Side.SELL),
        (120_000, 95, 1, Side.BUY),
    ):
        market.now_ms = START_MS + at_ms
        market.trade(price, lots, side)
    rows = truth.kline_rows(loaded(market), INSTRUMENT, "1m", START_MS + 120_000)
    one, ninety, ninety_five = "1.00000000", "0.90000000", "0.95000000"
    assert rows[0] == [
        *(START_MS, one, one, ninety, ninety, "0.00000500", START_MS + 59_999, "0.00000470"),
        *(2, "0.00000200", "0.00000200", "0"),
    ]
    assert rows[1][1:6] == [ninety, ninety, ninety, ninety, "0.00000000"]
    assert rows[2][1:6] == [ninety_five, ninety_five, ninety_five, ninety_five, "0.00000100"]
    assert len(rows) == 3


def test_weeks_open_on_monday_and_months_on_the_first() -> None:
    market = Market()
    market.trade(100, 1)
    connection = loaded(market)
    monday = 1_766_966_400_000  # 2025-12-29
    assert truth.kline_rows(connection, INSTRUMENT, "1w", START_MS)[0][0] == monday
    assert truth.kline_rows(connection, INSTRUMENT, "1M", START_MS)[0][0] == START_MS


def test_ticker_counts_from_its_window_on() -> None:
    market = Market()
    for price in (100, 110, 105):
        market.trade(price, 2)
        market.now_ms += 60_000
    fields = truth.ticker_fields(loaded(market), INSTRUMENT, START_MS + 60_000)
    assert (fields["openPrice"], fields["lastPrice"], fields["prevClosePrice"]) == (
        "1.10000000",
        "1.05000000",
        "1.00000000",
    )
    assert (fields["priceChangePercent"], fields["count"], fields["firstId"]) == ("-4.545", 2, 2)
    empty = truth.ticker_fields(loaded(market), INSTRUMENT, START_MS + 600_000)
    assert (empty["lastPrice"], empty["firstId"], empty["prevClosePrice"]) == ("0.00000000", -1, "1.05000000")
