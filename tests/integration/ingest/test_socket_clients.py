"""Unmodified ccxt.pro and python-binance over the WebSocket API: orders, queries and user data."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import ccxt.pro
import pytest

from tests.integration.ingest.exchange import Exchange, Trader

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
SYMBOL = "BTC/USDT"
DEADLINE_S = 60.0


@asynccontextmanager
async def ccxt_pro(trader: Trader) -> AsyncIterator[Any]:
    """A client with changed addresses, as API.md section 2 says, and nothing else."""
    rest, streams = f"{trader.base}/api/v3", trader.base.replace("http", "ws", 1)
    api = {"public": rest, "private": rest, "v1": f"{trader.base}/api/v1"}
    sockets = {"spot": f"{streams}/ws", "ws-api": {"spot": f"{streams}/ws-api/v3"}}
    client = ccxt.pro.binance(
        {
            "apiKey": trader.api_key,
            "secret": trader.secret,
            "urls": {"api": {**api, "ws": sockets}},
            "enableRateLimit": False,
            "options": {
                "defaultType": "spot",
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
            },
        }
    )
    try:
        await client.load_markets()
        yield client
    finally:
        await client.close()


@pytest.fixture
async def pair(exchange: Exchange) -> AsyncIterator[tuple[Any, Any, Trader, Trader]]:
    traders = [exchange.trader(USDT="100000", BTC="5") for _ in range(2)]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(ccxt_pro(trader)) for trader in traders]
        yield clients[0], clients[1], traders[0], traders[1]


async def watched(watch: Callable[[], Awaitable[Any]], wanted: Callable[[Any], Any]) -> Any:
    """Watch until what is wanted has come; return it."""
    async with asyncio.timeout(DEADLINE_S):
        while not (found := wanted(await watch())):
            pass
    return found


async def test_ccxt_pro_trades_and_watches_orders_trades_and_balance(
    pair: tuple[Any, Any, Trader, Trader],
) -> None:
    alice, bob, alices, bobs = pair
    for client in (alice, bob):  # what each watch does first; here so that both hear of the trade
        await client.ensure_user_data_stream_ws_subscribe_signature()
    watching = asyncio.gather(
        watched(alice.watch_orders, lambda o: [x for x in o if x["status"] == "closed"]),
        watched(alice.watch_my_trades, lambda t: t),
        watched(bob.watch_balance, lambda b: b if b.get("BTC", {}).get("total") == 4.8 else None),
    )
    placed = await alice.create_order_ws(SYMBOL, "limit", "buy", 0.2, 30000)
    assert (placed["status"], placed["filled"], placed["remaining"]) == ("open", 0, 0.2)
    sold = await bob.create_order_ws(SYMBOL, "limit", "sell", 0.2, 30000)
    assert (sold["status"], sold["filled"], sold["average"]) == ("closed", 0.2, 30000)
    (order,), (trade,), balance = await watching
    assert (order["id"], order["filled"], order["cost"]) == (placed["id"], 0.2, 6000)
    assert (trade["order"], trade["amount"], trade["price"], trade["takerOrMaker"]) == (
        placed["id"],
        0.2,
        30000,
        "maker",
    )
    assert trade["fee"] == {"cost": 0.0002, "currency": "BTC"}
    assert balance["USDT"]["total"] == 105994
    assert alices.balances()["BTC"] == ("5.19980000", "0.00000000")
    assert bobs.balances()["USDT"] == ("105994.00000000", "0.00000000")


async def test_ccxt_pro_asks_over_the_socket_what_rest_answers(
    pair: tuple[Any, Any, Trader, Trader],
) -> None:
    alice, bob, _, _ = pair
    order = await alice.create_order_ws(SYMBOL, "limit", "sell", 0.5, 39000)
    assert (await alice.fetch_order_ws(order["id"], SYMBOL))["status"] == "open"
    assert [o["id"] for o in await alice.fetch_open_orders_ws(SYMBOL)] == [order["id"]]
    assert [o["id"] for o in await alice.fetch_orders_ws(SYMBOL)] == [order["id"]]
    await bob.create_order_ws(SYMBOL, "limit", "buy", 0.1, 39000)
    (trade,) = await alice.fetch_my_trades_ws(SYMBOL)
    assert (trade["order"], trade["amount"], trade["fee"]["cost"]) == (order["id"], 0.1, 3.9)
    trades = await watched(
        lambda: alice.fetch_trades_ws(SYMBOL),
        lambda told: [t for t in told if t["id"] == trade["id"]],  # public trades follow a moment later
    )
    assert [(t["price"], t["amount"]) for t in trades] == [(39000, 0.1)]
    assert isinstance(await alice.fetch_ohlcv_ws(SYMBOL, "1m"), list)
    balances = (await alice.fetch_balance_ws())["info"]["balances"]
    assert {"asset": "BTC", "free": "4.50000000", "locked": "0.40000000"} in balances
    canceled = await alice.cancel_order_ws(order["id"], SYMBOL)
    assert (canceled["id"], canceled["status"]) == (order["id"], "canceled")
    with pytest.raises(ccxt.OrderNotFound):
        await alice.cancel_order_ws(order["id"], SYMBOL)
    await alice.create_order_ws(SYMBOL, "limit", "sell", 0.5, 39000)
    assert len(await alice.cancel_all_orders_ws(SYMBOL)) == 1
    with pytest.raises(ccxt.InsufficientFunds):
        await alice.create_order_ws(SYMBOL, "limit", "sell", 50, 39000)
    closed = await bob.fetch_closed_orders_ws(SYMBOL)
    assert [o["status"] for o in closed] == ["closed"]


@asynccontextmanager
async def python_binance(trader: Trader) -> AsyncIterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from binance import AsyncClient  # type: ignore[import-untyped]

    streams = trader.base.replace("http", "ws", 1)
    addresses = {"API_URL": f"{trader.base}/api", "WS_API_URL": f"{streams}/ws-api/v3"}
    client = await type("Client", (AsyncClient,), addresses).create(trader.api_key, trader.secret)  # type: ignore[attr-defined]
    try:
        yield client
    finally:
        closing = asyncio.create_task(client.close_connection())
        await asyncio.sleep(0)
        await client.ws_api.ws.send(
            '{"method":"ping"}'
        )  # it looks whether to end after each message, or 10 s
        await closing


async def test_python_binance_trades_and_listens(exchange: Exchange) -> None:
    alice, bob = (exchange.trader(USDT="100000", BTC="5") for _ in range(2))
    async with python_binance(alice) as client:
        from binance import BinanceSocketManager

        manager = BinanceSocketManager(client)
        manager.STREAM_URL = alice.base.replace("http", "ws", 1) + "/"
        async with asyncio.timeout(DEADLINE_S), manager.user_socket() as socket:
            placed = await client.ws_order_limit_buy(symbol="BTCUSDT", quantity="0.2", price="30000")
            assert placed["status"] == "NEW"
            told = [await socket.recv() for _ in range(2)]
            assert [event["e"] for event in told] == ["executionReport", "outboundAccountPosition"]
            assert (told[0]["x"], told[0]["i"], told[0]["c"]) == (
                "NEW",
                placed["orderId"],
                placed["clientOrderId"],
            )
            assert bob.limit("SELL", "0.2", "30000").json()["status"] == "FILLED"
            told = [await socket.recv() for _ in range(2)]
            assert [event["e"] for event in told] == ["executionReport", "outboundAccountPosition"]
            assert (told[0]["x"], told[0]["X"], told[0]["n"]) == ("TRADE", "FILLED", "0.00020000")
            assert {row["a"]: (row["f"], row["l"]) for row in told[1]["B"]} == {
                "BTC": ("5.19980000", "0.00000000"),
                "USDT": ("94000.00000000", "0.00000000"),
            }


async def test_python_binance_asks_over_the_socket(exchange: Exchange) -> None:
    trader = exchange.trader(USDT="100000", BTC="5")
    async with python_binance(trader) as client:
        assert (await client.ws_get_time())["serverTime"] > 0
        assert await client.ws_ping() == {}
        assert (await client.ws_get_exchange_info(symbol="BTCUSDT"))["symbols"][0]["symbol"] == "BTCUSDT"
        for ask in (
            client.ws_get_order_book,
            client.ws_get_recent_trades,
            client.ws_get_historical_trades,
            client.ws_get_aggregate_trades,
            client.ws_get_avg_price,
            client.ws_get_ticker,
            client.ws_get_symbol_ticker,
            client.ws_get_orderbook_ticker,
        ):
            assert await ask(symbol="BTCUSDT") is not None
        for ask in (client.ws_get_klines, client.ws_get_uiKlines):
            assert isinstance(await ask(symbol="BTCUSDT", interval="1m"), list)
        terms = {"symbol": "BTCUSDT", "quantity": "0.01", "price": "40000"}
        assert await client.ws_create_test_order(**terms, side="SELL", type="LIMIT", timeInForce="GTC") == {}
        order = await client.ws_order_limit_sell(**terms)
        assert (await client.ws_get_order(symbol="BTCUSDT", orderId=order["orderId"]))["status"] == "NEW"
        assert [o["orderId"] for o in await client.ws_get_open_orders(symbol="BTCUSDT")] == [order["orderId"]]
        assert [o["orderId"] for o in await client.ws_get_all_orders(symbol="BTCUSDT")] == [order["orderId"]]
        assert (await client.ws_get_account())["uid"] == trader.account_id
        assert await client.ws_get_my_trades(symbol="BTCUSDT") == []
        canceled = await client.ws_cancel_order(symbol="BTCUSDT", orderId=order["orderId"])
        assert canceled["status"] == "CANCELED"
        await client.ws_order_limit_sell(**terms)
        assert len(await client.ws_cancel_all_open_orders(symbol="BTCUSDT")) == 1
        bought = await client.ws_create_order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.001")
        assert bought["status"] in ("EXPIRED", "FILLED", "PARTIALLY_FILLED")
