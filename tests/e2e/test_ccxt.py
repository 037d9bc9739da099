"""Unmodified ccxt, as a trader uses it: markets, book, candles, orders, fills, cancels, balances."""

from __future__ import annotations

from typing import Any

import ccxt
import pytest

from tapehouse.operator_client import TradingAccount
from tests.e2e.conftest import RunningExchange
from tests.waiting import until

SYMBOL = "BTC/USDT"


def client(exchange: RunningExchange, account: TradingAccount) -> Any:
    """ccxt pointed at us, as the user guide says."""
    return ccxt.binance(
        {
            "apiKey": account.api_key,
            "secret": account.secret,
            "urls": {
                "api": {
                    "public": f"{exchange.live.api_url}/api/v3",
                    "private": f"{exchange.live.api_url}/api/v3",
                    "v1": f"{exchange.live.api_url}/api/v1",
                }
            },
            "enableRateLimit": False,
            "options": {
                "defaultType": "spot",
                "fetchMarkets": {"types": ["spot"]},
                "fetchCurrencies": False,
                "fetchMargins": False,
                "warnOnFetchOpenOrdersWithoutSymbol": False,
                "fetchOpenOrders": {"warnWithoutSymbol": False},
            },
        }
    )


@pytest.fixture(scope="module")
def maker(running_exchange: RunningExchange) -> Any:
    return client(running_exchange, running_exchange.account(USDT="100000", BTC="5"))


@pytest.fixture(scope="module")
def taker(running_exchange: RunningExchange) -> Any:
    return client(running_exchange, running_exchange.account(USDT="100000", BTC="5"))


@pytest.fixture(autouse=True)
def empty_book(maker: Any, taker: Any) -> Any:
    yield
    for trader in (maker, taker):
        for order in trader.fetch_open_orders():
            trader.cancel_order(order["id"], order["symbol"])


def test_markets_are_loaded_with_their_limits(maker: Any) -> None:
    market = maker.load_markets()[SYMBOL]
    assert (market["id"], market["type"], market["active"]) == ("BTCUSDT", "spot", True)
    assert market["precision"] == {**market["precision"], "amount": 0.000001, "price": 0.01}
    assert (market["limits"]["amount"]["min"], market["limits"]["cost"]["min"]) == (0.000001, 0.01)
    assert {"BTC/USDT", "ETH/USDT", "ETH/BTC"} <= set(maker.symbols)


def test_an_order_is_placed_seen_filled_and_paid_for(maker: Any, taker: Any) -> None:
    before = maker.fetch_balance()
    taker_before = taker.fetch_balance()
    resting = maker.create_order(SYMBOL, "limit", "buy", 0.5, 30000)
    assert (resting["status"], resting["filled"], resting["remaining"]) == ("open", 0, 0.5)
    assert maker.fetch_order(resting["id"], SYMBOL)["status"] == "open"
    assert [order["id"] for order in maker.fetch_open_orders(SYMBOL)] == [resting["id"]]
    assert [30000, 0.5] in maker.fetch_order_book(SYMBOL)["bids"]
    taken = taker.create_order(SYMBOL, "limit", "sell", 0.2, 30000)
    assert (taken["status"], taken["filled"], taken["average"], taken["cost"]) == ("closed", 0.2, 30000, 6000)
    assert taken["fee"] == {"currency": "USDT", "cost": 6.0}
    assert [(t["price"], t["amount"]) for t in taken["trades"]] == [(30000, 0.2)]
    assert [30000, 0.3] in maker.fetch_order_book(SYMBOL)["bids"]
    after, taker_after = maker.fetch_balance(), taker.fetch_balance()
    assert after["BTC"]["free"] == pytest.approx(before["BTC"]["free"] + 0.2 - 0.0002, abs=1e-9)
    assert after["USDT"]["used"] == 9000
    assert after["USDT"]["total"] == before["USDT"]["total"] - 6000
    assert taker_after["USDT"]["total"] == taker_before["USDT"]["total"] + 6000 - 6
    assert taker_after["BTC"]["total"] == pytest.approx(taker_before["BTC"]["total"] - 0.2, abs=1e-9)
    canceled = maker.cancel_order(resting["id"], SYMBOL)
    assert (canceled["status"], canceled["filled"]) == ("canceled", 0.2)
    assert maker.fetch_balance()["USDT"]["used"] == 0
    assert maker.fetch_open_orders(SYMBOL) == []
    ended = {order["id"]: order["status"] for order in maker.fetch_orders(SYMBOL)}
    assert ended[resting["id"]] == "canceled"
    (trade,) = [t for t in maker.fetch_my_trades(SYMBOL) if t["order"] == resting["id"]]
    assert (trade["side"], trade["takerOrMaker"], trade["fee"]) == (
        "buy",
        "maker",
        {"currency": "BTC", "cost": 0.0002},
    )


def test_trades_tickers_and_candles_show_what_happened(maker: Any, taker: Any) -> None:
    maker.create_order(SYMBOL, "limit", "sell", 0.1, 31000)
    bought = taker.create_order(SYMBOL, "market", "buy", 0.1)
    assert (bought["status"], bought["average"]) == ("closed", 31000)
    trade_id = bought["trades"][0]["id"]
    trades = until(lambda: [t for t in maker.fetch_trades(SYMBOL) if t["price"] == 31000])
    assert (trades[-1]["amount"], trades[-1]["side"]) == (0.1, "buy")
    until(lambda: maker.fetch_ticker(SYMBOL)["last"] == 31000)
    candles = until(lambda: [c for c in maker.fetch_ohlcv(SYMBOL, "1m") if c[2] >= 31000])
    assert candles[-1][5] >= 0.1
    assert trade_id in [t["id"] for t in taker.fetch_my_trades(SYMBOL)]


def test_refusals_become_ccxts_own_errors(maker: Any, taker: Any) -> None:
    with pytest.raises(ccxt.InsufficientFunds):
        maker.create_order(SYMBOL, "limit", "buy", 50, 30000)
    with pytest.raises(ccxt.OrderNotFound):
        maker.cancel_order("999999999", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        maker.fetch_order("999999999", SYMBOL)
    with pytest.raises(ccxt.InvalidOrder):
        maker.create_order(SYMBOL, "limit", "buy", 9001, 0.01)
    maker.create_order(SYMBOL, "limit", "sell", 0.1, 32000)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        taker.create_order(SYMBOL, "limit", "buy", 0.1, 32000, {"postOnly": True})
    stranger = client_with_wrong_secret(taker)
    with pytest.raises(ccxt.AuthenticationError):
        stranger.fetch_balance()


def client_with_wrong_secret(of: Any) -> Any:
    config = {"apiKey": of.apiKey, "secret": "wrong", "urls": of.urls, "options": of.options}
    return ccxt.binance({**config, "enableRateLimit": False})


def test_immediate_orders_and_cancel_all(maker: Any, taker: Any) -> None:
    maker.create_order(SYMBOL, "limit", "sell", 0.1, 33000)
    part = taker.create_order(SYMBOL, "limit", "buy", 0.3, 33000, {"timeInForce": "IOC"})
    assert (part["status"], part["filled"]) == ("expired", 0.1)
    for price in (20000, 20001, 20002):
        maker.create_order(SYMBOL, "limit", "buy", 0.01, price)
    assert len(maker.cancel_all_orders(SYMBOL)) == 3
    assert maker.fetch_open_orders() == []


def test_stops_icebergs_and_edits(maker: Any, taker: Any) -> None:
    """createOrder with stop, trailing and iceberg parameters; editOrder, which is cancelReplace."""
    maker.create_order(SYMBOL, "limit", "sell", 0.1, 30000)
    taker.create_order(SYMBOL, "limit", "buy", 0.1, 30000)  # the last price
    before, loss = maker.fetch_balance()["BTC"], {"stopLossOrTakeProfit": "stopLoss"}
    stop = maker.create_order(SYMBOL, "limit", "sell", 0.1, 28000, {"stopLossPrice": 28500})
    profit = maker.create_order(SYMBOL, "market", "sell", 0.1, None, {"takeProfitPrice": 33000})
    trailing = maker.create_order(SYMBOL, "market", "sell", 0.1, None, {"trailingPercent": 2, **loss})
    iceberg = maker.create_order(SYMBOL, "limit", "sell", 0.3, 34000, {"icebergAmount": 0.1})
    found = {order["id"]: order for order in maker.fetch_open_orders(SYMBOL)}
    assert found.keys() == {stop["id"], profit["id"], trailing["id"], iceberg["id"]}
    assert (found[stop["id"]]["triggerPrice"], found[stop["id"]]["price"]) == (28500, 28000)
    assert (found[profit["id"]]["type"], found[profit["id"]]["triggerPrice"]) == ("market", 33000)
    assert found[trailing["id"]]["info"]["trailingDelta"] in (200, "200")
    assert [34000, 0.1] in maker.fetch_order_book(SYMBOL)["asks"]
    assert maker.fetch_balance()["BTC"]["used"] == pytest.approx(0.6)
    edited = maker.edit_order(iceberg["id"], SYMBOL, "limit", "sell", 0.2, 35000)
    assert (edited["status"], edited["price"], edited["amount"]) == ("open", 35000, 0.2)
    assert maker.fetch_order(iceberg["id"], SYMBOL)["status"] == "canceled"
    with pytest.raises(ccxt.ExchangeError, match="-2022"):
        maker.edit_order(iceberg["id"], SYMBOL, "limit", "sell", 0.2, 35000)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        maker.create_order(SYMBOL, "limit", "sell", 0.1, 28000, {"stopLossPrice": 31000})
    maker.cancel_all_orders(SYMBOL)
    after = maker.fetch_balance()["BTC"]
    assert (after["used"], after["total"]) == (0, before["total"])
