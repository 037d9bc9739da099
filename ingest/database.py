"""Small statements of the management APIs, on a pool of their own: no order waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ingest.management_refusal import ManagementRefusal
from schemas.public_errors import RETRY_AFTER_S
from service_runtime.settings import PostgresSettings

_POOL_TIMEOUT_S: Final = 2.0
_STATEMENT_TIMEOUT_S: Final = 5.0


class Database:
    """Opened at the first statement. Raises ManagementRefusal (503) while Postgres is away."""

    def __init__(self, settings: PostgresSettings, connections: int) -> None:
        self._settings = settings
        self._connections = connections
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] | None = None

    async def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """Run one statement in a transaction of its own; return its rows, if it has any."""
        try:
            pool = self._pool or await self._open()
            async with asyncio.timeout(_STATEMENT_TIMEOUT_S), pool.connection(_POOL_TIMEOUT_S) as connection:
                cursor = await connection.execute(statement.encode(), values)
                return [] if cursor.description is None else await cursor.fetchall()
        except (psycopg.OperationalError, PoolTimeout, TimeoutError, OSError) as error:
            raise ManagementRefusal(
                503,
                "database_away",
                "the database does not answer; try again",
                {"Retry-After": str(RETRY_AFTER_S)},
            ) from error

    async def _open(self) -> AsyncConnectionPool[psycopg.AsyncConnection[Any]]:
        pool = self._pool = AsyncConnectionPool(
            self._settings.dsn,
            kwargs={
                "autocommit": True,
                "connect_timeout": self._settings.connect_timeout_s,
                "application_name": "ingest-management",
            },
            min_size=0,
            max_size=self._connections,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )
        await pool.open()
        return pool

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()
