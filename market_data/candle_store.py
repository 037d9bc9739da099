"""Candle history in Postgres: what was published goes in, one statement a batch; queries come out."""

from __future__ import annotations

from collections.abc import Mapping

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from market_data.intervals import Interval
from schemas.events import Candle

_UPSERT = """
INSERT INTO candles SELECT * FROM unnest(
    %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[],
    %s::bigint[], %s::bigint[], %s::numeric[], %s::bigint[], %s::numeric[],
    %s::bigint[], %s::bigint[], %s::bigint[])
ON CONFLICT (symbol, interval, open_time_ms) DO UPDATE SET
    open_ticks = EXCLUDED.open_ticks, high_ticks = EXCLUDED.high_ticks, low_ticks = EXCLUDED.low_ticks,
    close_ticks = EXCLUDED.close_ticks, volume_lots = EXCLUDED.volume_lots,
    quote_minor = EXCLUDED.quote_minor, taker_buy_lots = EXCLUDED.taker_buy_lots,
    taker_buy_quote_minor = EXCLUDED.taker_buy_quote_minor, trade_count = EXCLUDED.trade_count,
    first_trade_id = EXCLUDED.first_trade_id, last_trade_id = EXCLUDED.last_trade_id
WHERE candles.last_trade_id < EXCLUDED.last_trade_id
"""
_MOVE = """
INSERT INTO candle_positions SELECT * FROM unnest(%s::int[], %s::bigint[])
ON CONFLICT (partition) DO UPDATE
SET next_offset = greatest(candle_positions.next_offset, EXCLUDED.next_offset)
"""
_COLUMNS = (
    "open_time_ms, close_time_ms, open_ticks, high_ticks, low_ticks, close_ticks, volume_lots, quote_minor,"
    " taker_buy_lots, taker_buy_quote_minor, trade_count, first_trade_id, last_trade_id"
)
_BETWEEN = f"""
SELECT {_COLUMNS} FROM candles
WHERE symbol = %s AND interval = %s AND open_time_ms BETWEEN %s AND %s ORDER BY open_time_ms LIMIT %s
"""
_BEFORE = f"""
SELECT {_COLUMNS} FROM candles
WHERE symbol = %s AND interval = %s AND open_time_ms < %s ORDER BY open_time_ms DESC LIMIT 1
"""
_AFTER = f"""
SELECT {_COLUMNS} FROM candles
WHERE symbol = %s AND interval = %s AND open_time_ms >= %s ORDER BY open_time_ms LIMIT 1
"""


async def write(connection: AsyncConnection, candles: list[Candle], next_offsets: Mapping[int, int]) -> None:
    """Store candles (the newest of each period) and the positions they lead to, in one transaction.

    Two writers do no harm: a row is only replaced by one that holds more trades.
    """
    async with connection.transaction():
        if candles:
            rows = [
                (
                    c.symbol,
                    c.interval,
                    c.open_time_ms,
                    c.close_time_ms,
                    c.open_ticks,
                    c.high_ticks,
                    c.low_ticks,
                    c.close_ticks,
                    c.volume_lots,
                    c.quote_minor,
                    c.taker_buy_lots,
                    c.taker_buy_quote_minor,
                    c.trade_count,
                    c.first_trade_id,
                    c.last_trade_id,
                )
                for c in candles
            ]
            await connection.execute(_UPSERT, [list(column) for column in zip(*rows, strict=True)])
        await connection.execute(_MOVE, [list(next_offsets), list(next_offsets.values())])


async def positions(connection: AsyncConnection) -> dict[int, int]:
    """Return by partition the offset of `candles` up to which everything is stored."""
    cursor = await connection.execute("SELECT partition, next_offset FROM candle_positions")
    return {int(partition): int(offset) for partition, offset in await cursor.fetchall()}


class CandleHistory:
    """Reads stored candles; only those with trades are stored."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def between(
        self, symbol: str, interval: Interval, start_ms: int, end_ms: int, limit: int
    ) -> list[Candle]:
        """Return candles by open time, oldest first."""
        return await self._rows(symbol, interval, _BETWEEN, (start_ms, end_ms, limit))

    async def before(self, symbol: str, interval: Interval, open_ms: int) -> Candle | None:
        rows = await self._rows(symbol, interval, _BEFORE, (open_ms,))
        return rows[0] if rows else None

    async def at_or_after(self, symbol: str, interval: Interval, open_ms: int) -> Candle | None:
        rows = await self._rows(symbol, interval, _AFTER, (open_ms,))
        return rows[0] if rows else None

    async def _rows(
        self, symbol: str, interval: Interval, statement: str, parameters: tuple[int, ...]
    ) -> list[Candle]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(statement.encode(), (symbol, interval.name, *parameters))
            return [_candle(symbol, interval.name, row) for row in await cursor.fetchall()]


def _candle(symbol: str, interval: str, row: tuple[int, ...]) -> Candle:
    values = [int(value) for value in row]
    return Candle(
        event_id=f"candle:{symbol}:{interval}:{values[0]}",
        correlation_id="",
        causation_id="",
        occurred_at_ns=values[1] * 1_000_000,
        symbol=symbol,
        interval=interval,
        open_time_ms=values[0],
        close_time_ms=values[1],
        open_ticks=values[2],
        high_ticks=values[3],
        low_ticks=values[4],
        close_ticks=values[5],
        volume_lots=values[6],
        quote_minor=values[7],
        taker_buy_lots=values[8],
        taker_buy_quote_minor=values[9],
        trade_count=values[10],
        first_trade_id=values[11],
        last_trade_id=values[12],
        closed=True,
    )
