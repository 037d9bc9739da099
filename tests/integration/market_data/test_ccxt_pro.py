"""Unmodified ccxt and ccxt.pro against the server and the Faust worker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

import ccxt.pro
import pytest
import websockets

from schemas.instruments import load_instruments
from schemas.orders import Side
from schemas.public_wire import symbol_info
from tapehouse.local_stack import ports
from tests.integration.market_data.conftest import World
from tests.unit.market_data.builders import Market
from tests.waiting import until

pytestmark = pytest.mark.long

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def market(world: World) -> Market:
    made = Market("BTCUSDT", now_ms=time.time_ns() // 1_000_000)

    def open_book(opened: Market) -> None:
        for step in range(1, 40):
            opened.rest(Side.BUY, 3_000_000 - step, 1_000)
            opened.rest(Side.SELL, 3_000_000 + step, 1_000)
        opened.take(Side.BUY, 5)

    world.run_market(made, open_book)
    return made


@pytest.fixture(scope="module")
def port(world: World, market: Market) -> Iterator[int]:
    port = ports.free_ports(1)[0]
    server = world.process("market_data", TAPEHOUSE_MARKET_DATA__PORT=str(port)).start()
    worker = world.process(
        "market_data.candles",
        TAPEHOUSE_CANDLES__SESSION_TIMEOUT_S="1",
        TAPEHOUSE_CANDLES__DATA_DIR=str(world.folder / "candles"),
    ).start()
    yield port
    assert worker.stop() == 0
    assert server.stop() == 0


@pytest.fixture
async def exchange(port: int) -> AsyncIterator[Any]:
    base, streams = f"http://127.0.0.1:{port}/api/v3", f"ws://127.0.0.1:{port}"
    client = ccxt.pro.binance(
        {
            "urls": {"api": {"public": base, "private": base, "ws": {"spot": f"{streams}/ws"}}},
            "options": {"defaultType": "spot", "crossMarginPairsData": [], "isolatedMarginPairsData": []},
        }
    )
    rows = [symbol_info(instrument, "TRADING") for instrument in load_instruments().symbols.values()]
    client.set_markets(client.parse_markets(rows))
    try:
        yield client
    finally:
        await client.close()


async def while_trading(
    world: World,
    market: Market,
    watching: Coroutine[Any, Any, Any],
    action: Callable[[Market], object] = lambda m: m.take(Side.BUY, 5),
) -> Any:
    """Let the market act again and again until what is watched has come."""
    task = asyncio.ensure_future(watching)
    deadline = time.monotonic() + DEADLINE_S
    while not task.done():
        assert time.monotonic() < deadline
        market.now_ms = time.time_ns() // 1_000_000
        await asyncio.to_thread(world.run_market, market, action)
        await asyncio.wait({task}, timeout=0.1)
    return await task


async def test_watch_order_book_follows_the_market(world: World, market: Market, exchange: Any) -> None:
    def act(m: Market) -> None:
        m.rest(Side.BUY, 2_999_999, 7)
        m.take(Side.BUY, 1)

    for _ in range(5):  # ccxt raises ChecksumError on any gap
        await while_trading(world, market, exchange.watch_order_book("BTC/USDT"), act)
    book = exchange.orderbooks["BTC/USDT"]
    await asyncio.to_thread(until, lambda: book["nonce"] == market.update_id)
    assert [(round(p * 100), round(q * 1e6)) for p, q in book["bids"]] == sorted(
        market.bids.items(), reverse=True
    )
    assert [(round(p * 100), round(q * 1e6)) for p, q in book["asks"]] == sorted(market.asks.items())


async def test_watch_trades_gives_every_trade(world: World, market: Market, exchange: Any) -> None:
    await while_trading(world, market, exchange.watch_trades("BTC/USDT"))
    await asyncio.to_thread(world.run_market, market, lambda m: m.take(Side.SELL, 3))
    cache = exchange.trades["BTC/USDT"]  # what ccxt has received, whether or not somebody waited for it
    await asyncio.to_thread(until, lambda: cache[-1]["id"] == str(market.trade_id))
    assert cache[-1]["side"] == "sell"
    assert [int(trade["id"]) for trade in cache] == list(range(int(cache[0]["id"]), market.trade_id + 1))
    fetched = await exchange.fetch_trades("BTC/USDT", limit=3)
    assert fetched[-1]["info"]["l"] == market.trade_id


async def test_watch_tickers_and_ticker(world: World, market: Market, exchange: Any) -> None:
    tickers = await while_trading(world, market, exchange.watch_tickers())
    assert tickers["BTC/USDT"]["last"] > 0
    ticker = await while_trading(world, market, exchange.watch_ticker("BTC/USDT"))
    assert ticker["symbol"] == "BTC/USDT"
    bids_asks = await while_trading(
        world, market, exchange.watch_bids_asks(["BTC/USDT"]), lambda m: m.rest(Side.BUY, 2_999_999, 1)
    )
    assert bids_asks["BTC/USDT"]["bid"] == 29999.99
    assert (await exchange.fetch_ticker("BTC/USDT"))["symbol"] == "BTC/USDT"


async def test_watch_candles(world: World, market: Market, exchange: Any) -> None:
    rows = await while_trading(world, market, exchange.watch_ohlcv("BTC/USDT", "1m"))
    assert rows[-1][0] % 60_000 == 0
    fetched = await exchange.fetch_ohlcv("BTC/USDT", "1m", limit=2)
    assert fetched[-1][5] > 0


async def test_every_candle_has_exactly_one_closing_event(world: World, market: Market, port: int) -> None:
    """Also the flat ones: trades come in every third second only."""
    closed: list[dict[str, Any]] = []
    async with websockets.connect(f"ws://127.0.0.1:{port}/ws/btcusdt@kline_1s") as socket:
        deadline = time.monotonic() + 60
        while len(closed) < 8:
            assert time.monotonic() < deadline
            now_ms = time.time_ns() // 1_000_000
            if now_ms // 1000 % 3 == 0:
                market.now_ms = now_ms
                await asyncio.to_thread(world.run_market, market, lambda m: m.trade(3_000_000, 2))
            try:
                event = json.loads(await asyncio.wait_for(socket.recv(), 0.2))
            except TimeoutError:
                continue
            if event["k"]["x"]:
                closed.append(event["k"])
    opens = [kline["t"] for kline in closed]
    assert opens == list(range(opens[0], opens[0] + 8_000, 1_000))
    for kline in closed:
        inside = [
            trade for trade in market.trades if kline["t"] <= trade.occurred_at_ns // 1_000_000 <= kline["T"]
        ]
        assert kline["n"] == len(inside)
        assert kline["L"] == (inside[-1].trade_id if inside else -1)
    assert {kline["n"] > 0 for kline in closed} == {True, False}
