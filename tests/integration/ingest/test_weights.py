"""What each request weighs, by the header that tells it: the weights that clients of Binance reckon with."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.integration.ingest.exchange import Exchange, Trader, early_in_a_minute

pytestmark = pytest.mark.long
S = "symbol=BTCUSDT"
FIVE = 'symbols=["BTCUSDT","ETHUSDT"]'
PUBLIC = f"""
ping                                 1
time                                 1
exchangeInfo                         20
depth?{S}                            5
depth?{S}&limit=100                  5
depth?{S}&limit=101                  25
depth?{S}&limit=500                  25
depth?{S}&limit=1000                 50
depth?{S}&limit=1001                 250
depth?{S}&limit=5000                 250
trades?{S}                           25
historicalTrades?{S}                 25
aggTrades?{S}                        4
klines?{S}&interval=1m               2
uiKlines?{S}&interval=1m             2
avgPrice?{S}                         2
ticker/24hr?{S}                      2
ticker/24hr?{FIVE}                   2
ticker/24hr                          80
ticker/price?{S}                     2
ticker/price?{FIVE}                  4
ticker/price                         4
ticker/bookTicker?{S}                2
ticker/bookTicker                    4
ticker?{S}                           4
ticker?{FIVE}                        8
ticker/tradingDay?{S}                4
ticker/tradingDay?{FIVE}             8
"""
SIGNED = f"""
POST   order/test       {S}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=20000                              1
POST   order/test       {S}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=20000&computeCommissionRates=true  20
POST   order            {S}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.1&price=20000                            1
GET    order            {S}&orderId=1       4
DELETE order            {S}&orderId=1       1
DELETE openOrders       {S}                 1
POST   order/cancelReplace {S}&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.1&price=20000&cancelReplaceMode=STOP_ON_FAILURE&cancelOrderId=1  1
GET    openOrders       {S}                 6
GET    openOrders       -                   80
GET    allOrders        {S}                 20
GET    myTrades         {S}                 20
GET    myTrades         {S}&orderId=1       5
GET    account          -                   20
GET    rateLimit/order  -                   40
PUT    order/amend/keepPriority {S}&orderId=1&newQty=0.01    4
GET    order/amendments {S}&orderId=1       4
DELETE orderList        {S}&orderListId=1   1
GET    orderList        orderListId=1       4
GET    allOrderList     -                   20
GET    openOrderList    -                   6
GET    myPreventedMatches {S}&preventedMatchId=1  2
GET    myPreventedMatches {S}&orderId=1     20
GET    account/commission {S}               20
GET    myFilters        {S}                 40
GET    myAllocations    {S}                 20
"""  # noqa: E501


def used(answer: httpx.Response) -> int:
    assert answer.status_code < 500, answer.text
    return int(answer.headers["x-mbx-used-weight-1m"])


def weighed(exchange: Exchange, ask: Callable[[], httpx.Response]) -> int:
    """What a request weighs."""
    early_in_a_minute()
    before = used(exchange.http.get(f"{exchange.base}/api/v3/ping"))
    return used(ask()) - before


@pytest.mark.parametrize("line", PUBLIC.strip().splitlines())
def test_a_public_request_weighs_what_is_said(exchange: Exchange, line: str) -> None:
    path, weight = line.split()
    url = f"{exchange.base}/api/v3/{path}"
    assert weighed(exchange, lambda: exchange.http.get(url)) == int(weight)


@pytest.mark.parametrize("line", SIGNED.strip().splitlines())
def test_a_signed_request_weighs_what_is_said(exchange: Exchange, trader: Trader, line: str) -> None:
    method, path, query, weight = line.split()
    sent = dict(pair.split("=") for pair in query.split("&")) if query != "-" else {}
    assert weighed(exchange, lambda: trader.call(method, path, **sent)) == int(weight)


@pytest.fixture(scope="module")
def trader(exchange: Exchange) -> Trader:
    return exchange.trader(USDT="1000000", BTC="10")
