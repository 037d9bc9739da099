"""A minimal client of the WebSocket API: few connections, many requests under way on each, answers by id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tapehouse.bench.raw_http import UNKNOWN, Done


class _Answer(msgspec.Struct):
    id: int
    status: int
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Answer).decode


class SocketPool:
    """Connections to one address. Requests take turns on them, and wait for nobody."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lines: list[_Line] = []
        self._turn = count()

    async def open(self, connections: int) -> None:
        """Open connections before they are needed. Raises OSError."""
        for _ in range(connections - len(self._lines)):
            try:
                connection = await connect(self._url, compression=None, max_queue=None, proxy=None)
            except WebSocketException as error:
                raise OSError(f"{self._url}: {error}") from error
            self._lines.append(_Line(connection))

    def request(self, build: Callable[[], bytes], done: Done) -> None:
        """Send what `build` returns, a JSON object without an id."""
        self._lines[next(self._turn) % len(self._lines)].request(build(), done)

    async def close(self) -> None:
        for line in self._lines:
            await line.close()
        self._lines = []


class _Line:
    """One connection: what waits for answers, what waits to be written."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = count(1)
        self._waiting: dict[int, Done] = {}
        self._unsent: asyncio.Queue[bytes] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]

    def request(self, call: bytes, done: Done) -> None:
        if self._tasks[1].done():  # the connection went away
            done(UNKNOWN, b"")
            return
        number = next(self._ids)
        self._waiting[number] = done
        self._unsent.put_nowait(b'{"id":%d,%s' % (number, call[1:]))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._connection.close()

    async def _write(self) -> None:
        try:
            while True:
                await self._connection.send(await self._unsent.get(), text=True)
        except WebSocketException:
            return  # the reader hears of it too

    async def _read(self) -> None:
        try:
            async for message in self._connection:
                answer = _decode(message)
                done = self._waiting.pop(answer.id, None)
                if done is not None:
                    done(answer.status, bytes(answer.error) or bytes(answer.result))
        except WebSocketException:
            pass
        finally:
            waiting, self._waiting = self._waiting, {}
            for done in waiting.values():
                done(UNKNOWN, b"")
