"""Unmodified python-binance over REST, its sync and its async client: two accounts trade by its own methods.

What it has no method for goes through its `_get`, `_post`, `_put` and `_delete`, as its users do.
"""

from __future__ import annotations

import inspect
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from tests.integration.ingest.exchange import Exchange, Trader

pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # its WebSocket client is websockets' old one
]
SYMBOL = "BTCUSDT"
TERMS = {"symbol": SYMBOL, "quantity": "0.1"}
Ask = Callable[..., Awaitable[Any]]


@asynccontextmanager
async def client_of(trader: Trader, kind: str) -> AsyncIterator[Ask]:
    """Call `ask(method, ...)` for what the client's method returns, sync or async."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import binance  # type: ignore[import-untyped]

    addresses = {"API_URL": f"{trader.base}/api", "MARGIN_API_URL": f"{trader.base}/sapi"}
    if kind == "sync":
        client = type("Client", (binance.Client,), addresses)(trader.api_key, trader.secret)
    else:
        client = await type("Client", (binance.AsyncClient,), addresses).create(  # type: ignore[attr-defined]
            trader.api_key, trader.secret
        )

    async def ask(method: str, *path: Any, **parameters: Any) -> Any:
        told = getattr(client, method)(*path, **parameters)
        return await told if inspect.isawaitable(told) else told

    try:
        yield ask
    finally:
        closed = client.close_connection()
        if inspect.isawaitable(closed):
            await closed


@pytest.fixture(params=["sync", "async"])
async def pair(exchange: Exchange, request: pytest.FixtureRequest) -> AsyncIterator[tuple[Ask, Ask]]:
    """Two accounts whose last trade was at 30000."""
    async with AsyncExitStack() as stack:
        alice, bob = [
            await stack.enter_async_context(client_of(exchange.trader(**funds), request.param))
            for funds in ({"USDT": "100000", "BTC": "5"}, {"USDT": "100000", "BTC": "5"})
        ]
        yield alice, bob


async def balances(ask: Ask) -> dict[str, tuple[str, str]]:
    rows = (await ask("get_account", omitZeroBalances="true"))["balances"]
    return {row["asset"]: (row["free"], row["locked"]) for row in rows}


async def refusal(asked: Awaitable[Any]) -> tuple[int, int, str]:
    """Return status, code and message of the client's own exception."""
    from binance.exceptions import BinanceAPIException  # type: ignore[import-untyped]

    with pytest.raises(BinanceAPIException) as refused:
        await asked
    return refused.value.status_code, refused.value.code, refused.value.message


async def test_orders_fills_and_balances(pair: tuple[Ask, Ask]) -> None:
    alice, bob = pair
    sold = await alice("order_limit_sell", **TERMS, price="30000")
    assert (sold["status"], sold["fills"]) == ("NEW", [])
    bought = await bob("order_limit_buy", **TERMS, price="30000")
    assert (bought["status"], bought["cummulativeQuoteQty"]) == ("FILLED", "3000.00000000")
    (fill,) = bought["fills"]
    assert fill == {
        "price": "30000.00000000",
        "qty": "0.10000000",
        "commission": "0.00010000",
        "commissionAsset": "BTC",
        "tradeId": fill["tradeId"],
    }
    assert await balances(alice) == {
        "BTC": ("4.90000000", "0.00000000"),
        "USDT": ("102997.00000000", "0.00000000"),
    }
    assert await balances(bob) == {
        "BTC": ("5.09990000", "0.00000000"),
        "USDT": ("97000.00000000", "0.00000000"),
    }
    asset = await alice("get_asset_balance", asset="USDT")
    assert (asset["free"], asset["locked"]) == ("102997.00000000", "0.00000000")
    row = await alice("get_order", symbol=SYMBOL, orderId=sold["orderId"])
    assert (row["status"], row["executedQty"], row["side"]) == ("FILLED", "0.10000000", "SELL")
    assert await alice("get_all_orders", symbol=SYMBOL) == [row]
    (mine,) = await alice("get_my_trades", symbol=SYMBOL)
    (theirs,) = await bob("get_my_trades", symbol=SYMBOL, orderId=bought["orderId"])
    assert (mine["isMaker"], mine["commission"], mine["commissionAsset"]) == (True, "3.00000000", "USDT")
    assert (mine["id"], theirs["id"], theirs["isMaker"]) == (fill["tradeId"], fill["tradeId"], False)
    counts = await bob("get_current_order_count")
    assert [(row["intervalNum"], row["interval"], row["count"] >= 0) for row in counts] == [
        (10, "SECOND", True),
        (1, "DAY", True),
    ]


async def test_market_orders_by_quantity_and_by_quote(pair: tuple[Ask, Ask]) -> None:
    alice, bob = pair
    await alice("create_order", **TERMS, side="SELL", type="LIMIT", timeInForce="GTC", price="31000")
    bought = await bob("order_market_buy", symbol=SYMBOL, quoteOrderQty="1550")
    assert (bought["status"], bought["executedQty"]) == ("FILLED", "0.05000000")
    rest = await bob("order_market_buy", symbol=SYMBOL, quantity="0.06")
    assert (rest["status"], rest["executedQty"]) == ("EXPIRED", "0.05000000")
    await bob("order_limit_buy", **TERMS, price="30000")
    sold = await alice("order_market_sell", **TERMS)
    assert (sold["status"], sold["cummulativeQuoteQty"]) == ("FILLED", "3000.00000000")
    assert await balances(alice) == {
        "BTC": ("4.80000000", "0.00000000"),
        "USDT": ("106093.90000000", "0.00000000"),
    }
    assert await balances(bob) == {
        "BTC": ("5.19980000", "0.00000000"),
        "USDT": ("93900.00000000", "0.00000000"),
    }


async def test_cancels_and_replacements(pair: tuple[Ask, Ask]) -> None:
    alice, _ = pair
    assert await alice("create_test_order", **TERMS, side="BUY", type="MARKET") == {}
    assert await alice("get_open_orders", symbol=SYMBOL) == []
    order = await alice("order_limit_buy", **TERMS, price="20000", newClientOrderId="first")
    (open_row,) = await alice("get_open_orders", symbol=SYMBOL)
    assert (open_row["orderId"], open_row["clientOrderId"]) == (order["orderId"], "first")
    assert (await balances(alice))["USDT"] == ("98000.00000000", "2000.00000000")
    replaced = await alice(
        "cancel_replace_order",
        **TERMS,
        side="BUY",
        type="LIMIT",
        timeInForce="GTC",
        price="21000",
        cancelReplaceMode="STOP_ON_FAILURE",
        cancelOrderId=order["orderId"],
    )
    assert (replaced["cancelResult"], replaced["newOrderResult"]) == ("SUCCESS", "SUCCESS")
    assert (replaced["cancelResponse"]["orderId"], replaced["newOrderResponse"]["status"]) == (
        order["orderId"],
        "NEW",
    )
    assert (await balances(alice))["USDT"] == ("97900.00000000", "2100.00000000")
    newer = replaced["newOrderResponse"]["orderId"]
    amended = await alice(
        "_put", "order/amend/keepPriority", True, data={"symbol": SYMBOL, "orderId": newer, "newQty": "0.05"}
    )
    assert (amended["amendedOrder"]["orderId"], amended["amendedOrder"]["qty"]) == (newer, "0.05000000")
    (told,) = await alice("_get", "order/amendments", True, data={"symbol": SYMBOL, "orderId": newer})
    assert (told["origQty"], told["newQty"], told["executionId"]) == (
        "0.10000000",
        "0.05000000",
        amended["executionId"],
    )
    canceled = await alice("cancel_order", symbol=SYMBOL, orderId=newer)
    assert (canceled["status"], canceled["origQty"]) == ("CANCELED", "0.05000000")
    for price in ("20000", "20001"):
        await alice("order_limit_buy", **TERMS, price=price)
    ended = await alice("cancel_all_open_orders", symbol=SYMBOL)
    assert [row["status"] for row in ended] == ["CANCELED", "CANCELED"]
    assert await balances(alice) == {
        "BTC": ("5.00000000", "0.00000000"),
        "USDT": ("100000.00000000", "0.00000000"),
    }
    again = alice("cancel_order", symbol=SYMBOL, orderId=newer)
    assert await refusal(again) == (400, -2011, "Unknown order sent.")
    missing = alice("get_order", symbol=SYMBOL, orderId=2**40)
    assert await refusal(missing) == (400, -2013, "Order does not exist.")


ABOVE = {"aboveType": "LIMIT_MAKER", "abovePrice": "35000"}
BELOW = {"belowType": "STOP_LOSS", "belowStopPrice": "25000"}
WORKING = {
    **{"workingType": "LIMIT", "workingSide": "BUY", "workingTimeInForce": "GTC"},
    **{"workingPrice": "20000", "workingQuantity": "0.1"},
}
PENDING = {
    "pendingType": "LIMIT",
    "pendingSide": "SELL",
    "pendingPrice": "40000",
    "pendingTimeInForce": "GTC",
}
PENDING_PAIR = {
    **{"pendingSide": "SELL", "pendingAboveType": "LIMIT_MAKER", "pendingAbovePrice": "40000"},
    **{"pendingBelowType": "STOP_LOSS", "pendingBelowStopPrice": "15000"},
}
LISTS = {
    "orderList/oco": ({"side": "SELL", "quantity": "0.1", **ABOVE, **BELOW}, "OCO", 2),
    "order/oco": ({"side": "SELL", "quantity": "0.1", "price": "35000", "stopPrice": "25000"}, "OCO", 2),
    "orderList/oto": ({**WORKING, **PENDING, "pendingQuantity": "0.1"}, "OTO", 2),
    "orderList/otoco": ({**WORKING, **PENDING_PAIR, "pendingQuantity": "0.1"}, "OTO", 3),
    "orderList/opo": ({**WORKING, **PENDING}, "OTO", 2),
    "orderList/opoco": ({**WORKING, **PENDING_PAIR}, "OTO", 3),
}


async def test_order_lists(pair: tuple[Ask, Ask]) -> None:
    alice, bob = pair
    await alice("order_limit_sell", **TERMS, price="30000")
    await bob("order_limit_buy", **TERMS, price="30000")
    before, ids = await balances(alice), []
    for path, (terms, contingency, legs) in LISTS.items():
        if path == "orderList/oco":
            placed = await alice("create_oco_order", symbol=SYMBOL, **terms)
        else:
            placed = await alice("_post", path, True, data={"symbol": SYMBOL, **terms})
        assert (placed["contingencyType"], placed["listOrderStatus"]) == (contingency, "EXECUTING")
        assert len(placed["orders"]) == len(placed["orderReports"]) == legs
        (row,) = await alice("get_open_oco_orders")
        assert (row["orderListId"], row["orders"]) == (placed["orderListId"], placed["orders"])
        number = placed["orderListId"]
        assert await alice("_get", "orderList", True, data={"orderListId": number}) == row
        ended = await alice("_delete", "orderList", True, data={"symbol": SYMBOL, "orderListId": number})
        assert (ended["listStatusType"], ended["listOrderStatus"]) == ("ALL_DONE", "ALL_DONE")
        ids.append(placed["orderListId"])
        assert await balances(alice) == before
    every = await alice("_get", "allOrderList", True, data={})
    assert [row["orderListId"] for row in every] == ids
    assert await alice("get_open_oco_orders") == []


async def test_self_trades_fees_and_what_is_empty(pair: tuple[Ask, Ask]) -> None:
    alice, bob = pair
    await alice("order_limit_sell", **TERMS, price="30000")
    own = await alice("order_limit_buy", **TERMS, price="30000", selfTradePreventionMode="EXPIRE_TAKER")
    assert (own["status"], own["executedQty"]) == ("EXPIRED_IN_MATCH", "0.00000000")
    (prevented,) = await alice("get_prevented_matches", symbol=SYMBOL, orderId=own["orderId"])
    assert (prevented["takerOrderId"], prevented["selfTradePreventionMode"]) == (
        own["orderId"],
        "EXPIRE_TAKER",
    )
    fees = await alice("_get", "account/commission", True, data={"symbol": SYMBOL})
    assert fees["standardCommission"] == dict.fromkeys(
        ("maker", "taker", "buyer", "seller"), "0.00100000"
    ) | {
        "buyer": "0.00000000",
        "seller": "0.00000000",
    }
    filters = await bob("_get", "myFilters", True, data={"symbol": SYMBOL})
    assert {"exchangeFilters", "symbolFilters", "assetFilters"} == filters.keys()
    assert await bob("get_allocations", symbol=SYMBOL) == []
    assert await bob("_get", "executionRules", data={"symbol": SYMBOL}) == {"symbolRules": []}
    assert await bob("_get", "historicalBlockTrades", data={"symbol": SYMBOL}) == []
    nothing = "This symbol doesn't have a reference price."
    for path in ("referencePrice", "referencePrice/calculation"):
        assert await refusal(bob("_get", path, data={"symbol": SYMBOL})) == (400, -2043, nothing)


async def test_the_exchange_and_what_is_not_served(pair: tuple[Ask, Ask]) -> None:
    alice, _ = pair
    assert await alice("ping") == {}
    assert abs((await alice("get_server_time"))["serverTime"] - time.time() * 1000) < 60_000
    info = await alice("get_exchange_info")
    assert SYMBOL in [row["symbol"] for row in info["symbols"]]
    row = await alice("get_symbol_info", SYMBOL)
    assert (row["baseAsset"], row["quoteAsset"], row["status"]) == ("BTC", "USDT", "TRADING")
    for method in ("get_account_status", "get_trade_fee", "get_asset_details"):
        assert await refusal(alice(method)) == (404, -1020, "This operation is not supported.")
