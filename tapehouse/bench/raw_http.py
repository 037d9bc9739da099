"""A minimal HTTP/1.1 client: keep-alive connections, one request each at a time, answers with a length.

The load generator shares its processors with the exchange it measures; a general client costs it ten
times what this does.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

Done = Callable[[int, bytes], None]
"""Called with the status and the body; status 0: the connection went away, the outcome is unknown."""
UNKNOWN = 0
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._done: Done | None = None

    def send(self, request: bytes, done: Done) -> None:
        assert self._transport is not None
        self._done = done
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        found = split_answer(self._buffer)
        if found is None:
            return
        status, body = found
        self._buffer = b""
        done, self._done = self._done, None
        self._pool.free(self)
        if done is not None:
            done(status, body)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._pool.lost(self)
        done, self._done = self._done, None
        if done is not None:
            done(UNKNOWN, b"")


def split_answer(data: bytes) -> tuple[int, bytes] | None:
    """Return (status, body) of one whole answer, None while it is not whole."""
    end = data.find(_HEAD_END)
    if end < 0:
        return None
    head = data[:end].lower()
    at = head.find(_LENGTH)
    stop = head.find(b"\r\n", at)
    length = 0 if at < 0 else int(head[at + len(_LENGTH) : stop if stop > 0 else end])
    body = data[end + len(_HEAD_END) :]
    return None if len(body) < length else (int(data[9:12]), body[:length])


class ConnectionPool:
    """Connections to one address. A request waits only while all of `most` are busy."""

    def __init__(self, host: str, port: int, most: int) -> None:
        self._host = host
        self._port = port
        self._most = most
        self._open = 0
        self._idle: list[Connection] = []
        self._waiting: deque[tuple[Callable[[], bytes], Done]] = deque()
        self._opening: set[asyncio.Task[None]] = set()

    async def open(self, count: int) -> None:
        """Open connections before they are needed. Raises OSError."""
        for _ in range(min(count, self._most) - self._open):
            await self._connect()

    def request(self, build: Callable[[], bytes], done: Done) -> None:
        """Send what `build` returns, on the first free connection; it is called when that is."""
        if self._idle:
            self._idle.pop().send(build(), done)
            return
        self._waiting.append((build, done))
        self._open_more()

    def free(self, connection: Connection) -> None:
        if self._waiting:
            build, done = self._waiting.popleft()
            connection.send(build(), done)
        else:
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._open_more()

    async def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle = []

    def _open_more(self) -> None:
        if self._open + len(self._opening) < self._most:
            task = asyncio.ensure_future(self._grow())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _grow(self) -> None:
        try:
            await self._connect()
        except OSError:
            if self._open == 0:
                waiting, self._waiting = self._waiting, deque()
                for _, done in waiting:
                    done(UNKNOWN, b"")

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self), self._host, self._port)
        self._open += 1
        self.free(connection)
