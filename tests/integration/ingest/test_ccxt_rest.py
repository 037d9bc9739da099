"""Unmodified ccxt over REST, its sync and its async client: two accounts trade, every balance is exact."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from typing import Any

import ccxt
import ccxt.async_support
import pytest

from tests.integration.ingest.exchange import Exchange, Trader

SYMBOL = "BTC/USDT"


class Client:
    """Either client of ccxt; `ask` awaits what is to be awaited."""

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange

    async def ask(self, method: str, *given: Any, **named: Any) -> Any:
        told = getattr(self.exchange, method)(*given, **named)
        return await told if inspect.isawaitable(told) else told

    async def order(self, side: str, amount: float, price: float, **more: Any) -> Any:
        return await self.ask("create_order", SYMBOL, "limit", side, amount, price, more)

    async def until(self, check: Callable[[Any], bool], method: str, *given: Any) -> Any:
        """Ask until the answer is as expected: market data follow the answer of a trade."""
        deadline = time.monotonic() + 30
        while not check(told := await self.ask(method, *given)):
            assert time.monotonic() < deadline, told
            await asyncio.sleep(0.02)
        return told

    async def total(self) -> dict[str, Decimal]:
        told = await self.ask("fetch_balance")
        rows = told["info"]["balances"]
        return {row["asset"]: Decimal(row["free"]) + Decimal(row["locked"]) for row in rows}


@asynccontextmanager
async def client_of(trader: Trader, kind: str) -> AsyncIterator[Client]:
    rest = f"{trader.base}/api/v3"
    options = {
        **{"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False},
        **{"fetchMargins": False, "fetchOpenOrders": {"warnWithoutSymbol": False}},
    }
    maker = ccxt.binance if kind == "sync" else ccxt.async_support.binance
    exchange = maker(
        {
            "apiKey": trader.api_key,
            "secret": trader.secret,
            "urls": {"api": {"public": rest, "private": rest, "v1": rest}},
            "enableRateLimit": False,
            "options": options,
        }
    )
    try:
        yield Client(exchange)
    finally:
        if kind == "async":
            await exchange.close()


@pytest.fixture(params=["sync", "async"])
async def pair(exchange: Exchange, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Client, Client]]:
    async with AsyncExitStack() as stack:
        alice, bob = [
            await stack.enter_async_context(client_of(exchange.trader(**funds), request.param))
            for funds in ({"USDT": "100000", "BTC": "5"}, {"USDT": "100000", "BTC": "5"})
        ]
        yield alice, bob


async def test_the_unified_calls(pair: tuple[Client, Client]) -> None:
    alice, bob = pair
    market = (await alice.ask("load_markets"))[SYMBOL]
    assert (market["id"], market["spot"], market["active"]) == ("BTCUSDT", True, True)
    assert abs(await alice.ask("fetch_time") - time.time() * 1000) < 60_000
    resting = await alice.order("buy", 0.3, 30000)
    assert (resting["status"], resting["remaining"]) == ("open", 0.3)
    for name in ("fetch_order_book", "fetch_l2_order_book"):
        await bob.until(lambda told: told["bids"] == [[30000, 0.3]], name, SYMBOL)
    book = await bob.ask("fetch_bids_asks", [SYMBOL])
    assert (book[SYMBOL]["bid"], book[SYMBOL]["bidVolume"]) == (30000, 0.3)
    sold = await bob.order("sell", 0.1, 29000)
    assert (sold["status"], sold["average"], sold["fee"]) == (
        "closed",
        30000,
        {"currency": "USDT", "cost": 3.0},
    )
    assert (await alice.ask("fetch_order", resting["id"], SYMBOL))["filled"] == 0.1
    assert [row["id"] for row in await alice.ask("fetch_open_orders")] == [resting["id"]]
    assert [row["id"] for row in await bob.ask("fetch_closed_orders", SYMBOL)] == [sold["id"]]
    (bought,) = await alice.ask("fetch_my_trades", SYMBOL)
    assert (bought["order"], bought["takerOrMaker"], bought["cost"]) == (resting["id"], "maker", 3000)
    (order_trade,) = await alice.ask("fetch_order_trades", resting["id"], SYMBOL)
    assert order_trade["id"] == bought["id"]
    canceled = await alice.ask("cancel_order", resting["id"], SYMBOL)
    assert (canceled["status"], canceled["remaining"]) == ("canceled", 0.2)
    assert [row["status"] for row in await alice.ask("fetch_orders", SYMBOL)] == ["canceled"]
    assert [row["id"] for row in await alice.ask("fetch_canceled_orders", SYMBOL)] == [resting["id"]]
    await bob.until(lambda last: last[SYMBOL]["price"] == 30000, "fetch_last_prices", [SYMBOL])
    assert {k: v for k, v in (await alice.total()).items() if k in ("BTC", "USDT")} == {
        "BTC": Decimal("5.0999"),
        "USDT": Decimal("97000"),
    }
    assert {k: v for k, v in (await bob.total()).items() if k in ("BTC", "USDT")} == {
        "BTC": Decimal("4.9"),
        "USDT": Decimal("102997"),
    }


async def test_edits_stops_and_cancel_all(pair: tuple[Client, Client]) -> None:
    alice, bob = pair
    await bob.order("sell", 0.1, 30000)
    await alice.order("buy", 0.1, 30000)
    first = await alice.order("buy", 0.1, 20000)
    edited = await alice.ask("edit_order", first["id"], SYMBOL, "limit", "buy", 0.2, 21000)
    assert (edited["status"], edited["price"], edited["amount"]) == ("open", 21000, 0.2)
    stop = await alice.ask("create_order", SYMBOL, "limit", "sell", 0.1, 24000, {"stopLossPrice": 25000})
    assert {row["id"] for row in await alice.ask("fetch_open_orders", SYMBOL)} == {edited["id"], stop["id"]}
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        await alice.ask("create_order", SYMBOL, "limit", "sell", 0.1, 30000, {"stopLossPrice": 31000})
    assert len(await alice.ask("cancel_all_orders", SYMBOL)) == 2
    with pytest.raises(ccxt.OrderNotFound):
        await alice.ask("cancel_order", first["id"], SYMBOL)
    with pytest.raises(ccxt.InsufficientFunds):
        await alice.order("buy", 5, 30000)


async def test_the_raw_calls_of_every_other_route(pair: tuple[Client, Client]) -> None:
    alice, bob = pair
    symbol = {"symbol": "BTCUSDT"}
    await bob.order("sell", 0.1, 30000)
    taken = await alice.order("buy", 0.1, 30000)
    assert await alice.ask("public_get_ping") == {}
    assert (await alice.ask("public_get_exchangeinfo", symbol))["symbols"][0]["symbol"] == "BTCUSDT"
    await alice.until(lambda told: told["price"] == "30000.00000000", "public_get_ticker_price", symbol)
    assert (await alice.ask("public_get_avgprice", symbol))["mins"] in (5, "5")
    terms = {
        **symbol,
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.1",
        "price": "20000",
    }
    assert await alice.ask("private_post_order_test", terms) == {}
    row = await alice.ask("private_get_order", {**symbol, "orderId": taken["id"]})
    assert (row["status"], row["executedQty"]) == ("FILLED", "0.10000000")
    counts = await alice.ask("private_get_ratelimit_order")
    assert [one["interval"] for one in counts] == ["SECOND", "DAY"]
    placed = await alice.ask(
        "private_post_orderlist_oco",
        {
            **symbol,
            **{"side": "SELL", "quantity": "0.1", "aboveType": "LIMIT_MAKER", "abovePrice": "35000"},
            **{"belowType": "STOP_LOSS", "belowStopPrice": "25000"},
        },
    )
    number = {"orderListId": placed["orderListId"]}
    (told,) = await alice.ask("private_get_openorderlist")
    assert told["orderListId"] == placed["orderListId"]
    assert await alice.ask("private_get_orderlist", number) == told
    ended = await alice.ask("private_delete_orderlist", {**symbol, **number})
    assert ended["listOrderStatus"] == "ALL_DONE"
    (every,) = await alice.ask("private_get_allorderlist")
    assert every["orderListId"] == placed["orderListId"]
    fees = await alice.ask("private_get_account_commission", symbol)
    assert fees["standardCommission"]["taker"] == "0.00100000"
    assert await alice.ask("private_get_myallocations", symbol) == []
    with pytest.raises(ccxt.BadRequest, match="-1120"):
        await alice.ask("public_get_klines", {**symbol, "interval": "2w"})
