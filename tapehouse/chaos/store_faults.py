"""Faults of Postgres and Redis: sessions ended, locks held, keys lost, keys changed."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import psycopg
import redis.asyncio

from schemas.hot_book import key
from tapehouse.chaos.field import Field
from tapehouse.chaos.sightings import View

LOCK_S = 10.0
FULL_S = 4.0


async def trouble_postgres(field: Field) -> None:
    await asyncio.to_thread(_end_sessions, field)
    field.struck("sessions ended")
    field.struck("sessions ended", view=View.TABLES)
    await field.recovered()
    for lock in (
        "LOCK TABLE wallets IN ACCESS EXCLUSIVE MODE",
        "SELECT * FROM positions FOR UPDATE",
    ):
        await asyncio.to_thread(_hold, field, lock, field.rng.uniform(1.0, LOCK_S))
        field.struck("lock held")
        await field.recovered()
    for _ in range(3):
        await asyncio.to_thread(_cross_locks, field)


def _connect(field: Field) -> psycopg.Connection:
    dsn = field.arena.settings.postgres.dsn
    return psycopg.connect(dsn, connect_timeout=5, application_name="chaos-fault")


def _end_sessions(field: Field) -> None:
    with _connect(field) as connection:
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = current_user AND pid <> pg_backend_pid()"
        ).fetchall()
    field.notes.append(f"{len(rows)} sessions ended")


def _hold(field: Field, statement: str, seconds: float) -> None:
    with _connect(field) as connection:
        connection.execute(statement.encode())
        connection.execute("SELECT pg_sleep(%s)", (seconds,))
        connection.rollback()


def _cross_locks(field: Field) -> None:
    """Lock wallets in an order of our own: who waits for whom in a ring, one of them is refused."""
    with _connect(field) as connection:
        rows = connection.execute(
            "SELECT account_id, asset FROM wallets WHERE account_id > 1000 ORDER BY 1 DESC, 2 DESC"
        ).fetchall()
        try:
            for account_id, asset in field.rng.sample(rows, min(len(rows), 40)):
                connection.execute(
                    "SELECT 1 FROM wallets WHERE account_id = %s AND asset = %s FOR UPDATE",
                    (account_id, asset),
                )
                connection.execute("SELECT pg_sleep(0.01)")
        except psycopg.errors.DeadlockDetected:
            field.notes.append("deadlock: ours was the victim")
        connection.rollback()


async def trouble_redis(field: Field) -> None:
    client = _redis(field)
    try:
        stale = await _dump(client)
        for command in ("FLUSHALL", "CLIENT KILL TYPE normal SKIPME yes", "FLUSHALL"):
            await _call(cast(Any, client).execute_command(*command.split()))
            field.struck(command.split(maxsplit=1)[0])
            await field.recovered()
        await client.config_set("maxmemory", "1mb")
        field.struck("full")
        await asyncio.sleep(FULL_S)
        await client.config_set("maxmemory", "0")
        await field.recovered()
        for name, (value, left_ms) in stale.items():
            await client.restore(name, max(left_ms, 0), value, replace=True)
        field.struck("stale copy")
        await field.recovered()
        await field.kill("valkey")
        await field.recovered()
    finally:
        await client.aclose()


async def tamper_with_redis(field: Field) -> None:
    """Change, add and take away parts of the hot book, or its stamps: all of it must come back by itself."""
    client = _redis(field)
    stamps = field.rng.random() < 0.5
    field.notes.append("stamps" if stamps else "levels and orders")
    try:
        if stamps:
            await _tamper_with_stamp(field, client)
            return
        for symbol in field.rng.sample(["BTCUSDT", "ETHUSDT", "ETHBTC", "SOLUSDT"], 2):
            bids = await _call(client.hgetall(key(symbol, "bid_lots")))
            if bids:
                price = field.rng.choice(sorted(bids))
                await _call(client.hset(key(symbol, "bid_lots"), price, "1"))
            await _call(client.hset(key(symbol, "ask_lots"), "1", "77"))
            await _call(client.zadd(key(symbol, "asks"), {"1": 1}))
            orders = sorted(await _call(client.hkeys(key(symbol, "orders"))))
            if orders:
                await _call(client.hdel(key(symbol, "orders"), field.rng.choice(orders)))
            if len(orders) > 1:
                await _call(client.hset(key(symbol, "orders"), orders[-1], "not an order"))
            accounts = sorted([name async for name in client.scan_iter(key(symbol, "account:*"))])
            if accounts:
                await _call(client.delete(field.rng.choice(accounts)))
            field.struck(f"tampered {symbol}", symbols=(symbol,))
        await field.recovered()
    finally:
        await client.aclose()


async def _tamper_with_stamp(field: Field, client: redis.asyncio.Redis) -> None:
    lost, strange = field.rng.sample(["BTCUSDT", "ETHUSDT", "ETHBTC", "SOLUSDT"], 2)
    await _call(client.hset(key(lost, "stamp"), "hash", "0" * 16))
    await _call(client.delete(key(strange, "orders")))
    await _call(client.set(key(strange, "stamp"), "not a hash"))
    field.struck("tampered stamp", symbols=(lost, strange))
    await field.recovered()


def _redis(field: Field) -> redis.asyncio.Redis:
    return redis.asyncio.Redis.from_url(field.arena.settings.redis.url, socket_timeout=5.0)


async def _dump(client: redis.asyncio.Redis) -> dict[bytes, tuple[bytes, int]]:
    found = {}
    async for name in client.scan_iter("hot:*"):
        value = await client.dump(name)
        if value is not None:
            found[name] = (value, await client.pttl(name))
    return found


async def _call(answer: Any) -> Any:
    """redis-py types an answer as either of its clients'."""
    return await answer
