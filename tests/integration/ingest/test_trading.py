"""The way of an order through real services: answers, read your writes, refusals of the exchange itself."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.integration.ingest.exchange import Exchange, Trader
from tests.waiting import until

NOT_ENOUGH = {"code": -2010, "msg": "Account has insufficient balance for requested action."}
UNKNOWN = {"code": -2011, "msg": "Unknown order sent."}


@pytest.fixture
def alice(exchange: Exchange) -> Trader:
    return exchange.trader(USDT="1000000", BTC="10")


@pytest.fixture
def bob(exchange: Exchange) -> Trader:
    return exchange.trader(USDT="1000000", BTC="10")


@pytest.fixture(autouse=True)
def clean_book(exchange: Exchange, alice: Trader, bob: Trader) -> Any:
    yield
    for trader in (alice, bob):
        answer = trader.call("DELETE", "openOrders", symbol="BTCUSDT")
        assert answer.status_code == 200 or answer.json() == UNKNOWN


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_order_its_trade_and_both_balances_to_the_last_digit(alice: Trader, bob: Trader) -> None:
    resting = ok(alice.limit("BUY", "0.5", "30000", newClientOrderId="alice-1"))
    assert (resting["status"], resting["clientOrderId"], resting["fills"]) == ("NEW", "alice-1", [])
    assert alice.balances()["USDT"] == ("985000.00000000", "15000.00000000")
    taken = ok(bob.limit("SELL", "0.2", "29999"))
    assert taken["status"] == "FILLED"
    assert taken["cummulativeQuoteQty"] == "6000.00000000"
    (fill,) = taken["fills"]
    assert (fill["price"], fill["qty"]) == ("30000.00000000", "0.20000000")
    assert (fill["commission"], fill["commissionAsset"]) == ("6.00000000", "USDT")
    assert bob.balances()["USDT"] == ("1005994.00000000", "0.00000000")
    assert bob.balances()["BTC"] == ("9.80000000", "0.00000000")
    assert alice.balances()["BTC"] == ("10.19980000", "0.00000000")
    assert alice.balances()["USDT"] == ("985000.00000000", "9000.00000000")
    row = ok(alice.call("GET", "order", symbol="BTCUSDT", origClientOrderId="alice-1"))
    assert (row["status"], row["executedQty"], row["isWorking"]) == ("PARTIALLY_FILLED", "0.20000000", True)
    (mine,) = ok(alice.call("GET", "myTrades", symbol="BTCUSDT"))
    (theirs,) = ok(bob.call("GET", "myTrades", symbol="BTCUSDT", orderId=taken["orderId"]))
    assert (mine["isMaker"], mine["isBuyer"], mine["commission"]) == (True, True, "0.00020000")
    assert (theirs["isMaker"], theirs["isBuyer"], theirs["id"]) == (False, False, fill["tradeId"])


def test_what_was_answered_is_seen_at_once(alice: Trader) -> None:
    for n in range(20):
        order = ok(alice.limit("BUY", "0.01", f"{20000 + n}"))
        order_id = order["orderId"]
        assert order_id in [row["orderId"] for row in ok(alice.call("GET", "openOrders", symbol="BTCUSDT"))]
        assert ok(alice.call("GET", "order", symbol="BTCUSDT", orderId=order_id))["status"] == "NEW"
        assert alice.balances()["USDT"][1] == f"{(20000 + n) / 100:.8f}"
        gone = ok(alice.call("DELETE", "order", symbol="BTCUSDT", orderId=order_id))
        assert (gone["status"], gone["orderId"]) == ("CANCELED", order_id)
        assert ok(alice.call("GET", "openOrders")) == []
        assert ok(alice.call("GET", "order", symbol="BTCUSDT", orderId=order_id))["status"] == "CANCELED"
        assert alice.balances()["USDT"] == ("1000000.00000000", "0.00000000")


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_what_cannot_rest_expires_with_http_200(alice: Trader, bob: Trader, time_in_force: str) -> None:
    ok(bob.limit("SELL", "0.1", "41000"))
    answer = ok(alice.limit("BUY", "0.3", "41000", timeInForce=time_in_force))
    executed = "0.10000000" if time_in_force == "IOC" else "0.00000000"
    reason = "UNFILLED_IOC_QUANTITY_EXPIRED" if time_in_force == "IOC" else "UNFILLED_FOK_ORDER_EXPIRED"
    assert (answer["status"], answer["executedQty"], answer["expiryReason"]) == ("EXPIRED", executed, reason)
    stored = ok(alice.call("GET", "order", symbol="BTCUSDT", orderId=answer["orderId"]))
    assert (stored["status"], stored["executedQty"], stored["expiryReason"]) == ("EXPIRED", executed, reason)
    assert alice.balances()["USDT"][1] == "0.00000000"


def test_market_orders_by_quantity_and_by_quote(alice: Trader, bob: Trader) -> None:
    ok(bob.limit("SELL", "0.2", "42000"))
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
    bought = ok(alice.call("POST", "order", **market, quoteOrderQty="4200"))
    assert (bought["status"], bought["executedQty"]) == ("FILLED", "0.10000000")
    assert (bought["price"], bought["origQuoteOrderQty"]) == ("0.00000000", "4200.00000000")
    more = ok(alice.call("POST", "order", **market, quantity="0.5"))
    assert (more["status"], more["executedQty"]) == ("EXPIRED", "0.10000000")
    assert more["expiryReason"] == "INSUFFICIENT_LIQUIDITY"
    assert alice.balances()["USDT"] == ("991600.00000000", "0.00000000")


def test_a_post_only_order_that_would_take_is_refused(alice: Trader, bob: Trader) -> None:
    ok(bob.limit("SELL", "0.1", "43000"))
    maker = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.1"}
    answer = alice.call("POST", "order", **maker, price="43000")
    assert answer.status_code == 400
    assert answer.json() == {"code": -2010, "msg": "Order would immediately match and take."}
    assert alice.balances()["USDT"] == ("1000000.00000000", "0.00000000")
    rested = ok(alice.call("POST", "order", **maker, price="42999.99"))
    assert set(rested) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}


def test_more_than_the_balance_is_refused_and_nothing_reserved(exchange: Exchange) -> None:
    poor = exchange.trader(USDT="100")
    answer = poor.limit("BUY", "0.01", "10000.01")
    assert (answer.status_code, answer.json()) == (400, NOT_ENOUGH)
    assert "x-mbx-order-count-10s" not in answer.headers
    assert poor.balances()["USDT"] == ("100.00000000", "0.00000000")
    assert ok(poor.limit("BUY", "0.01", "10000"))["status"] == "NEW"
    assert ok(poor.call("DELETE", "openOrders", symbol="BTCUSDT"))[0]["status"] == "CANCELED"


def test_a_hundred_orders_at_once_spend_a_balance_once(exchange: Exchange) -> None:
    poor = exchange.trader(USDT="370.5")
    with ThreadPoolExecutor(16) as pool:
        answers = list(
            pool.map(lambda n: poor.limit("BUY", "0.001", "10000", newClientOrderId=f"n-{n}"), range(100))
        )
    accepted = [answer for answer in answers if answer.status_code == 200]
    refused = [answer.json() for answer in answers if answer.status_code != 200]
    assert (len(accepted), refused) == (37, [NOT_ENOUGH] * 63)
    assert poor.balances()["USDT"] == ("0.50000000", "370.00000000")
    assert len(ok(poor.call("DELETE", "openOrders", symbol="BTCUSDT"))) == 37


def test_the_same_client_order_id_never_makes_a_second_order(alice: Trader) -> None:
    duplicate = {"code": -2010, "msg": "Duplicate order sent."}
    order = ok(alice.limit("BUY", "0.01", "20000", newClientOrderId="once"))
    for price in ("20000", "20001"):
        answer = alice.limit("BUY", "0.01", price, newClientOrderId="once")
        assert (answer.status_code, answer.json()) == (400, duplicate)
    assert len(ok(alice.call("GET", "openOrders", symbol="BTCUSDT"))) == 1
    ok(alice.call("DELETE", "order", symbol="BTCUSDT", origClientOrderId="once"))
    retry = alice.limit("BUY", "0.01", "20000", newClientOrderId="once")
    assert retry.json() == duplicate  # the same terms within a minute are a retry
    again = ok(alice.limit("BUY", "0.02", "20000", newClientOrderId="once"))
    found = ok(alice.call("GET", "order", symbol="BTCUSDT", origClientOrderId="once"))
    assert found["orderId"] == again["orderId"] > order["orderId"]


@pytest.mark.parametrize("named", [{}, {"newClientOrderId": "replayed"}], ids=["unnamed", "named"])
def test_a_replayed_request_makes_no_second_order(alice: Trader, named: dict[str, str]) -> None:
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    raw = alice.sign({**terms, **named, "price": "20000", "timestamp": int(time.time() * 1000)})
    order = ok(alice.send("POST", "order", raw))
    duplicate = {"code": -2010, "msg": "Duplicate order sent."}
    assert alice.send("POST", "order", raw).json() == duplicate
    assert ok(alice.call("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"]))
    assert alice.send("POST", "order", raw).json() == duplicate
    assert ok(alice.call("GET", "openOrders", symbol="BTCUSDT")) == []


def test_a_cancel_of_what_is_not_open_is_unknown(alice: Trader, bob: Trader) -> None:
    order = ok(alice.limit("BUY", "0.01", "20000", newClientOrderId="mine"))
    for parameters in (
        {"orderId": 999_999_999},
        {"orderId": 2**63 - 1},
        {"origClientOrderId": "nothing"},
        {"orderId": order["orderId"], "origClientOrderId": "another"},
    ):
        answer = alice.call("DELETE", "order", symbol="BTCUSDT", **parameters)
        assert (answer.status_code, answer.json()) == (400, UNKNOWN)
    wrong_symbol = alice.call("DELETE", "order", symbol="ETHUSDT", orderId=order["orderId"])
    assert wrong_symbol.json() == UNKNOWN
    assert bob.call("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"]).json() == UNKNOWN
    with ThreadPoolExecutor(2) as pool:
        cancels = pool.map(
            lambda _: alice.call("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"]), range(2)
        )
        assert sorted(answer.status_code for answer in cancels) == [200, 400]
    assert alice.call("DELETE", "order", symbol="BTCUSDT", orderId=order["orderId"]).json() == UNKNOWN
    assert alice.call("DELETE", "openOrders", symbol="BTCUSDT").json() == UNKNOWN


def test_anothers_order_does_not_exist(alice: Trader, bob: Trader) -> None:
    order = ok(alice.limit("BUY", "0.01", "20000", newClientOrderId="secret"))
    missing = {"code": -2013, "msg": "Order does not exist."}
    for parameters in ({"orderId": order["orderId"]}, {"origClientOrderId": "secret"}, {"orderId": 5}):
        answer = bob.call("GET", "order", symbol="BTCUSDT", **parameters)
        assert (answer.status_code, answer.json()) == (400, missing)
    assert ok(bob.call("GET", "openOrders")) == []
    assert ok(bob.call("GET", "allOrders", symbol="BTCUSDT")) == []
    both = alice.call("GET", "order", symbol="BTCUSDT", orderId=order["orderId"], origClientOrderId="wrong")
    assert both.json() == missing


def test_a_cancel_right_behind_its_order_finds_it(alice: Trader) -> None:
    def place_and_cancel(number: int) -> int:
        with ThreadPoolExecutor(2) as pair:
            placed = pair.submit(alice.limit, "BUY", "0.01", "20000", newClientOrderId=f"quick-{number}")
            name = {"symbol": "BTCUSDT", "origClientOrderId": f"quick-{number}"}
            canceled = until(lambda: alice.call("DELETE", "order", **name).status_code == 200)
            assert placed.result().status_code == 200
            return canceled

    assert all(place_and_cancel(number) for number in range(5))
    assert ok(alice.call("GET", "openOrders")) == []


def test_orders_and_trades_are_paged(alice: Trader, bob: Trader) -> None:
    ids = [ok(alice.limit("BUY", "0.01", f"{21000 + n}"))["orderId"] for n in range(5)]
    ok(bob.limit("SELL", "0.05", "21000"))
    every = ok(alice.call("GET", "allOrders", symbol="BTCUSDT"))
    assert [row["orderId"] for row in every] == ids
    assert {row["status"] for row in every} == {"FILLED"}
    newest = ok(alice.call("GET", "allOrders", symbol="BTCUSDT", limit=2))
    assert [row["orderId"] for row in newest] == ids[-2:]
    since = ok(alice.call("GET", "allOrders", symbol="BTCUSDT", orderId=ids[1], limit=2))
    assert [row["orderId"] for row in since] == ids[1:3]
    trades = ok(alice.call("GET", "myTrades", symbol="BTCUSDT"))
    assert [t["orderId"] for t in trades] == ids[::-1]
    later = ok(alice.call("GET", "myTrades", symbol="BTCUSDT", fromId=trades[1]["id"], limit=3))
    assert later == trades[1:4]
    first, last = trades[0]["time"], trades[-1]["time"]
    assert ok(alice.call("GET", "myTrades", symbol="BTCUSDT", startTime=first, endTime=last)) == trades
    assert ok(alice.call("GET", "myTrades", symbol="BTCUSDT", endTime=first - 1)) == []
    assert ok(bob.call("GET", "myTrades", symbol="BTCUSDT", limit=1))[0]["id"] == trades[-1]["id"]
    spent = sum(Decimal(t["quoteQty"]) for t in trades)
    assert Decimal(alice.balances()["USDT"][0]) == Decimal(1_000_000) - spent


@pytest.mark.parametrize(
    ("path", "parameters", "code"),
    [
        ("allOrders", {"startTime": 0, "endTime": 86_400_001}, -1127),
        ("allOrders", {"startTime": 2, "endTime": 1}, -1128),
        ("myTrades", {"orderId": 1, "startTime": 1}, -1128),
        ("myTrades", {"fromId": 1, "startTime": 1}, -1128),
        ("myTrades", {"limit": -1}, -1100),
        ("myTrades", {"limit": 0}, -1130),
        ("myTrades", {"limit": 10**9, "fromId": 2**63}, -1108),
        ("allOrders", {"startTime": 10**18}, -1130),
        ("openOrders", {"accountId": 1001}, -1104),
        ("account", {"omitZeroBalances": "1"}, -1100),
    ],
)
def test_odd_queries_are_refused(alice: Trader, path: str, parameters: dict[str, Any], code: int) -> None:
    symbol = {} if path == "account" else {"symbol": "BTCUSDT"}
    answer = alice.call("GET", path, **symbol, **parameters)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_an_order_test_places_nothing(alice: Trader) -> None:
    terms = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
    assert ok(alice.call("POST", "order/test", **terms, price="20000")) == {}
    rates = ok(alice.call("POST", "order/test", **terms, price="20000", computeCommissionRates="true"))
    assert rates["standardCommissionForOrder"] == {"maker": "0.00100000", "taker": "0.00100000"}
    refused = alice.call("POST", "order/test", **terms, price="0")
    assert refused.json() == {"code": -1013, "msg": "Filter failure: PRICE_FILTER"}
    assert ok(alice.call("GET", "allOrders", symbol="BTCUSDT")) == []


def test_a_price_far_from_the_market_is_refused(alice: Trader, bob: Trader) -> None:
    ok(alice.limit("BUY", "0.01", "30000"))
    ok(bob.limit("SELL", "0.01", "30000"))
    answer = alice.limit("BUY", "0.01", "150000.01")
    assert answer.json() == {"code": -1013, "msg": "Filter failure: PERCENT_PRICE_BY_SIDE"}


def test_accepted_orders_are_counted(alice: Trader) -> None:
    before = ok(alice.call("GET", "rateLimit/order"))
    answer = alice.limit("BUY", "0.01", "20000")
    assert int(answer.headers["x-mbx-order-count-1d"]) == before[1]["count"] + 1
    assert ok(alice.call("GET", "rateLimit/order"))[1]["count"] == before[1]["count"] + 1
