"""The minimal client of the WebSocket API, against a server that answers in any order and goes away."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve

from tapehouse.bench.raw_http import UNKNOWN
from tapehouse.bench.raw_socket import SocketPool
from tests.unit.tapehouse.bench.asking import ask


@asynccontextmanager
async def pool_of(
    answer: Callable[[ServerConnection], Awaitable[None]], connections: int
) -> AsyncIterator[SocketPool]:
    async with serve(answer, "127.0.0.1", 0) as server:
        pool = SocketPool(f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        await pool.open(connections)
        try:
            yield pool
        finally:
            await pool.close()


def calls(*methods: str) -> list[bytes]:
    return [json.dumps({"method": method}).encode() for method in methods]


async def test_answers_find_their_requests_in_any_order() -> None:
    async def backwards(connection: ServerConnection) -> None:
        asked = [json.loads(await connection.recv()) for _ in range(3)]
        for one in reversed(asked):
            told = {"error": {"code": -1}} if one["method"] == "bad" else {"result": {"of": one["method"]}}
            status = 400 if one["method"] == "bad" else 200
            await connection.send(json.dumps({"id": one["id"], "status": status, **told, "rateLimits": []}))
        await connection.wait_closed()

    async with pool_of(backwards, 2) as pool:
        found = await ask(pool, *calls("a", "b", "bad", "c", "d", "e"))
    told = [(status, json.loads(body)) for status, body in found]
    assert told[2] == (400, {"code": -1})
    assert [body["of"] for status, body in told if status == 200] == ["a", "b", "c", "d", "e"]


async def test_a_connection_that_goes_away_leaves_outcomes_unknown() -> None:
    async def leaving(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.close()

    async with pool_of(leaving, 1) as pool:
        assert await ask(pool, *calls("a", "b")) == [(UNKNOWN, b"")] * 2
        assert await ask(pool, *calls("c")) == [(UNKNOWN, b"")]
