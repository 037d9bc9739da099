"""Every operation of /openapi.json once, by the request that the document shows as its example.

Only numbers that the exchange gives (orders, lists, listen keys) are put in their places.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import httpx

from tests.integration.ingest.exchange import Exchange, Trader
from tests.waiting import until
from tools.fuzz_api import Documented, shown_request


class Documents:
    """The document of the API, and what real answers look like beside it."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.operations = {
            f"{method.upper()} {path}": operation
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }
        components = document["components"]
        self._answers = {label: Documented(one, components) for label, one in self.operations.items()}

    def problems(self, answer: httpx.Response) -> list[str]:
        """Return in what the answer to a documented operation is none of its documented answers."""
        label = f"{answer.request.method} {answer.request.url.path}"
        return self._answers[label].problems(answer) if label in self._answers else []

    def request(self, label: str) -> dict[str, Any]:
        """Return the parameters that the document fills in."""
        return shown_request(self.operations[label])


class Asking:
    """Asks as the document says, and keeps what was answered."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.documents = Documents(exchange.http.get(f"{exchange.base}/openapi.json").json())
        funds = {"USDT": "100000", "BTC": "5"}
        self.alice, self.bob = exchange.trader(**funds), exchange.trader(**funds)
        self.answers: dict[str, Any] = {}

    def ask(self, label: str, **instead: Any) -> Any:
        answer = self._send(label, self.documents.request(label) | instead)
        assert (answer.status_code, self.documents.problems(answer)) == (200, []), (label, answer.text)
        self.answers[label] = answer.json()
        return answer.json()

    def _send(self, label: str, parameters: dict[str, Any]) -> httpx.Response:
        method, _, path = label.partition(" ")
        texts = {k: str(v).lower() if isinstance(v, bool) else v for k, v in parameters.items()}
        name = path.removeprefix("/api/v3/")
        operation = self.documents.operations[label]
        if "security" not in operation:
            return self.exchange.http.get(f"{self.exchange.base}{path}", params=texts)
        if operation["tags"] == ["user data"]:
            return self.alice.send(method, name, urlencode(texts))
        return self.alice.call(method, name, **texts)

    def rests(self, trader: Trader, **otherwise: Any) -> dict[str, Any]:
        """Place the order of the example, but otherwise."""
        order = self.documents.request("POST /api/v3/order") | otherwise
        answer = trader.call("POST", "order", **order)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


def every_answer(exchange: Exchange) -> dict[str, Any]:
    """Return what was answered, by operation."""
    asking = Asking(exchange)
    asking.rests(asking.bob, side="SELL")
    bought = asking.ask("POST /api/v3/order")
    assert bought["status"] == "FILLED"
    of_orders(asking, bought["orderId"])
    of_lists(asking)
    of_the_account(asking)
    of_the_market(asking, bought["fills"][0]["tradeId"])
    assert asking.answers.keys() == asking.documents.operations.keys()
    return asking.answers


def of_orders(asking: Asking, bought: int) -> None:
    asking.ask("POST /api/v3/order/test")
    asking.ask("GET /api/v3/order", orderId=bought)
    asking.ask("GET /api/v3/allOrders")
    until(lambda: asking.ask("GET /api/v3/myTrades"))
    first = asking.rests(asking.alice, price="20000.00")
    replaced = asking.ask("POST /api/v3/order/cancelReplace", cancelOrderId=first["orderId"])
    resting = replaced["newOrderResponse"]["orderId"]
    assert asking.ask("GET /api/v3/openOrders")
    asking.ask("PUT /api/v3/order/amend/keepPriority", orderId=resting)
    assert asking.ask("GET /api/v3/order/amendments", orderId=resting)
    asking.ask("DELETE /api/v3/order", orderId=resting)
    asking.rests(asking.alice, side="SELL", price="31000.00")
    own = asking.rests(asking.alice, price="31000.00", selfTradePreventionMode="EXPIRE_TAKER")
    assert asking.ask("GET /api/v3/myPreventedMatches", orderId=own["orderId"])
    asking.ask("DELETE /api/v3/openOrders")


def of_lists(asking: Asking) -> None:
    paths = [label for label in asking.documents.operations if label.startswith("POST /api/v3/orderList/")]
    for label in ("POST /api/v3/order/oco", *paths):
        number = asking.ask(label)["orderListId"]
        asking.ask("GET /api/v3/orderList", orderListId=number)
        assert asking.ask("GET /api/v3/openOrderList")
        asking.ask("DELETE /api/v3/orderList", orderListId=number)
    asking.ask("GET /api/v3/allOrderList", limit=1)


def of_the_account(asking: Asking) -> None:
    for path in ("account", "account/commission", "myFilters", "myAllocations", "rateLimit/order"):
        asking.ask(f"GET /api/v3/{path}")
    key = asking.ask("POST /api/v3/userDataStream")["listenKey"]
    asking.ask("PUT /api/v3/userDataStream", listenKey=key)
    asking.ask("DELETE /api/v3/userDataStream", listenKey=key)


def of_the_market(asking: Asking, trade_id: int) -> None:
    until(lambda: seen(asking, trade_id))
    asking.rests(asking.alice, price="29000.00")
    asking.rests(asking.bob, side="SELL", price="31000.00")
    for label, operation in asking.documents.operations.items():
        if operation["tags"] == ["market"]:
            asking.ask(label)
    asking.ask("GET /api/v3/historicalTrades", fromId=trade_id)


def seen(asking: Asking, trade_id: int) -> bool:
    """Whether public trades, which follow a moment later, have come to this one."""
    rows = asking.ask("GET /api/v3/trades")
    return bool(rows) and rows[-1]["id"] >= trade_id
