"""Watches the public trade streams and notes when each trade came."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Self

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tapehouse.errors import OperatorError

QUIET_S = 0.5


class TradeWatch:
    """Use as an async context; messages are kept raw and read by `times` afterwards."""

    def __init__(self, url: str, symbols: Sequence[str]) -> None:
        streams = "/".join(f"{symbol.lower()}@trade" for symbol in symbols)
        self._url = f"{url}/stream?streams={streams}"
        self._raw: list[tuple[float, str | bytes]] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            connection = await connect(self._url, compression=None, max_size=None, proxy=None)
        except (OSError, WebSocketException) as error:
            raise OperatorError(f"the streams at {self._url} do not answer: {error}") from error
        self._task = asyncio.create_task(self._read(connection))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def until_quiet(self, most_s: float) -> None:
        """Wait until nothing has come for a moment."""
        deadline = time.monotonic() + most_s
        before = -1
        while before != len(self._raw) and time.monotonic() < deadline:
            before = len(self._raw)
            await asyncio.sleep(QUIET_S)

    def times(self) -> dict[tuple[str, int], float]:
        """Return when each trade came, by symbol and trade id."""
        found: dict[tuple[str, int], float] = {}
        for at, raw in self._raw:
            trade = orjson.loads(raw).get("data", {})
            if trade.get("e") == "trade":
                found.setdefault((trade["s"], trade["t"]), at)
        return found

    async def _read(self, connection: ClientConnection) -> None:
        async with connection:
            async for message in connection:
                self._raw.append((time.perf_counter(), message))
