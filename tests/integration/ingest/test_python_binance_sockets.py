"""Unmodified python-binance over the WebSocket API: every method of it, asked by two accounts that trade."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.integration.ingest.exchange import Exchange
from tests.integration.ingest.test_python_binance import ABOVE, BELOW, PENDING, PENDING_PAIR, WORKING
from tests.integration.ingest.test_socket_clients import python_binance

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # python-binance uses websockets' old client
]
SYMBOL = "BTCUSDT"
TERMS = {"symbol": SYMBOL, "quantity": "0.1"}
LISTS = {
    "orderList.place": {"side": "SELL", "quantity": "0.1", "price": "35000", "stopPrice": "25000"},
    "orderList.place.opo": {**WORKING, **PENDING},
    "orderList.place.opoco": {**WORKING, **PENDING_PAIR},
}


@pytest.fixture
async def pair(exchange: Exchange) -> AsyncIterator[tuple[Any, Any]]:
    """Two accounts that have traded 0.1 BTC at 30000: the first sold."""
    async with AsyncExitStack() as stack:
        alice, bob = [
            await stack.enter_async_context(python_binance(exchange.trader(USDT="100000", BTC="5")))
            for _ in range(2)
        ]
        assert (await alice.ws_order_limit_sell(**TERMS, price="30000"))["status"] == "NEW"
        bought = await bob.ws_order_limit_buy(**TERMS, price="30000")
        assert (bought["status"], bought["fills"][0]["commission"]) == ("FILLED", "0.00010000")
        yield alice, bob


async def balances(client: Any) -> dict[str, tuple[str, str]]:
    rows = (await client.ws_get_account(omitZeroBalances="true"))["balances"]
    return {row["asset"]: (row["free"], row["locked"]) for row in rows}


async def shown(ask: Any, **parameters: Any) -> Any:
    """Ask until the trade is seen: public trades follow a moment later."""
    async with asyncio.timeout(30):
        while not (found := await ask(**parameters)):
            pass
    return found


async def test_the_account(pair: tuple[Any, Any]) -> None:
    alice, bob = pair
    assert await balances(alice) == {
        "BTC": ("4.90000000", "0.00000000"),
        "USDT": ("102997.00000000", "0.00000000"),
    }
    assert await balances(bob) == {
        "BTC": ("5.09990000", "0.00000000"),
        "USDT": ("97000.00000000", "0.00000000"),
    }
    (sold,) = await alice.ws_get_all_orders(symbol=SYMBOL)
    assert (sold["status"], sold["executedQty"]) == ("FILLED", "0.10000000")
    (mine,) = await alice.ws_get_my_trades(symbol=SYMBOL)
    assert (mine["orderId"], mine["commission"], mine["isMaker"]) == (sold["orderId"], "3.00000000", True)
    counts = await alice.ws_get_account_rate_limits_orders()
    assert [row["interval"] for row in counts] == ["SECOND", "DAY"]
    assert (await alice.ws_get_commission_rates(symbol=SYMBOL))["standardCommission"]["maker"] == "0.00100000"
    assert await alice.ws_get_allocations(symbol=SYMBOL) == []
    filters = await alice._ws_api_request("myFilters", True, {"symbol": SYMBOL})
    assert {"exchangeFilters", "symbolFilters", "assetFilters"} == filters.keys()
    await alice.ws_order_limit_sell(**TERMS, price="30000")
    own = await alice.ws_order_limit_buy(**TERMS, price="30000", selfTradePreventionMode="EXPIRE_TAKER")
    assert own["status"] == "EXPIRED_IN_MATCH"
    (prevented,) = await alice.ws_get_prevented_matches(symbol=SYMBOL, orderId=own["orderId"])
    assert prevented["takerOrderId"] == own["orderId"]


async def test_orders(pair: tuple[Any, Any]) -> None:
    alice, bob = pair
    await bob.ws_order_limit_sell(**TERMS, price="31000")
    bought = await alice.ws_order_market_buy(symbol=SYMBOL, quoteOrderQty="1550")
    assert (bought["status"], bought["executedQty"]) == ("FILLED", "0.05000000")
    order = await alice.ws_order_limit(side="BUY", **TERMS, price="20000")
    replaced = await alice.ws_cancel_and_replace_order(
        **{**TERMS, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "price": "21000"},
        **{"cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": order["orderId"]},
    )
    assert (replaced["cancelResult"], replaced["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    newer = {"symbol": SYMBOL, "orderId": replaced["newOrderResponse"]["orderId"]}
    amended = await alice._ws_api_request("order.amend.keepPriority", True, {**newer, "newQty": "0.05"})
    assert amended["amendedOrder"]["qty"] == "0.05000000"
    (told,) = await alice._ws_api_request("order.amendments", True, {**newer})
    assert (told["origQty"], told["newQty"]) == ("0.10000000", "0.05000000")
    assert (await alice.ws_get_order(**newer))["origQty"] == "0.05000000"
    sold = await bob.ws_order_market_sell(symbol=SYMBOL, quantity="0.05")
    assert (sold["status"], sold["cummulativeQuoteQty"]) == ("FILLED", "1050.00000000")
    assert await balances(alice) == {
        "BTC": ("4.99990000", "0.00000000"),
        "USDT": ("100397.00000000", "0.00000000"),
    }
    assert await balances(bob) == {
        "BTC": ("4.94990000", "0.05000000"),
        "USDT": ("99597.40000000", "0.00000000"),
    }


async def test_order_lists(pair: tuple[Any, Any]) -> None:
    alice, _ = pair
    before, numbers = await balances(alice), []
    oco = {"side": "SELL", "quantity": "0.1", **ABOVE, **BELOW}
    for place in (
        lambda: alice.ws_create_oco_order(symbol=SYMBOL, **oco),
        lambda: alice.ws_create_oto_order(symbol=SYMBOL, **WORKING, **PENDING, pendingQuantity="0.1"),
        lambda: alice.ws_create_otoco_order(symbol=SYMBOL, **WORKING, **PENDING_PAIR, pendingQuantity="0.1"),
        *(
            lambda method=method, terms=terms: alice._ws_api_request(
                method, True, {"symbol": SYMBOL, **terms}
            )
            for method, terms in LISTS.items()
        ),
    ):
        placed = await place()
        assert (placed["symbol"], placed["listOrderStatus"]) == (SYMBOL, "EXECUTING")
        number = {"orderListId": placed["orderListId"]}
        (row,) = await alice.ws_get_oco_open_orders()
        assert row["orders"] == placed["orders"]
        assert await alice.ws_get_oco_order(**number) == row
        ended = await alice.ws_cancel_oco_order(symbol=SYMBOL, **number)
        assert ended["listOrderStatus"] == "ALL_DONE"
        numbers.append(placed["orderListId"])
    assert await balances(alice) == before
    every = await alice._ws_api_request("allOrderLists", True, {})
    assert [row["orderListId"] for row in every] == numbers


async def test_the_market(pair: tuple[Any, Any]) -> None:
    alice, bob = pair
    await bob.ws_order_limit_buy(**TERMS, price="29000")
    (trade,) = await alice.ws_get_my_trades(symbol=SYMBOL)
    since = {"symbol": SYMBOL, "fromId": trade["id"]}
    (told,) = await shown(alice.ws_get_historical_trades, **since)
    assert (told["id"], told["price"], told["qty"]) == (trade["id"], "30000.00000000", "0.10000000")
    assert (await alice.ws_get_recent_trades(symbol=SYMBOL, limit=1)) == [told]
    rows = await alice.ws_get_aggregate_trades(symbol=SYMBOL, limit=1)
    assert [(row["p"], row["q"], row["l"]) for row in rows] == [("30000.00000000", "0.10000000", trade["id"])]
    book = await alice.ws_get_order_book(symbol=SYMBOL)
    assert book["bids"] == [["29000.00000000", "0.10000000"]]
    best = await alice.ws_get_orderbook_ticker(symbol=SYMBOL)
    assert (best["bidPrice"], best["bidQty"]) == ("29000.00000000", "0.10000000")
    assert (await alice.ws_get_symbol_ticker(symbol=SYMBOL))["price"] == "30000.00000000"


async def test_the_session(pair: tuple[Any, Any]) -> None:
    alice, _ = pair
    assert await alice.ws_ping() == {}
    assert (await alice.ws_get_time())["serverTime"] > 0
    assert (await alice.ws_get_exchange_info(symbol=SYMBOL))["symbols"][0]["baseAsset"] == "BTC"
    on = await alice._ws_api_request("session.logon", True, {})
    assert on["apiKey"] == alice.API_KEY
    assert (await alice._ws_api_request("session.status", False, {}))["apiKey"] == alice.API_KEY
    told = await alice._ws_api_request("userDataStream.subscribe", False, {})
    (open_one,) = await alice._ws_api_request("session.subscriptions", False, {})
    assert open_one["subscriptionId"] == told["subscriptionId"]
    assert await alice._ws_api_request("userDataStream.unsubscribe", False, {}) == {}
    assert (await alice._ws_api_request("session.logout", False, {}))["apiKey"] is None
