"""Reading Postgres beside the way of orders: statements of their own, on a few connections of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from service_runtime.breaker import Breaker
from service_runtime.settings import PostgresSettings

_POOL_TIMEOUT_S: Final = 2.0
_RETRY_AFTER_S: Final = 0.25


class ReadsAway(Exception):
    """Postgres does not answer now."""


class ReadPool:
    """`name` is what Postgres shows of the connections."""

    def __init__(self, settings: PostgresSettings, connections: int, name: str) -> None:
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            settings.dsn,
            min_size=1,
            max_size=connections,
            open=False,
            timeout=_POOL_TIMEOUT_S,
            check=AsyncConnectionPool.check_connection,
            kwargs={
                "autocommit": True,
                "prepare_threshold": 0,
                "application_name": name,
                "connect_timeout": settings.connect_timeout_s,
                "options": "-c statement_timeout=5000",
            },
        )
        self._breaker = Breaker(f"Postgres ({name})", _RETRY_AFTER_S)

    async def open(self) -> None:
        """Does not wait until Postgres is there."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close()

    async def rows(self, statement: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Run one statement, which is one moment. Raises ReadsAway; at once, for a while after a failure."""
        if self._breaker.is_open:
            raise ReadsAway("Postgres is left alone after a failure")
        try:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(statement.encode(), values)
                found = await cursor.fetchall()
        except (psycopg.OperationalError, PoolTimeout) as error:
            self._breaker.failed(error)
            raise ReadsAway(" ".join(str(error).split())[:200]) from error
        self._breaker.succeeded()
        return found
