"""Every order kind through real services, over HTTP: answers, rows, and balances to the last digit.

On SOLUSDT, which no other test of this exchange trades; its last price is 100 when a test begins.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest

from service_runtime.kafka_log import KafkaEventLog
from service_runtime.settings import KafkaSettings, PostgresSettings, RedisSettings, ServiceSettings
from tapehouse.audit.audit import Options, audit
from tests.integration.ingest.exchange import Exchange, Trader
from tests.waiting import until

SYMBOL = "SOLUSDT"
UNKNOWN = {"code": -2011, "msg": "Unknown order sent."}


def ok(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer: httpx.Response) -> tuple[int, int, str]:
    body = answer.json()
    return answer.status_code, body["code"], body["msg"]


def order(trader: Trader, side: str, kind: str = "LIMIT", **more: Any) -> httpx.Response:
    terms = {"symbol": SYMBOL, "side": side, "type": kind, "quantity": "1", "newOrderRespType": "FULL"}
    if kind in ("LIMIT", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"):
        terms["timeInForce"] = "GTC"
    return trader.call("POST", "order", **{**terms, **more})


def row(trader: Trader, order_id: int) -> Any:
    return ok(trader.call("GET", "order", symbol=SYMBOL, orderId=order_id))


def held(trader: Trader) -> dict[str, tuple[Decimal, Decimal]]:
    """Free and locked of what SOLUSDT moves."""
    found = trader.balances()
    return {asset: (Decimal(found[asset][0]), Decimal(found[asset][1])) for asset in ("SOL", "USDT")}


def trade_at(price: str, maker: Trader, taker: Trader, quantity: str = "1") -> None:
    """Maker sells, taker buys, at this price."""
    ok(order(maker, "SELL", price=price, quantity=quantity))
    assert ok(order(taker, "BUY", price=price, quantity=quantity))["status"] == "FILLED"


@pytest.fixture
def maker(exchange: Exchange) -> Trader:
    return exchange.trader(USDT="100000", SOL="1000")


@pytest.fixture
def alice(exchange: Exchange, maker: Trader) -> Any:
    """At 100, with an empty book before and after."""
    other = exchange.trader(USDT="100000", SOL="1000")
    trade_at("100", maker, other)
    trader = exchange.trader(USDT="10000", SOL="100")
    yield trader
    for each in (trader, maker, other):
        answer = each.call("DELETE", "openOrders", symbol=SYMBOL)
        assert answer.status_code == 200 or answer.json() == UNKNOWN


def test_a_stop_waits_for_its_price_and_then_sells(alice: Trader, maker: Trader) -> None:
    stop = ok(order(alice, "SELL", "STOP_LOSS", stopPrice="95", quantity="2"))
    assert (stop["status"], stop["workingTime"], stop["stopPrice"]) == ("NEW", -1, "95.00000000")
    waiting = row(alice, stop["orderId"])
    assert (waiting["isWorking"], waiting["price"], waiting["type"]) == (False, "0.00000000", "STOP_LOSS")
    (shown,) = ok(alice.call("GET", "openOrders", symbol=SYMBOL))
    assert (shown["orderId"], shown["isWorking"], shown["stopPrice"]) == (
        stop["orderId"],
        False,
        "95.00000000",
    )
    assert held(alice)["SOL"] == (98, 2)
    assert refused(order(alice, "SELL", "STOP_LOSS", stopPrice="105")) == (
        400,
        -2010,
        "Order would trigger immediately.",
    )
    ok(order(maker, "BUY", price="94", quantity="5"))
    ok(order(maker, "BUY", price="95", quantity="1"))
    ok(order(alice, "SELL", price="95", quantity="1"))  # trades at 95
    done = until(lambda: (r := row(alice, stop["orderId"]))["status"] == "FILLED" and r)
    assert (done["executedQty"], done["cummulativeQuoteQty"], done["isWorking"]) == (
        "2.00000000",
        "188.00000000",
        True,
    )
    assert held(alice) == {"SOL": (97, 0), "USDT": (10000 + Decimal("283") * Decimal("0.999"), 0)}


def test_take_profit_and_trailing_stops_follow_the_trades(alice: Trader, maker: Trader) -> None:
    labels = {"strategyId": 7, "strategyType": 1_000_001}
    profit = ok(order(alice, "SELL", "TAKE_PROFIT_LIMIT", stopPrice="110", price="109", **labels))
    assert labels.items() <= profit.items()
    trailing = ok(order(alice, "SELL", "STOP_LOSS", trailingDelta="1000"))
    assert trailing["trailingDelta"] == 1000
    assert (
        trailing["trailingTime"]
        == trailing["transactTime"]
        == row(alice, trailing["orderId"])["trailingTime"]
    )
    other = maker
    ok(order(other, "BUY", price="110"))
    trade = ok(order(alice, "SELL", price="110"))  # the profit leg is triggered, and rests at 109
    working = until(lambda: (r := row(alice, profit["orderId"]))["isWorking"] and r)
    assert working["time"] < working["workingTime"] == trade["transactTime"]
    opened = {r["orderId"]: r for r in ok(alice.call("GET", "openOrders", symbol=SYMBOL))}
    assert opened[profit["orderId"]]["workingTime"] == trade["transactTime"]
    assert labels.items() <= opened[profit["orderId"]].items()
    assert row(alice, trailing["orderId"])["isWorking"] is False  # its highest is 110 now: below 99
    ok(order(other, "BUY", price="109"))
    until(lambda: row(alice, profit["orderId"])["status"] == "FILLED")
    assert labels.items() <= row(alice, profit["orderId"]).items()
    ok(order(other, "BUY", price="99", quantity="2"))
    ok(order(alice, "SELL", price="99"))
    until(lambda: row(alice, trailing["orderId"])["status"] == "FILLED")
    earned = Decimal("110") + 109 + 99 + 99
    assert held(alice) == {"SOL": (96, 0), "USDT": (10000 + earned * Decimal("0.999"), 0)}


def test_an_iceberg_shows_its_parts(exchange: Exchange, alice: Trader, maker: Trader) -> None:
    iceberg = ok(order(alice, "BUY", price="90", quantity="5", icebergQty="2"))
    assert iceberg["icebergQty"] == "2.00000000"
    depth = exchange.http.get(f"{exchange.base}/api/v3/depth", params={"symbol": SYMBOL, "limit": 5}).json()
    assert ["90.00000000", "2.00000000"] in [level[:2] for level in depth["bids"]]
    ok(order(maker, "SELL", price="90", quantity="3"))
    found = row(alice, iceberg["orderId"])
    assert (found["status"], found["executedQty"], found["icebergQty"]) == (
        "PARTIALLY_FILLED",
        "3.00000000",
        "2.00000000",
    )
    assert held(alice)["USDT"] == (Decimal(10000 - 450), 180)


def test_self_trade_prevention_is_told_and_kept(alice: Trader) -> None:
    resting = ok(order(alice, "SELL", price="101"))
    taker = ok(order(alice, "BUY", price="101", quantity="2", selfTradePreventionMode="DECREMENT"))
    assert (taker["status"], taker["preventedQuantity"]) == ("NEW", "1.00000000")
    ended = row(alice, resting["orderId"])
    assert (ended["status"], ended["executedQty"]) == ("EXPIRED_IN_MATCH", "0.00000000")
    assert held(alice) == {"SOL": (100, 0), "USDT": (10000 - 101, 101)}
    (prevented,) = ok(
        alice.call("GET", "myPreventedMatches", symbol=SYMBOL, preventedMatchId=taker["preventedMatchId"])
    )
    assert (prevented["takerOrderId"], prevented["makerOrderId"]) == (taker["orderId"], resting["orderId"])
    assert prevented["makerPreventedQuantity"] == prevented["takerPreventedQuantity"] == "1.00000000"
    assert ok(alice.call("GET", "myPreventedMatches", symbol=SYMBOL, orderId=resting["orderId"])) == [
        prevented
    ]


def test_an_amend_keeps_the_order_and_lowers_what_it_locks(alice: Trader) -> None:
    placed = ok(order(alice, "BUY", price="90", quantity="4", newClientOrderId="first"))
    path = "order/amend/keepPriority"
    answer = ok(
        alice.call(
            "PUT", path, symbol=SYMBOL, origClientOrderId="first", newQty="3", newClientOrderId="second"
        )
    )
    changed = answer["amendedOrder"]
    assert (changed["orderId"], changed["qty"], changed["status"]) == (placed["orderId"], "3.00000000", "NEW")
    assert (changed["origClientOrderId"], changed["clientOrderId"]) == ("first", "second")
    ok(
        alice.call(
            "PUT", path, symbol=SYMBOL, orderId=placed["orderId"], newQty="1", newClientOrderId="third"
        )
    )
    assert held(alice)["USDT"] == (9910, 90)
    assert row(alice, placed["orderId"])["origQty"] == "1.00000000"
    history = ok(alice.call("GET", "order/amendments", symbol=SYMBOL, orderId=placed["orderId"]))
    assert [(one["origQty"], one["newQty"], one["newClientOrderId"]) for one in history] == [
        ("4.00000000", "3.00000000", "second"),
        ("3.00000000", "1.00000000", "third"),
    ]
    named = {"symbol": SYMBOL, "orderId": placed["orderId"]}
    assert refused(alice.call("PUT", path, **named, newQty="2")) == (
        400,
        -2038,
        "Order amend (quantity increase) is not supported.",
    )
    assert refused(alice.call("PUT", path, **named, newQty="1"))[1:] == (
        -2038,
        "The requested action would change no state; rejecting",
    )
    assert refused(alice.call("PUT", path, **named, origClientOrderId="x", newQty="0.5"))[1] == -2039


def _replace(trader: Trader, order_id: int, **more: Any) -> httpx.Response:
    terms = {"symbol": SYMBOL, "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1"}
    changes = {"price": "90", "cancelReplaceMode": "STOP_ON_FAILURE", "cancelOrderId": order_id}
    return trader.call("POST", "order/cancelReplace", **{**terms, **changes, **more})


def test_every_row_of_the_table_of_cancel_replace(alice: Trader) -> None:
    def place() -> int:
        return int(ok(order(alice, "BUY", price="80"))["orderId"])

    done = _replace(alice, place())
    assert (done.status_code, done.json()["cancelResult"], done.json()["newOrderResult"]) == (
        200,
        "SUCCESS",
        "SUCCESS",
    )
    assert done.json()["cancelResponse"]["status"] == "CANCELED"
    assert done.json()["newOrderResponse"]["status"] == "NEW"
    assert held(alice)["USDT"] == (9910, 90)
    gone = _replace(alice, 1)
    assert (gone.status_code, gone.json()["code"]) == (400, -2022)
    assert gone.json()["data"] == {
        "cancelResult": "FAILURE",
        "newOrderResult": "NOT_ATTEMPTED",
        "cancelResponse": UNKNOWN,
        "newOrderResponse": None,
    }
    dear = _replace(alice, place(), quantity="1000")
    assert (dear.status_code, dear.json()["code"]) == (409, -2021)
    assert dear.json()["data"]["cancelResult"] == "SUCCESS"
    assert dear.json()["data"]["newOrderResponse"]["msg"].startswith("Account has insufficient balance")
    alone = _replace(alice, 1, cancelReplaceMode="ALLOW_FAILURE", price="70")
    assert (alone.status_code, alone.json()["code"]) == (409, -2021)
    assert alone.json()["data"]["cancelResponse"] == UNKNOWN
    assert alone.json()["data"]["newOrderResponse"]["status"] == "NEW"
    both = _replace(alice, 1, cancelReplaceMode="ALLOW_FAILURE", quantity="1000")
    assert (both.status_code, both.json()["code"]) == (400, -2022)
    assert both.json()["data"]["newOrderResponse"]["code"] == -2010
    terms = _replace(alice, place(), price="0")
    assert refused(terms) == (400, -1013, "Filter failure: PRICE_FILTER")
    kept = place()
    bound = _replace(alice, kept, cancelRestrictions="ONLY_PARTIALLY_FILLED")
    assert (
        bound.json()["data"]["cancelResponse"]["msg"] == "Order was not canceled due to cancel restrictions."
    )
    cancel = {"symbol": SYMBOL, "orderId": kept}
    assert (
        refused(alice.call("DELETE", "order", **cancel, cancelRestrictions="ONLY_PARTIALLY_FILLED"))[1]
        == -2011
    )
    assert ok(alice.call("DELETE", "order", **cancel, cancelRestrictions="ONLY_NEW"))["status"] == "CANCELED"
    assert held(alice)["USDT"] == (10000 - 90 - 70 - 80, 240)


def _list(trader: Trader, kind: str, **more: Any) -> httpx.Response:
    return trader.call("POST", f"orderList/{kind}", symbol=SYMBOL, **more)


OCO = {
    "side": "SELL",
    "quantity": "2",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "110",
    "belowType": "STOP_LOSS_LIMIT",
    "belowStopPrice": "95",
    "belowPrice": "94",
    "belowTimeInForce": "GTC",
}


def test_an_oco_locks_once_and_one_leg_ends_the_other(alice: Trader, maker: Trader) -> None:
    placed = ok(_list(alice, "oco", **OCO, listClientOrderId="mine"))
    assert (placed["contingencyType"], placed["listOrderStatus"]) == ("OCO", "EXECUTING")
    above, below = placed["orderReports"]
    assert (above["type"], below["type"], below["workingTime"]) == ("LIMIT_MAKER", "STOP_LOSS_LIMIT", -1)
    assert held(alice)["SOL"] == (98, 2)
    (open_list,) = ok(alice.call("GET", "openOrderList"))
    assert (open_list["listClientOrderId"], open_list["orders"]) == ("mine", placed["orders"])
    ok(order(maker, "BUY", price="110", quantity="0.5"))
    other = until(lambda: (r := row(alice, below["orderId"]))["status"] == "EXPIRED" and r)
    assert other["expiryReason"] == "OCO_TRIGGER"
    ok(order(maker, "BUY", price="110", quantity="1.5"))
    ended = until(
        lambda: (
            (r := ok(alice.call("GET", "orderList", origClientOrderId="mine")))["listOrderStatus"]
            == "ALL_DONE"
            and r
        )
    )
    assert ended["orderListId"] == placed["orderListId"]
    trades = ok(alice.call("GET", "myTrades", symbol=SYMBOL, orderId=above["orderId"]))
    assert [trade["orderListId"] for trade in trades] == [placed["orderListId"]] * 2
    assert held(alice) == {"SOL": (98, 0), "USDT": (10000 + 220 * Decimal("0.999"), 0)}
    assert ok(alice.call("GET", "allOrderList"))[0]["orderListId"] == placed["orderListId"]


def test_wrong_legs_and_prices_are_refused_as_documented(alice: Trader, maker: Trader) -> None:
    prices = (400, -2010, "The relationship of the prices for the orders is not correct.")
    assert refused(_list(alice, "oco", **{**OCO, "abovePrice": "99"})) == prices
    wrong = {**OCO, "belowType": "TAKE_PROFIT", "aboveType": "STOP_LOSS", "aboveStopPrice": "110"}
    for name in ("abovePrice", "belowPrice", "belowTimeInForce"):
        del wrong[name]
    assert refused(_list(alice, "oco", **wrong))[1] == -1197
    limits = {**OCO, "belowType": "LIMIT_MAKER"}
    for name in ("belowStopPrice", "belowTimeInForce"):
        del limits[name]
    assert refused(_list(alice, "oco", **limits)) == (
        400,
        -1168,
        "At least one OCO order must be contingent.",
    )
    ok(order(maker, "SELL", price="101"))
    mixed = {
        "workingType": "LIMIT_MAKER",
        "workingSide": "BUY",
        "workingPrice": "101",
        "workingQuantity": "1",
    }
    mixed |= {"pendingType": "LIMIT_MAKER", "pendingSide": "SELL", "pendingPrice": "120"}
    takes = (400, -2010, "Order would immediately match and take.")
    assert refused(_list(alice, "oto", **mixed, pendingQuantity="2")) == takes  # it had locked both assets
    assert held(alice) == {"SOL": (100, 0), "USDT": (10000, 0)}


def test_an_otoco_waits_and_then_protects(alice: Trader, maker: Trader) -> None:
    working = {"workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "99", "workingQuantity": "1"}
    pending = {"pendingSide": "SELL", "pendingQuantity": "1", "pendingAboveType": "LIMIT_MAKER"}
    pending |= {"pendingAbovePrice": "120", "pendingBelowType": "STOP_LOSS", "pendingBelowStopPrice": "90"}
    placed = ok(_list(alice, "otoco", **working, workingTimeInForce="GTC", **pending))
    assert [one["status"] for one in placed["orderReports"]] == ["NEW", "PENDING_NEW", "PENDING_NEW"]
    assert held(alice) == {"SOL": (99, 1), "USDT": (9901, 99)}
    ids = [one["orderId"] for one in placed["orders"]]
    assert row(alice, ids[1])["status"] == "PENDING_NEW"
    ok(order(maker, "SELL", price="99"))
    until(lambda: row(alice, ids[1])["status"] == "NEW")
    assert [one["orderId"] for one in ok(alice.call("GET", "openOrders", symbol=SYMBOL))] == ids[1:]
    canceled = ok(alice.call("DELETE", "orderList", symbol=SYMBOL, orderListId=placed["orderListId"]))
    assert (canceled["listOrderStatus"], len(canceled["orderReports"])) == ("ALL_DONE", 2)
    assert {one["status"] for one in canceled["orderReports"]} == {"CANCELED"}
    assert held(alice) == {"SOL": (101 - Decimal("0.001"), 0), "USDT": (9901, 0)}


def test_an_oto_that_is_canceled_and_the_old_form_of_an_oco(alice: Trader) -> None:
    working = {
        "workingType": "LIMIT_MAKER",
        "workingSide": "BUY",
        "workingPrice": "90",
        "workingQuantity": "1",
    }
    oto = ok(_list(alice, "oto", **working, pendingType="MARKET", pendingSide="SELL", pendingQuantity="1"))
    assert held(alice) == {"SOL": (99, 1), "USDT": (9910, 90)}
    old = {"side": "SELL", "quantity": "1", "price": "110", "stopPrice": "90"}
    oco = ok(alice.call("POST", "order/oco", symbol=SYMBOL, **old, stopClientOrderId="the-stop"))
    assert oco["orderReports"][1]["clientOrderId"] == "the-stop"
    plain = ok(order(alice, "BUY", price="80"))
    reports = ok(alice.call("DELETE", "openOrders", symbol=SYMBOL))
    assert [one.get("orderId", one["orderListId"]) for one in reports] == [
        oto["orderListId"],
        oco["orderListId"],
        plain["orderId"],
    ]
    assert held(alice) == {"SOL": (100, 0), "USDT": (10000, 0)}


def test_an_opo_sells_what_it_bought(alice: Trader, maker: Trader) -> None:
    working = {"workingType": "LIMIT", "workingSide": "BUY", "workingPrice": "99", "workingQuantity": "2"}
    pending = {"pendingType": "LIMIT_MAKER", "pendingSide": "SELL", "pendingPrice": "120"}
    placed = ok(_list(alice, "opo", **working, workingTimeInForce="GTC", **pending))
    assert held(alice) == {"SOL": (100, 0), "USDT": (10000 - 198, 198)}
    ok(order(maker, "SELL", price="99", quantity="2"))
    sell = placed["orders"][1]["orderId"]
    active = until(lambda: (r := row(alice, sell))["status"] == "NEW" and r)
    bought = 2 - Decimal("0.002")
    lot = Decimal("0.001")
    sold = bought // lot * lot
    assert Decimal(active["origQty"]) == sold
    assert held(alice)["SOL"] == (100 + bought - sold, sold)
    ok(alice.call("DELETE", "order", symbol=SYMBOL, orderId=sell))
    assert held(alice)["SOL"] == (100 + bought, 0)


def test_what_is_asked_of_fees_filters_and_what_there_is_not(exchange: Exchange, alice: Trader) -> None:
    fees = ok(alice.call("GET", "account/commission", symbol=SYMBOL))
    assert fees["standardCommission"] == {
        "maker": "0.00100000",
        "taker": "0.00100000",
        "buyer": "0.00000000",
        "seller": "0.00000000",
    }
    mine = ok(alice.call("GET", "myFilters", symbol=SYMBOL))
    info = exchange.http.get(f"{exchange.base}/api/v3/exchangeInfo", params={"symbol": SYMBOL}).json()
    assert mine["symbolFilters"] == info["symbols"][0]["filters"]
    assert ok(alice.call("GET", "myAllocations", symbol=SYMBOL)) == []
    assert ok(exchange.http.get(f"{exchange.base}/api/v3/executionRules")) == {"symbolRules": []}
    price = exchange.http.get(f"{exchange.base}/api/v3/referencePrice", params={"symbol": SYMBOL})
    assert refused(price) == (400, -2043, "This symbol doesn't have a reference price.")


def test_afterwards_the_audit_is_clean(exchange: Exchange, alice: Trader) -> None:
    settings = ServiceSettings(
        postgres=PostgresSettings(dsn=exchange.env["TAPEHOUSE_POSTGRES__DSN"]),
        redis=RedisSettings(url=exchange.env["TAPEHOUSE_REDIS__URL"]),
    )
    kafka = KafkaSettings(bootstrap_servers=exchange.env["TAPEHOUSE_KAFKA__BOOTSTRAP_SERVERS"])
    with KafkaEventLog(kafka, "audit-of-kinds") as log:
        report = audit(settings, log, Options(wait_s=20))
    assert report.difference is None
