"""What an account asks the database: its orders, trades and wallets, not older than what it has been told.

Each query is one statement that also returns how far every symbol is settled; it is repeated, for a
bounded time, until that has reached what the account has seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from msgspec import Struct

from ingest.order_rows import (
    ORDER_COLUMNS,
    StoredAmendment,
    StoredList,
    StoredOrder,
    StoredPrevented,
    StoredTrade,
)
from ingest.read_pool import ReadPool, ReadsAway
from ingest.reply_desk import Seen
from schemas import public_errors as errors

T = TypeVar("T")
_FIRST_PAUSE_S: Final = 0.002
_LONGEST_PAUSE_S: Final = 0.05
_NS_PER_MS: Final = 1_000_000
_SETTLED: Final = (
    "(SELECT jsonb_object_agg(symbol, jsonb_build_array(sequence, trade_id)) AS settled FROM settled) AS s"
)
_MOST_OPEN: Final = 100_000
_LIST_COLUMNS: Final = (
    "l.list_id, l.symbol, l.kind, l.client_order_id, l.created_at_ns, l.updated_at_ns, l.ended,"
    " (SELECT jsonb_agg(jsonb_build_array(o.order_id, o.client_order_id) ORDER BY o.order_id)"
    " FROM orders o WHERE o.list_id = l.list_id)"
)
_AMENDMENTS: Final = (
    """
SELECT s.settled, a.* FROM """
    + _SETTLED
    + """
LEFT JOIN LATERAL (
  SELECT * FROM (
    SELECT a.order_id, a.sequence, a.previous_client_order_id, a.client_order_id,
      coalesce(lag(a.quantity_lots) OVER (ORDER BY a.sequence), o.first_quantity_lots) AS previous,
      a.quantity_lots, a.at_ns
    FROM orders o JOIN amendments a USING (order_id)
    WHERE o.order_id = %(order_id)s AND o.account_id = %(account)s AND o.symbol = %(symbol)s) a
  WHERE a.sequence >= %(from_id)s ORDER BY a.sequence LIMIT %(limit)s) a ON true"""
)
_PREVENTED: Final = (
    """
SELECT s.settled, p.* FROM """
    + _SETTLED
    + """
LEFT JOIN LATERAL (
  SELECT prevented_match_id, mode, price_ticks, taker_order_id, maker_order_id, taker_prevented_lots,
    maker_prevented_lots, at_ns FROM prevented_matches
  WHERE account_id = %(account)s AND symbol = %(symbol)s
    AND prevented_match_id BETWEEN %(first)s AND %(last)s
    AND (%(order_id)s::bigint IS NULL OR taker_order_id = %(order_id)s OR maker_order_id = %(order_id)s)
  ORDER BY prevented_match_id LIMIT %(limit)s) p ON true"""
)
_WALLETS: Final = (
    """
SELECT s.settled, a.maker_fee_ppm, a.taker_fee_ppm, a.status,
  (SELECT jsonb_agg(jsonb_build_array(asset, available, locked)) FROM wallets
     WHERE account_id = a.account_id),
  (SELECT max(o.updated_at_ns) FROM settled t CROSS JOIN LATERAL (SELECT updated_at_ns FROM orders
     WHERE account_id = a.account_id AND symbol = t.symbol ORDER BY order_id DESC LIMIT 1) o)
FROM """
    + _SETTLED
    + ", accounts a WHERE a.account_id = %(account)s"
)


class Wallets(Struct, frozen=True):
    maker_fee_ppm: int
    taker_fee_ppm: int
    active: bool
    balances: dict[str, tuple[int, int]]
    """asset -> (available, locked)"""
    updated_at_ns: int


class Page(Struct, frozen=True, kw_only=True):
    """Which rows: from an id, within times (ms, inclusive), at most `limit`. Without a start, the newest."""

    limit: int
    from_id: int | None = None
    order_id: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None

    @property
    def newest_first(self) -> bool:
        return self.from_id is None and self.start_ms is None

    def conditions(self, id_column: str, time_column: str) -> tuple[str, dict[str, Any]]:
        parts, values = [], {}
        if self.from_id is not None:
            parts.append(f"{id_column} >= %(from_id)s")
            values["from_id"] = self.from_id
        if self.start_ms is not None:
            parts.append(f"{time_column} >= %(start)s")
            values["start"] = self.start_ms * _NS_PER_MS
        if self.end_ms is not None:
            parts.append(f"{time_column} < %(end)s")
            values["end"] = (self.end_ms + 1) * _NS_PER_MS
        return "".join(f" AND {part}" for part in parts), values


def reached(settled: Mapping[str, list[int]] | None, seen: Seen) -> bool:
    """Return whether every symbol is settled as far as the account has seen."""
    if not seen:
        return True
    have = settled or {}
    return all(
        symbol in have and have[symbol][0] >= sequence and have[symbol][1] >= trade_id
        for symbol, (sequence, trade_id) in seen.items()
    )


class AccountReads:
    def __init__(self, pool: ReadPool, wait_s: float) -> None:
        self._wait_s = wait_s
        self._pool = pool

    async def wallets(self, account_id: int, seen: Seen) -> Wallets:
        async def fetch() -> tuple[Any, Wallets]:
            rows = await self._rows(_WALLETS, {"account": account_id})
            if not rows:
                raise errors.INTERNAL_ERROR()
            settled, maker, taker, status, balances, updated = rows[0]
            found = {asset: (available, locked) for asset, available, locked in balances or ()}
            return settled, Wallets(maker, taker, status == "ACTIVE", found, updated or 0)

        return await self._when_settled(fetch, seen)

    async def order(
        self, account_id: int, symbol: str, order_id: int | None, client_order_id: str | None, seen: Seen
    ) -> StoredOrder | None:
        """Return one order of the account, by id or else the newest of that client order id."""
        if order_id is not None:
            condition = " AND order_id = %(order_id)s"
        else:
            condition = " AND client_order_id = %(client_order_id)s"
        values = {"order_id": order_id, "client_order_id": client_order_id}
        found = await self._orders(account_id, symbol, condition, values, "DESC", 1, seen)
        return found[0] if found else None

    async def open_orders(self, account_id: int, symbol: str | None, seen: Seen) -> list[StoredOrder]:
        """Return orders that may rest and have not ended, oldest first: the slower way without a hot book."""
        condition = (
            " AND ended IS NULL AND (waits_for <> '' OR list_id IS NOT NULL"
            " OR (order_type <> 'MARKET' AND time_in_force = 'GTC'))"
        )
        return await self._orders(account_id, symbol, condition, {}, "ASC", 100_000, seen)

    async def all_orders(self, account_id: int, symbol: str, page: Page, seen: Seen) -> list[StoredOrder]:
        condition, values = page.conditions("order_id", "created_at_ns")
        direction = "DESC" if page.newest_first else "ASC"
        found = await self._orders(account_id, symbol, condition, values, direction, page.limit, seen)
        return found[::-1] if page.newest_first else found

    async def trades(self, account_id: int, symbol: str, page: Page, seen: Seen) -> list[StoredTrade]:
        condition, values = page.conditions("trade_id", "executed_at_ns")
        direction = "DESC" if page.newest_first else "ASC"
        statement = (
            "SELECT s.settled, t.*, (SELECT o.list_id FROM orders o WHERE o.order_id = t.order_id)"
            f" FROM {_SETTLED} LEFT JOIN LATERAL ("
        )
        halves = []
        for mine, is_buyer, maker_of in (("buyer", "true", "SELL"), ("seller", "false", "BUY")):
            order = "" if page.order_id is None else f" AND {mine}_order_id = %(order_id)s"
            halves.append(
                f"(SELECT trade_id, {mine}_order_id AS order_id, price_ticks, quantity_lots, quote_minor,"
                f" {mine}_fee_minor, executed_at_ns, {is_buyer}, taker_side = '{maker_of}' FROM trades"
                f" WHERE {mine}_account_id = %(account)s AND symbol = %(symbol)s{order}{condition}"
                f" ORDER BY trade_id {direction} LIMIT %(limit)s)"
            )
        statement += " UNION ALL ".join(halves)
        statement += f" ORDER BY 1 {direction} LIMIT %(limit)s) t ON true"
        values |= {"account": account_id, "symbol": symbol, "limit": page.limit, "order_id": page.order_id}

        async def fetch() -> tuple[Any, list[StoredTrade]]:
            rows = await self._rows(statement, values)
            return rows[0][0], [StoredTrade(*row[1:]) for row in rows if row[1] is not None]

        found = await self._when_settled(fetch, seen)
        return found[::-1] if page.newest_first else found

    async def order_lists_of(self, account_id: int, list_ids: Sequence[int]) -> list[StoredList]:
        """Return the account's lists of these ids, as they are now."""
        if not list_ids:
            return []
        condition = " AND l.list_id = ANY(%(ids)s)"
        return await self._lists(account_id, condition, {"ids": list(list_ids)}, "ASC", len(list_ids), {})

    async def order_list(
        self, account_id: int, list_id: int | None, client_order_id: str | None, seen: Seen
    ) -> StoredList | None:
        """Return one list of the account, by id or else the newest of that client id."""
        if list_id is not None:
            found = await self._lists(account_id, " AND l.list_id = %(id)s", {"id": list_id}, "DESC", 1, seen)
        else:
            condition = " AND l.client_order_id = %(name)s"
            found = await self._lists(account_id, condition, {"name": client_order_id}, "DESC", 1, seen)
        return found[0] if found else None

    async def order_lists(self, account_id: int, page: Page | None, seen: Seen) -> list[StoredList]:
        """Return a page of lists, oldest first; without a page those that are open."""
        if page is None:
            return await self._lists(account_id, " AND l.ended IS NULL", {}, "ASC", _MOST_OPEN, seen)
        condition, values = page.conditions("l.list_id", "l.created_at_ns")
        direction = "DESC" if page.newest_first else "ASC"
        found = await self._lists(account_id, condition, values, direction, page.limit, seen)
        return found[::-1] if page.newest_first else found

    async def amendments(
        self, account_id: int, symbol: str, order_id: int, from_id: int, limit: int, seen: Seen
    ) -> list[StoredAmendment]:
        values = {
            **{"account": account_id, "symbol": symbol, "order_id": order_id},
            **{"from_id": from_id, "limit": limit},
        }
        return await self._rows_of(_AMENDMENTS, values, StoredAmendment, seen)

    async def prevented_matches(
        self, account_id: int, symbol: str, order_id: int | None, ids: tuple[int, int], limit: int, seen: Seen
    ) -> list[StoredPrevented]:
        """Return those with ids from first to last, of one order if it is named."""
        values = {
            **{"account": account_id, "symbol": symbol, "order_id": order_id},
            **{"first": ids[0], "last": ids[1], "limit": limit},
        }
        return await self._rows_of(_PREVENTED, values, StoredPrevented, seen)

    async def _lists(
        self,
        account_id: int,
        condition: str,
        values: dict[str, Any],
        direction: str,
        limit: int,
        seen: Seen,
    ) -> list[StoredList]:
        statement = (
            f"SELECT s.settled, l.* FROM {_SETTLED} LEFT JOIN LATERAL (SELECT {_LIST_COLUMNS}"
            f" FROM order_lists l WHERE l.account_id = %(account)s{condition}"
            f" ORDER BY l.list_id {direction} LIMIT %(limit)s) l ON true"
        )
        return await self._rows_of(
            statement, values | {"account": account_id, "limit": limit}, StoredList, seen
        )

    async def _rows_of(
        self, statement: str, values: dict[str, Any], row_type: Callable[..., T], seen: Seen
    ) -> list[T]:
        async def fetch() -> tuple[Any, list[T]]:
            rows = await self._rows(statement, values)
            return rows[0][0], [row_type(*row[1:]) for row in rows if row[1] is not None]

        return await self._when_settled(fetch, seen)

    async def _orders(
        self,
        account_id: int,
        symbol: str | None,
        condition: str,
        values: dict[str, Any],
        direction: str,
        limit: int,
        seen: Seen,
    ) -> list[StoredOrder]:
        of_symbol = "" if symbol is None else " AND symbol = %(symbol)s"
        statement = (
            f"SELECT s.settled, o.* FROM {_SETTLED} LEFT JOIN LATERAL (SELECT {ORDER_COLUMNS} FROM orders"
            f" WHERE account_id = %(account)s{of_symbol}{condition}"
            f" ORDER BY order_id {direction} LIMIT %(limit)s) o ON true"
        )
        arguments = values | {"account": account_id, "symbol": symbol, "limit": limit}

        async def fetch() -> tuple[Any, list[StoredOrder]]:
            rows = await self._rows(statement, arguments)
            return rows[0][0], [StoredOrder(*row[1:]) for row in rows if row[1] is not None]

        return await self._when_settled(fetch, seen)

    async def _when_settled(self, fetch: Callable[[], Awaitable[tuple[Any, T]]], seen: Seen) -> T:
        """Return what `fetch` finds once it is not behind `seen`; when that takes too long, what is there."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_s
        pause_s = _FIRST_PAUSE_S
        while True:
            settled, found = await fetch()
            if reached(settled, seen) or loop.time() >= deadline:
                return found
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _rows(self, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Raises -1008 (503, Retry-After) when the database is away."""
        try:
            return await self._pool.rows(statement, values)
        except ReadsAway as away:
            raise errors.OVERLOADED(retry_after=errors.RETRY_AFTER_S) from away
