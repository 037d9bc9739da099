"""The minimal HTTP client, against a server that speaks in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tapehouse.bench.raw_http import UNKNOWN, ConnectionPool, split_answer
from tests.unit.tapehouse.bench.asking import ask

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-A: b\r\n\r\nbody"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def test_answer_is_whole_only_with_its_body() -> None:
    for cut in range(len(ANSWER)):
        assert split_answer(ANSWER[:cut]) is None
    assert split_answer(ANSWER) == (200, b"body")
    assert split_answer(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n") == (204, b"")
    assert split_answer(b"HTTP/1.1 400 Bad\r\nx-a: b\r\ncontent-length: 2\r\n\r\n{}") == (400, b"{}")


@asynccontextmanager
async def pool_of(serve: Serve, most: int) -> AsyncIterator[ConnectionPool]:
    connections: set[asyncio.Task[None]] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        await serve(reader, writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    pool = ConnectionPool("127.0.0.1", server.sockets[0].getsockname()[1], most)
    try:
        yield pool
    finally:
        await pool.close()
        server.close()
        await asyncio.gather(*connections)
        await server.wait_closed()


async def answers(pool: ConnectionPool, count: int) -> list[tuple[int, bytes]]:
    return await ask(pool, *(f"POST / HTTP/1.1\r\n\r\n{number:4}".encode() for number in range(count)))


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with its four bytes of body, a byte at a time."""
    while data := await reader.read(1_000):
        for byte in ANSWER[:-4] + data[-4:]:
            writer.write(bytes([byte]))
            await writer.drain()


async def test_each_request_gets_its_own_answer_over_few_connections() -> None:
    async with pool_of(echo, most=3) as pool:
        found = await answers(pool, 20)
    assert found == [(200, f"{number:4}".encode()) for number in range(20)]


async def test_lost_connection_is_an_unknown_outcome() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000)

    async with pool_of(hang_up, most=2) as pool:
        assert await answers(pool, 7) == [(UNKNOWN, b"")] * 7


async def test_nobody_listening_is_an_unknown_outcome() -> None:
    async with pool_of(echo, most=1) as pool:
        gone = pool
    assert await answers(gone, 1) == [(UNKNOWN, b"")]
