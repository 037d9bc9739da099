"""Trades by id and time: the newest from memory, older ones from Postgres."""

from __future__ import annotations

from psycopg_pool import AsyncConnectionPool

from market_data.recent_trades import AggregateTrade, Trade, aggregate
from market_data.symbol_view import SymbolView

CHUNK = 1_000
_COLUMNS = (
    "trade_id, price_ticks, quantity_lots, quote_minor, executed_at_ns, taker_side,"
    " CASE taker_side WHEN 'BUY' THEN buyer_order_id ELSE seller_order_id END"
)
_FROM = f"SELECT {_COLUMNS} FROM trades WHERE symbol = %s AND trade_id >= %s ORDER BY trade_id LIMIT %s"
_ONE_TIME = "SELECT executed_at_ns FROM trades WHERE symbol = %s AND trade_id = %s"


class TradeHistory:
    """Trade ids count from 1 without a gap, so an id range says which trades are meant."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool

    async def newest_id(self, view: SymbolView) -> int:
        """Return the id of the last trade, 0 before the first."""
        if view.trades.trades:
            return view.trades.trades[-1].trade_id
        async with self._pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT coalesce(max(trade_id), 0) FROM trades WHERE symbol = %s", (view.instrument.symbol,)
            )
            row = await cursor.fetchone()
        return int(row[0]) if row else 0

    async def from_id(self, view: SymbolView, trade_id: int, limit: int) -> list[Trade]:
        """Return the oldest `limit` trades from `trade_id` upward, without a hole."""
        trade_id = max(trade_id, 1)
        first = view.trades.first_id
        if first is not None and trade_id >= first:
            return view.trades.from_id(trade_id, limit)
        stored = await self._stored(view.instrument.symbol, trade_id, limit)
        if first is not None:
            stored = [trade for trade in stored if trade.trade_id < first]
            if len(stored) < limit and (stored[-1].trade_id if stored else trade_id - 1) == first - 1:
                stored += view.trades.from_id(first, limit - len(stored))
        return stored

    async def newest(self, view: SymbolView, limit: int) -> list[Trade]:
        """Return the newest `limit` trades."""
        held = view.trades.trades
        if len(held) >= limit:
            return held[-limit:]
        return await self.from_id(view, await self.newest_id(view) - limit + 1, limit)

    async def first_id_at(self, view: SymbolView, time_ms: int) -> int:
        """Return the id of the first trade not before `time_ms`; one past the newest if there is none."""
        low, high = 1, await self.newest_id(view) + 1
        while low < high:
            middle = (low + high) // 2
            if await self._time_ms(view, middle) < time_ms:
                low = middle + 1
            else:
                high = middle
        return low

    async def aggregates_from(
        self, view: SymbolView, trade_id: int, limit: int, last_id: int | None = None
    ) -> list[AggregateTrade]:
        """Return the oldest `limit` aggregates whose id is in `trade_id` .. `last_id`."""
        # One trade earlier, so that an aggregate that began before is seen to be cut, and is left out.
        trades: list[Trade] = []
        start = max(trade_id - 1, 1)
        while True:
            chunk = await self.from_id(view, start, CHUNK)
            trades += chunk
            rows = [row for row in aggregate(trades) if row.first_trade_id >= trade_id]
            if last_id is not None:
                rows = [row for row in rows if row.first_trade_id <= last_id]
            ended = len(chunk) < CHUNK or (last_id is not None and chunk[-1].trade_id > last_id)
            if len(rows) > limit or ended:
                return rows[:limit]
            start = chunk[-1].trade_id + 1

    async def newest_aggregates(
        self, view: SymbolView, limit: int, last_id: int | None = None
    ) -> list[AggregateTrade]:
        """Return the newest `limit` aggregates whose id is not above `last_id`."""
        if last_id is None and len(view.trades.aggregates) >= limit:
            return view.trades.aggregates[-limit:]
        end = await self.newest_id(view) if last_id is None else last_id
        span = limit
        while True:
            start = max(end - span, 1)
            rows = await self.aggregates_from(view, start, span + 1, end)
            if len(rows) >= limit or start == 1:
                return rows[-limit:]
            span *= 4

    async def _time_ms(self, view: SymbolView, trade_id: int) -> int:
        first = view.trades.first_id
        if first is not None and trade_id >= first:
            return view.trades.trades[trade_id - first].time_ms
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_ONE_TIME, (view.instrument.symbol, trade_id))
            row = await cursor.fetchone()
        return int(row[0]) // 1_000_000 if row else 0

    async def _stored(self, symbol: str, trade_id: int, limit: int) -> list[Trade]:
        async with self._pool.connection() as connection:
            cursor = await connection.execute(_FROM.encode(), (symbol, trade_id, limit))
            rows = await cursor.fetchall()
        return [
            Trade(
                trade_id=row[0],
                price_ticks=row[1],
                quantity_lots=row[2],
                quote_minor=row[3],
                time_ms=row[4] // 1_000_000,
                buyer_is_maker=row[5] == "SELL",
                taker_order_id=row[6],
            )
            for row in rows
        ]
