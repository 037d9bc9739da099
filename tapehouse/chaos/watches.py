"""Clients that only look: at the public trade streams, and at the history of trades."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress

import orjson
import psycopg
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tapehouse.chaos.sightings import Sightings, View

_RETRY_S = 0.05
_LOOK_S = 0.05
_NEWEST = "SELECT symbol, max(executed_at_ns) FROM trades WHERE executed_at_ns >= %s GROUP BY symbol"


async def watch_streams(url: str, symbols: Sequence[str], sightings: Sightings) -> None:
    """Read trades until canceled; a connection that ends is made anew at once."""
    address = f"{url}/stream?streams=" + "/".join(f"{symbol.lower()}@trade" for symbol in symbols)
    while True:
        with suppress(OSError, WebSocketException, TimeoutError):
            async with connect(address, compression=None, proxy=None, open_timeout=2.0) as connection:
                async for message in connection:
                    trade = orjson.loads(message).get("data", {})
                    if trade.get("e") == "trade":
                        seen = time.time()
                        sightings.trade(View.STREAM, trade["s"], None, trade["T"] / 1_000, seen)
        await asyncio.sleep(_RETRY_S)


async def watch_tables(dsn: str, sightings: Sightings) -> None:
    """Ask for new trades, while anybody waits for one, until canceled."""
    while True:
        if sightings.waits_for(View.TABLES):
            with suppress(psycopg.Error):
                await _look(dsn, sightings)
        await asyncio.sleep(_LOOK_S)


async def _look(dsn: str, sightings: Sightings) -> None:
    since = min(hit.at_s for hit in sightings.open if hit.view is View.TABLES)
    async with await psycopg.AsyncConnection.connect(
        dsn, connect_timeout=2, application_name="chaos-watch", autocommit=True
    ) as connection:
        while sightings.waits_for(View.TABLES):
            rows = await (await connection.execute(_NEWEST, (int(since * 1e9),))).fetchall()
            for symbol, executed_at_ns in rows:
                sightings.trade(View.TABLES, symbol, None, executed_at_ns / 1e9, time.time())
            await asyncio.sleep(_LOOK_S)
