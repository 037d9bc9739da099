"""Each method of the WebSocket API and its REST twin: the same route answers both."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_REST: Final[Mapping[str, str]] = {
    # the exchange and its markets
    "ping": "GET ping",
    "time": "GET time",
    "exchangeInfo": "GET exchangeInfo",
    "depth": "GET depth",
    "trades.recent": "GET trades",
    "trades.historical": "GET historicalTrades",
    "trades.aggregate": "GET aggTrades",
    "klines": "GET klines",
    "uiKlines": "GET uiKlines",
    "avgPrice": "GET avgPrice",
    "ticker": "GET ticker",
    "ticker.24hr": "GET ticker/24hr",
    "ticker.tradingDay": "GET ticker/tradingDay",
    "ticker.price": "GET ticker/price",
    "ticker.book": "GET ticker/bookTicker",
    # orders
    "order.place": "POST order",
    "order.test": "POST order/test",
    "order.cancel": "DELETE order",
    "order.cancelReplace": "POST order/cancelReplace",
    "order.amend.keepPriority": "PUT order/amend/keepPriority",
    "openOrders.cancelAll": "DELETE openOrders",
    "orderList.place": "POST order/oco",
    "orderList.place.oco": "POST orderList/oco",
    "orderList.place.oto": "POST orderList/oto",
    "orderList.place.otoco": "POST orderList/otoco",
    "orderList.place.opo": "POST orderList/opo",
    "orderList.place.opoco": "POST orderList/opoco",
    "orderList.cancel": "DELETE orderList",
    "sor.order.place": "POST sor/order",
    "sor.order.test": "POST sor/order/test",
    # the account
    "order.status": "GET order",
    "order.amendments": "GET order/amendments",
    "openOrders.status": "GET openOrders",
    "allOrders": "GET allOrders",
    "orderList.status": "GET orderList",
    "openOrderLists.status": "GET openOrderList",
    "allOrderLists": "GET allOrderList",
    "myTrades": "GET myTrades",
    "myPreventedMatches": "GET myPreventedMatches",
    "myAllocations": "GET myAllocations",
    "myFilters": "GET myFilters",
    "account.status": "GET account",
    "account.commission": "GET account/commission",
    "account.rateLimits.orders": "GET rateLimit/order",
}
METHODS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        name: (verb, f"/api/v3/{path}")
        for name, (verb, path) in ((name, twin.split(" ")) for name, twin in _REST.items())
    }
)
"""method -> (HTTP method, path). One whose route is not served is refused like one that is not here."""


def plain(method: str) -> str:
    """Return the method's name without the version that may stand before it."""
    return method.removeprefix("v3/")
