"""Candles and tickers as DuckDB computes them from TradeExecuted records: what is served must equal them.

Shares no code with the services' own arithmetic: periods, opens, closes and windows are SQL.

    connection = duckdb.connect()
    truth.load(connection, trades)                      # TradeExecuted, in any order
    truth.kline_rows(connection, instrument, "1m", until_ms)   # == GET /klines, flat candles too
    truth.ticker_fields(connection, instrument, open_ms)       # is in GET /ticker/24hr
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import duckdb

from schemas.events import TradeExecuted
from schemas.instruments import Instrument
from schemas.money import format_decimal

_STEPS = {
    "1s": "1 second",
    "1m": "1 minute",
    "3m": "3 minutes",
    "5m": "5 minutes",
    "15m": "15 minutes",
    "30m": "30 minutes",
    "1h": "1 hour",
    "2h": "2 hours",
    "4h": "4 hours",
    "6h": "6 hours",
    "8h": "8 hours",
    "12h": "12 hours",
    "1d": "1 day",
    "3d": "3 days",
    "1w": "7 days",
    "1M": "1 month",
}
_ORIGINS = {"1w": "1970-01-05"}
"""A Monday; everything else counts from 1970-01-01."""

_TABLE = """
CREATE OR REPLACE TABLE trades (
    symbol VARCHAR, trade_id BIGINT, traded_at TIMESTAMP, price_ticks BIGINT, quantity_lots BIGINT,
    quote_minor BIGINT, taker_buys BOOLEAN, PRIMARY KEY (symbol, trade_id))
"""

_CANDLES = """
WITH traded AS (
    SELECT time_bucket(INTERVAL '{step}', traded_at, TIMESTAMP '{origin}') AS opened,
        arg_min(price_ticks, trade_id) AS open, max(price_ticks) AS high, min(price_ticks) AS low,
        arg_max(price_ticks, trade_id) AS close, sum(quantity_lots) AS lots, sum(quote_minor) AS quote,
        count(*) AS trades, coalesce(sum(quantity_lots) FILTER (WHERE taker_buys), 0) AS buy_lots,
        coalesce(sum(quote_minor) FILTER (WHERE taker_buys), 0) AS buy_quote
    FROM trades WHERE symbol = $symbol GROUP BY opened),
periods AS (
    SELECT unnest(generate_series(
        (SELECT min(opened) FROM traded),
        time_bucket(INTERVAL '{step}', make_timestamp($until_ms * 1000), TIMESTAMP '{origin}'),
        INTERVAL '{step}')) AS opened),
filled AS (
    SELECT periods.opened, traded.* EXCLUDE (opened, close),
        last_value(traded.close IGNORE NULLS) OVER (ORDER BY periods.opened) AS close
    FROM periods LEFT JOIN traded ON traded.opened = periods.opened)
SELECT epoch_ms(opened), coalesce(open, close), coalesce(high, close), coalesce(low, close), close,
    coalesce(lots, 0), epoch_ms(opened + INTERVAL '{step}') - 1, coalesce(quote, 0), coalesce(trades, 0),
    coalesce(buy_lots, 0), coalesce(buy_quote, 0)
FROM filled ORDER BY opened DESC LIMIT $most
"""

_TICKER = """
SELECT arg_min(price_ticks, trade_id), max(price_ticks), min(price_ticks), arg_max(price_ticks, trade_id),
    arg_max(quantity_lots, trade_id), sum(quantity_lots), sum(quote_minor), min(trade_id), max(trade_id),
    count(*), (SELECT arg_max(price_ticks, trade_id) FROM trades
     WHERE symbol = $symbol AND traded_at < make_timestamp($open_ms * 1000))
FROM trades WHERE symbol = $symbol AND traded_at >= make_timestamp($open_ms * 1000)
"""


def load(connection: duckdb.DuckDBPyConnection, trades: Iterable[TradeExecuted]) -> None:
    """Make the table `trades` of these records; one that comes twice counts once."""
    connection.execute(_TABLE)
    rows = [
        (
            t.symbol,
            t.trade_id,
            t.occurred_at_ns // 1_000_000 * 1_000,
            t.price_ticks,
            t.quantity_lots,
            t.quote_minor,
            t.taker_side.value == "BUY",
        )
        for t in trades
    ]
    if not rows:
        return
    connection.execute(
        "INSERT OR IGNORE INTO trades"
        " SELECT symbol, trade_id, make_timestamp(us), price, lots, quote, buys FROM ("
        "SELECT unnest($1) AS symbol, unnest($2) AS trade_id, unnest($3) AS us, unnest($4) AS price,"
        " unnest($5) AS lots, unnest($6) AS quote, unnest($7) AS buys)",
        [list(column) for column in zip(*rows, strict=True)],
    )


def kline_rows(
    connection: duckdb.DuckDBPyConnection,
    instrument: Instrument,
    interval: str,
    until_ms: int,
    most: int = 10_000_000,
) -> list[list[Any]]:
    """Return the rows of /klines from the symbol's first trade to the candle that holds `until_ms`.

    Only the newest `most` of them.
    """
    statement = _CANDLES.format(step=_STEPS[interval], origin=_ORIGINS.get(interval, "1970-01-01"))
    parameters = {"symbol": instrument.symbol, "until_ms": until_ms, "most": most}
    found = connection.execute(statement, parameters).fetchall()[::-1]
    price, quantity, quote = instrument.price_text, instrument.quantity_text, instrument.quote_text
    return [
        [
            opened,
            price(int(first)),
            price(int(high)),
            price(int(low)),
            price(int(close)),
            quantity(int(lots)),
            closes,
            quote(int(paid)),
            int(trades),
            quantity(int(buy_lots)),
            quote(int(buy_paid)),
            "0",
        ]
        for opened, first, high, low, close, lots, closes, paid, trades, buy_lots, buy_paid in found
    ]


def ticker_fields(
    connection: duckdb.DuckDBPyConnection, instrument: Instrument, open_ms: int
) -> dict[str, Any]:
    """Return the fields of /ticker/24hr that follow from the trades of a window that opens at `open_ms`."""
    found = connection.execute(_TICKER, {"symbol": instrument.symbol, "open_ms": open_ms}).fetchone()
    assert found is not None
    numbers = [int(value) if value is not None else 0 for value in found]
    first, high, low, last, last_lots, lots, quote, first_id, last_id, count, previous = numbers
    change = last - first
    return {
        "symbol": instrument.symbol,
        "priceChange": instrument.price_text(change),
        "priceChangePercent": _percent(change, first),
        "weightedAvgPrice": _mean(instrument, quote, lots),
        "prevClosePrice": instrument.price_text(previous),
        "lastPrice": instrument.price_text(last),
        "lastQty": instrument.quantity_text(last_lots),
        "openPrice": instrument.price_text(first),
        "highPrice": instrument.price_text(high),
        "lowPrice": instrument.price_text(low),
        "volume": instrument.quantity_text(lots),
        "quoteVolume": instrument.quote_text(quote),
        "openTime": open_ms,
        "firstId": first_id if count else -1,
        "lastId": last_id if count else -1,
        "count": count,
    }


def _percent(change: int, base: int) -> str:
    """Return 100 * change / base with 3 decimals, half away from zero."""
    if not base:
        return "0.000"
    size = (abs(change) * 200_000 + base) // (2 * base)
    return format_decimal(-size if change < 0 else size, 3, 3)


def _mean(instrument: Instrument, quote_minor: int, lots: int) -> str:
    """Return quote / base, rounded down to 8 decimals."""
    if not lots:
        return "0.00000000"
    return format_decimal(quote_minor * 10 ** (16 - instrument.quote.scale) // (lots * instrument.lot_e8), 8)
