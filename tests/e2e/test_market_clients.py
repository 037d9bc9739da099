"""What clients are told of the market, by an exchange with everything running: candles and tickers too.

On ETHUSDT, with unmodified ccxt.pro and python-binance: REST, socket manager, threaded managers. The
threaded ones leave their event loops open when they end, so they have a process of their own.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ccxt.pro
import pytest

from tests.e2e.conftest import RunningExchange
from tests.e2e.test_ccxt import client as ccxt_client
from tests.waiting import until

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore"),  # python-binance uses websockets' old client
]
PAIR, SYMBOL, STREAM = "ETH/USDT", "ETHUSDT", "ethusdt"
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def makers(running_exchange: RunningExchange) -> tuple[Any, Any]:
    return tuple(  # type: ignore[return-value]
        ccxt_client(running_exchange, running_exchange.account(USDT="100000", ETH="100")) for _ in range(2)
    )


@pytest.fixture(autouse=True)
def traded(makers: tuple[Any, Any]) -> Iterator[int]:
    """One bid and one ask, and a last trade at 2000, whose id this is."""
    maker, taker = makers
    maker.create_order(PAIR, "limit", "buy", 3, 1990)
    maker.create_order(PAIR, "limit", "sell", 3, 2000)
    order = taker.create_order(PAIR, "limit", "buy", 0.5, 2000)
    yield int(order["info"]["fills"][-1]["tradeId"])
    for trader in makers:
        for order in trader.fetch_open_orders(PAIR):
            trader.cancel_order(order["id"], PAIR)


@contextmanager
def addresses(exchange: RunningExchange) -> Iterator[Any]:
    """python-binance with the addresses of its classes set, as its threaded managers need it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import binance  # type: ignore[import-untyped]

    told = [
        (binance.Client, "API_URL", f"{exchange.live.api_url}/api"),
        (binance.AsyncClient, "API_URL", f"{exchange.live.api_url}/api"),
        (binance.AsyncClient, "WS_API_URL", f"{exchange.live.stream_url}/ws-api/v3"),
        (binance.BinanceSocketManager, "STREAM_URL", f"{exchange.live.stream_url}/"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for place, name, value in told:
            patch.setattr(place, name, value, raising=False)
        yield binance


async def test_rest_by_python_binance(running_exchange: RunningExchange, traded: int) -> None:
    with addresses(running_exchange) as binance:
        client = binance.Client()  # within a loop: else it makes one and leaves it open
        await asyncio.to_thread(ask_for_everything, client, traded)


def ask_for_everything(client: Any, traded: int) -> None:
    def newest() -> Any:
        (trade,) = client.get_recent_trades(symbol=SYMBOL, limit=1)
        return trade if trade["id"] == traded else None

    trade = until(newest)
    assert (trade["price"], trade["qty"], trade["isBuyerMaker"]) == ("2000.00000000", "0.50000000", False)
    assert client.get_historical_trades(symbol=SYMBOL, fromId=trade["id"]) == [trade]
    (row,) = client.get_aggregate_trades(symbol=SYMBOL, limit=1)
    assert (row["p"], row["q"], row["f"], row["l"]) == (
        trade["price"],
        trade["qty"],
        trade["id"],
        trade["id"],
    )
    depth = client.get_order_book(symbol=SYMBOL)
    assert depth["bids"] == [["1990.00000000", "3.00000000"]]
    assert depth["asks"] == [["2000.00000000", "2.50000000"]]
    best = client.get_orderbook_ticker(symbol=SYMBOL)
    assert (best["bidPrice"], best["askQty"]) == ("1990.00000000", "2.50000000")
    assert SYMBOL in [one["symbol"] for one in client.get_orderbook_tickers()]
    assert {"symbol": SYMBOL, "price": "2000.00000000"} in client.get_all_tickers()
    assert client.get_symbol_ticker(symbol=SYMBOL)["price"] == "2000.00000000"
    until(lambda: client.get_ticker(symbol=SYMBOL)["lastId"] == trade["id"])
    day = client.get_ticker(symbol=SYMBOL)
    assert (day["lastPrice"], day["bidPrice"], day["count"] >= 1) == ("2000.00000000", "1990.00000000", True)
    window = until(lambda: client.get_symbol_ticker_window(symbol=SYMBOL, windowSize="1h"))
    assert window["lastPrice"] == "2000.00000000"
    today = client._get("ticker/tradingDay", data={"symbol": SYMBOL})
    assert today["lastPrice"] == "2000.00000000"
    for ask in (client.get_klines, client.get_ui_klines):
        candle = until(lambda ask=ask: ask(symbol=SYMBOL, interval="1d", limit=1))[0]
        assert (candle[4], len(candle)) == ("2000.00000000", 12)
    history = client.get_historical_klines(SYMBOL, "1d", "1 day ago UTC")
    assert history[-1][4] == "2000.00000000"
    assert client.get_avg_price(symbol=SYMBOL)["mins"] == 5


STREAMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "trade": (lambda m: m.trade_socket(SYMBOL), lambda e: (e["e"], e["p"]) == ("trade", "2000.00000000")),
    "aggTrade": (lambda m: m.aggtrade_socket(SYMBOL), lambda e: (e["e"], e["s"]) == ("aggTrade", SYMBOL)),
    "bookTicker": (lambda m: m.symbol_book_ticker_socket(SYMBOL), lambda e: e["b"] == "1990.00000000"),
    "depth": (lambda m: m.depth_socket(SYMBOL), lambda e: e["e"] == "depthUpdate" and e["U"] <= e["u"]),
    "depth5": (lambda m: m.depth_socket(SYMBOL, depth="5"), lambda e: e["bids"][0][0] == "1990.00000000"),
    "kline": (lambda m: m.kline_socket(SYMBOL, "1m"), lambda e: e["k"]["c"] == "2000.00000000"),
    "ticker": (lambda m: m.symbol_ticker_socket(SYMBOL), lambda e: e["c"] == "2000.00000000"),
    "miniTicker": (lambda m: m.symbol_miniticker_socket(SYMBOL), lambda e: e["e"] == "24hrMiniTicker"),
    "!ticker@arr": (lambda m: m.ticker_socket(), lambda e: SYMBOL in [row["s"] for row in e]),
    "!miniTicker@arr": (lambda m: m.miniticker_socket(), lambda e: SYMBOL in [row["s"] for row in e]),
    "avgPrice, combined": (
        lambda m: m.multiplex_socket([f"{STREAM}@avgPrice"]),
        lambda e: (e["stream"], e["data"]["i"]) == (f"{STREAM}@avgPrice", "5m"),
    ),
}


async def trading(makers: tuple[Any, Any], heard: asyncio.Future[Any]) -> None:
    """Trade a little, again and again, until all has been heard."""
    maker, taker = makers
    while not heard.done():
        await asyncio.to_thread(maker.create_order, PAIR, "limit", "sell", 0.01, 2000)
        await asyncio.to_thread(taker.create_order, PAIR, "limit", "buy", 0.01, 2000)
        await asyncio.wait({heard}, timeout=0.2)


async def test_streams_by_the_socket_manager(
    running_exchange: RunningExchange, makers: tuple[Any, Any]
) -> None:
    async def hear(socket: Any, wanted: Callable[[Any], Any]) -> Any:
        async with socket as stream:
            while not wanted(event := await stream.recv()):
                pass
            return event

    with addresses(running_exchange) as binance:
        client = await binance.AsyncClient.create()
        manager = binance.BinanceSocketManager(client)
        async with asyncio.timeout(DEADLINE_S):
            every = asyncio.gather(*(hear(make(manager), wanted) for make, wanted in STREAMS.values()))
            await trading(makers, every)
            assert len(await every) == len(STREAMS)
        await client.session.close()


async def test_watches_of_ccxt_pro(running_exchange: RunningExchange, makers: tuple[Any, Any]) -> None:
    rest, socket = f"{running_exchange.live.api_url}/api/v3", f"{running_exchange.live.stream_url}/ws"
    urls = {"api": {"public": rest, "private": rest, "v1": rest, "ws": {"spot": socket}}}
    options = {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}
    exchange = ccxt.pro.binance({"urls": urls, "options": options, "enableRateLimit": False})

    async def watched(watch: Callable[[], Awaitable[Any]], wanted: Callable[[Any], Any]) -> Any:
        while not wanted(found := await watch()):
            pass
        return found

    try:
        await exchange.load_markets()
        async with asyncio.timeout(DEADLINE_S):
            every = asyncio.gather(
                watched(lambda: exchange.watch_order_book(PAIR), lambda b: b["bids"][0] == [1990, 3]),
                watched(lambda: exchange.watch_trades(PAIR), lambda t: t[-1]["price"] == 2000),
                watched(lambda: exchange.watch_ticker(PAIR), lambda t: t["last"] == 2000),
                watched(exchange.watch_tickers, lambda t: PAIR in t),
                watched(lambda: exchange.watch_bids_asks([PAIR]), lambda t: t[PAIR]["bid"] == 1990),
                watched(lambda: exchange.watch_ohlcv(PAIR, "1m"), lambda rows: rows[-1][4] == 2000),
            )
            await trading(makers, every)
            await every
        for tickers in (await exchange.fetch_tickers(), await exchange.fetch_tickers([PAIR])):
            assert tickers[PAIR]["last"] == 2000
    finally:
        await exchange.close()


THREADED = """
import json, os, sys
import binance
api, stream, manager, start, told, symbol = sys.argv[1:]
binance.Client.API_URL = binance.AsyncClient.API_URL = f"{api}/api"
binance.AsyncClient.WS_API_URL = f"{stream}/ws-api/v3"
binance.BinanceSocketManager.STREAM_URL = f"{stream}/"
running = getattr(binance, manager)()
running.start()
tell = {"bids": lambda cache: cache.get_bids(), "event": lambda event: event}[told]
getattr(running, start)(lambda heard: print(json.dumps(tell(heard)), flush=True), symbol=symbol)
sys.stdin.read()
os._exit(0)
"""


@contextmanager
def threaded(
    exchange: RunningExchange, manager: str, start: str, told: str
) -> Iterator[Callable[[], list[Any]]]:
    """A threaded manager of python-binance in another process; call for all that it has heard so far."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-W", "ignore", "-c", THREADED),
            *(exchange.live.api_url, exchange.live.stream_url, manager, start, told, SYMBOL),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    heard: list[Any] = []

    def read() -> None:
        for line in process.stdout or ():
            heard.append(json.loads(line))  # noqa: PERF401 - as they come

    reader = threading.Thread(target=read)
    reader.start()

    def look() -> list[Any]:
        assert process.poll() is None
        return list(heard)

    try:
        yield look
    finally:
        process.stdin.close()
        process.wait(DEADLINE_S)
        reader.join()
        process.stdout.close()


def test_the_threaded_depth_cache(running_exchange: RunningExchange, makers: tuple[Any, Any]) -> None:
    """It takes a snapshot, follows the stream, and drops levels whose quantity text is zero."""
    maker, _ = makers
    with_lower, without = [[1990.0, 3.0], [1980.0, 1.0]], [[1990.0, 3.0]]
    with threaded(running_exchange, "ThreadedDepthCacheManager", "start_depth_cache", "bids") as heard:

        def dropped() -> bool:
            lower = maker.create_order(PAIR, "limit", "buy", 1, 1980)
            maker.cancel_order(lower["id"], PAIR)
            bids = heard()
            return with_lower in bids and without in bids[bids.index(with_lower) :]

        until(dropped)
        until(lambda: heard()[-1] == without)


def test_the_threaded_socket_manager(running_exchange: RunningExchange, makers: tuple[Any, Any]) -> None:
    maker, taker = makers
    with threaded(running_exchange, "ThreadedWebsocketManager", "start_trade_socket", "event") as heard:

        def hearing() -> list[Any]:
            maker.create_order(PAIR, "limit", "sell", 0.01, 2000)
            taker.create_order(PAIR, "limit", "buy", 0.01, 2000)
            return heard()

        event = until(hearing)[0]
    assert (event["e"], event["s"], event["p"]) == ("trade", SYMBOL, "2000.00000000")
