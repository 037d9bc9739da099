"""Takes published candles to Postgres every few seconds, in one statement; waits where Postgres is away."""

from __future__ import annotations

import asyncio

import psycopg
import structlog
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from market_data import candle_store
from market_data.metrics import MarketMetrics
from schemas.events import Candle
from schemas.topics import CANDLES
from service_runtime.event_log import TopicPartition
from service_runtime.failpoints import Failpoint, reach

_log = structlog.get_logger("candle_writer")
MOST_ROWS = 5_000


class CandleWriter:
    """Only the newest state of each candle is written. Nothing is dropped until it is stored."""

    def __init__(self, pool: AsyncConnectionPool, metrics: MarketMetrics, interval_s: float) -> None:
        self._pool = pool
        self._metrics = metrics
        self._interval_s = interval_s
        self._pending: dict[tuple[str, str, int], Candle] = {}
        self._next_offsets: dict[int, int] = {}

    def add(self, candle: Candle) -> None:
        if candle.trade_count:
            self._pending[candle.symbol, candle.interval, candle.open_time_ms] = candle

    def read_up_to(self, next_offsets: dict[TopicPartition, int]) -> None:
        """Take note that everything before these offsets was added."""
        for source, offset in next_offsets.items():
            if source.topic == CANDLES:
                self._next_offsets[source.partition] = offset

    async def run(self) -> None:
        """Write for ever."""
        while True:
            await asyncio.sleep(self._interval_s)
            await self.flush()

    async def flush(self) -> None:
        """Write what is pending; keep it if Postgres is away."""
        pending, self._pending = self._pending, {}
        offsets, self._next_offsets = self._next_offsets, {}
        if not offsets:
            return
        rows = list(pending.values())
        try:
            async with self._pool.connection() as connection:
                while len(rows) > MOST_ROWS:
                    await candle_store.write(connection, rows[:MOST_ROWS], {})
                    rows = rows[MOST_ROWS:]
                reach(Failpoint.MARKET_DATA_BEFORE_COMMIT)
                await candle_store.write(connection, rows, offsets)
                reach(Failpoint.MARKET_DATA_AFTER_COMMIT)
        except (psycopg.OperationalError, PoolTimeout) as error:
            _log.warning(
                "candles not stored, trying again", rows=len(pending), error=str(error).strip()[:200]
            )
            self._pending = pending | self._pending
            self._next_offsets = offsets | self._next_offsets
            return
        self._metrics.candle_rows.inc(len(pending))
