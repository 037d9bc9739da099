"""Clients that do not read, and what is no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ingest import http_server


class Large:
    """An application that sends much, and tells when it got rid of it: at a client, or because it is gone."""

    def __init__(self) -> None:
        self.done = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        self.done.set()


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Large, int]]:
    listener = http_server.listen("127.0.0.1", 0, shared=False)
    app = Large()
    server = http_server.server(app, 5)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield app, listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def test_who_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "READING_TIMEOUT_S", 0.1)
    async with serving() as (app, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(60):
            await app.done.wait()
        writer.close()


async def test_who_reads_gets_it_all() -> None:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        received = 0
        async with asyncio.timeout(60):
            while piece := await reader.read(1_000_000):
                received += piece.count(b"x")
        writer.close()
    assert received >= 64_000_000


@pytest.mark.parametrize(
    "data", [b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"]
)
async def test_what_is_no_http_is_refused_in_our_words(data: bytes) -> None:
    async with serving() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"""{"code":-1130,"msg":"Data sent for parameter 'request' is not valid."}""")
