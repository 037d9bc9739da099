from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest

from market_data.klines import Klines
from market_data.rest import MarketRest
from market_data.symbol_view import MarketView
from market_data.trade_history import TradeHistory
from schemas.instruments import load_instruments
from schemas.orders import Side
from service_runtime.clock import ManualClock
from service_runtime.hot_book import HotBookAway
from service_runtime.hot_book_reads import AsyncHotBook
from tests.unit.market_data.builders import Market


class Stamped:
    """A hot book of which only the update id is asked; None: it is away."""

    def __init__(self, update_id: int | None) -> None:
        self._update_id = update_id

    async def update_id(self, symbol: str) -> int:
        if self._update_id is None:
            raise HotBookAway("away")
        return self._update_id


class World:
    """A view that has one sell order of 5 lots; a reply has told of a trade of 2 that it has not seen."""

    def __init__(self, away: bool = False) -> None:
        market = Market()
        self.view = MarketView(load_instruments())
        self.view["BTCUSDT"].apply(market.rest(Side.SELL, 3_000_000, 5))
        self.traded = market.take(Side.BUY, 2)
        self.waits: list[str] = []
        self.rest = MarketRest(
            self.view,
            TradeHistory(cast(Any, None)),
            cast(Klines, None),
            cast(AsyncHotBook, Stamped(None if away else market.update_id)),
            ManualClock(),
            view_wait_s=10.0,
            view_waits=self.waits.append,
        )

    async def ask(self, path: str, query: bytes) -> Any:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "GET", "path": f"/api/v3/{path}", "query_string": query}
        await self.rest(scope, cast(Any, None), send)
        assert sent[0]["status"] == 200, sent
        return json.loads(sent[1]["body"])


@pytest.mark.parametrize(
    ("path", "query", "place", "expected"),
    [
        ("depth", b"symbol=BTCUSDT", ("asks", 0, 1), "0.00000300"),
        ("ticker/bookTicker", b"symbol=BTCUSDT", ("askQty",), "0.00000300"),
        ("ticker/price", b"symbol=BTCUSDT", ("price",), "30000.00000000"),
        ("trades", b"symbol=BTCUSDT&limit=1", (0, "id"), 1),
    ],
)
async def test_what_a_reply_has_told_is_shown(
    path: str, query: bytes, place: tuple[Any, ...], expected: Any
) -> None:
    world = World()
    asked = asyncio.create_task(world.ask(path, query))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not asked.done()
    world.view["BTCUSDT"].apply(world.traded)
    found = await asked
    for step in place:
        found = found[step]
    assert found == expected
    assert world.waits == ["reached"]


async def test_nobody_waits_without_a_hot_book() -> None:
    world = World(away=True)
    assert (await world.ask("ticker/price", b"symbol=BTCUSDT"))["price"] == "0.00000000"
    assert world.waits == []
