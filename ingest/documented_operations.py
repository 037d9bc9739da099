"""What /openapi.json says of every operation: summary, parameters, a request that works, what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from ingest import documented_market as market
from ingest import documented_orders as orders
from ingest.documented_parameters import of_lists, told
from ingest.order_list_form import OLD_OCO_PARAMETERS, PARAMETERS
from schemas.orders import OrderListKind


class Doc(NamedTuple):
    summary: str
    answer: tuple[Any, ...]
    """One shape, or several of which the answer is one."""
    parameters: tuple[str, ...] = ()
    """`!` after those that are mandatory."""
    signed: bool = False
    example: Mapping[str, Any] = MappingProxyType({})
    """What the example says besides, or otherwise than, the mandatory parameters."""
    needs_key: bool = False
    """Whether an API key is enough, nothing signed."""

    @property
    def request(self) -> dict[str, Any]:
        """Return the example of a request, without what signs it."""
        names = [name.rstrip("!") for name in self.parameters if name.endswith("!")]
        return {name: told(name).example for name in names} | dict(self.example)


_ORDER = (
    *("symbol!", "side!", "type!", "timeInForce", "quantity", "quoteOrderQty", "price"),
    *("stopPrice", "trailingDelta", "icebergQty", "newClientOrderId", "newOrderRespType"),
    *("selfTradePreventionMode", "strategyId", "strategyType"),
)
_REPLACE = (
    *("symbol!", "side!", "type!", "cancelReplaceMode!", "cancelOrderId", "cancelOrigClientOrderId"),
    *("cancelNewClientOrderId", "cancelRestrictions", "orderRateLimitExceededMode", *_ORDER[3:]),
)
_ONE_ORDER = ("symbol!", "orderId", "origClientOrderId")
_PAGE = ("startTime", "endTime", "limit")
_SYMBOLS = ("symbol", "symbols")
_BUY = {"timeInForce": "GTC", "quantity": "0.010000", "price": "30000.00"}
_BTCUSDT = {"symbol": "BTCUSDT"}
_ORDER_ID = {"orderId": 1025}
_LIST_ID = {"orderListId": 769}
_BRACKET = {
    **{"aboveType": "LIMIT_MAKER", "abovePrice": "35000.00"},
    **{"belowType": "STOP_LOSS", "belowStopPrice": "25000.00"},
}
_WORKING = {"workingPrice": "20000.00", "workingTimeInForce": "GTC"}
_PENDING = {"pendingSide": "SELL", "pendingPrice": "40000.00", "pendingTimeInForce": "GTC"}
_PENDING_PAIR = {
    **{"pendingSide": "SELL", "pendingAboveType": "LIMIT_MAKER", "pendingAbovePrice": "40000.00"},
    **{"pendingBelowType": "STOP_LOSS", "pendingBelowStopPrice": "15000.00"},
}
_LISTS: Final[Mapping[OrderListKind, tuple[str, dict[str, Any]]]] = MappingProxyType(
    {
        OrderListKind.OCO: ("Place two orders of which one cancels the other", {"side": "SELL", **_BRACKET}),
        OrderListKind.OTO: (
            "Place an order that places another when it is filled",
            {**_WORKING, **_PENDING},
        ),
        OrderListKind.OTOCO: (
            "Place an order that places an OCO when it is filled",
            {**_WORKING, **_PENDING_PAIR},
        ),
        OrderListKind.OPO: ("Buy, then sell what was bought", {**_WORKING, **_PENDING}),
        OrderListKind.OPOCO: ("Buy, then sell what was bought by an OCO", {**_WORKING, **_PENDING_PAIR}),
    }
)
_WINDOWS = (market.WindowTicker, market.MiniTicker, list[market.WindowTicker], list[market.MiniTicker])
_DAYS = (market.DayTicker, market.MiniTicker, list[market.DayTicker], list[market.MiniTicker])
_REPORTS = (orders.OrderAck, orders.OrderResult, orders.OrderFull)
_TRADING: Final = {
    ("POST", "/api/v3/order"): Doc("Place an order", _REPORTS, _ORDER, True, _BUY),
    ("POST", "/api/v3/order/test"): Doc(
        "Check an order, place nothing",
        (market.Nothing, orders.CommissionOfOrder),
        (*_ORDER, "computeCommissionRates"),
        True,
        {**_BUY, "computeCommissionRates": True},
    ),
    ("GET", "/api/v3/order"): Doc("One order", (orders.Order,), _ONE_ORDER, True, _ORDER_ID),
    ("DELETE", "/api/v3/order"): Doc(
        "Cancel an order",
        (orders.CanceledOrder,),
        (*_ONE_ORDER, "newClientOrderId", "cancelRestrictions"),
        True,
        _ORDER_ID,
    ),
    ("POST", "/api/v3/order/cancelReplace"): Doc(
        "Cancel an order, place another",
        (orders.Replaced,),
        _REPLACE,
        True,
        {**_BUY, "price": "21000.00", "cancelOrderId": 1025},
    ),
    ("PUT", "/api/v3/order/amend/keepPriority"): Doc(
        "Lower an order's quantity",
        (orders.Amended,),
        (*_ONE_ORDER, "newQty!", "newClientOrderId"),
        True,
        _ORDER_ID,
    ),
    ("GET", "/api/v3/order/amendments"): Doc(
        "An order's amendments",
        (list[orders.Amendment],),
        ("symbol!", "orderId!", "fromExecutionId", "limit"),
        True,
    ),
    ("GET", "/api/v3/myPreventedMatches"): Doc(
        "Trades with oneself that did not happen",
        (list[orders.PreventedMatch],),
        ("symbol!", "preventedMatchId", "orderId", "fromPreventedMatchId", "limit"),
        True,
        _ORDER_ID,
    ),
    **{
        ("POST", f"/api/v3/orderList/{kind.lower()}"): Doc(
            summary, (orders.OrderListReport,), of_lists(PARAMETERS[kind]), True, example
        )
        for kind, (summary, example) in _LISTS.items()
    },
    ("POST", "/api/v3/order/oco"): Doc(
        "Place an OCO, the old way",
        (orders.OrderListReport,),
        of_lists(OLD_OCO_PARAMETERS),
        True,
        {"side": "SELL", "price": "35000.00", "stopPrice": "25000.00"},
    ),
    ("DELETE", "/api/v3/orderList"): Doc(
        "Cancel an order list",
        (orders.CanceledOrderList,),
        ("symbol!", "orderListId", "listClientOrderId", "newClientOrderId"),
        True,
        _LIST_ID,
    ),
    ("GET", "/api/v3/orderList"): Doc(
        "One order list", (orders.OrderList,), ("orderListId", "origClientOrderId"), True, _LIST_ID
    ),
    ("GET", "/api/v3/allOrderList"): Doc(
        "Order lists, open and ended", (list[orders.OrderList],), ("fromId", *_PAGE), True
    ),
    ("GET", "/api/v3/openOrderList"): Doc("Open order lists", (list[orders.OrderList],), (), True),
    ("GET", "/api/v3/openOrders"): Doc("Open orders", (list[orders.Order],), ("symbol",), True, _BTCUSDT),
    ("DELETE", "/api/v3/openOrders"): Doc(
        "Cancel every open order on a symbol",
        (list[orders.AnyCanceled],),
        ("symbol!",),
        True,
    ),
    ("GET", "/api/v3/allOrders"): Doc(
        "Orders, open and ended", (list[orders.Order],), ("symbol!", "orderId", *_PAGE), True
    ),
    ("GET", "/api/v3/myTrades"): Doc(
        "The account's trades", (list[orders.MyTrade],), ("symbol!", "orderId", "fromId", *_PAGE), True
    ),
}
_ACCOUNT: Final = {
    ("GET", "/api/v3/account"): Doc(
        "Balances and fees", (orders.Account,), ("omitZeroBalances",), True, {"omitZeroBalances": True}
    ),
    ("GET", "/api/v3/account/commission"): Doc(
        "The account's fees", (orders.Commission,), ("symbol!",), True
    ),
    ("GET", "/api/v3/myFilters"): Doc(
        "The filters of the account's orders", (orders.MyFilters,), ("symbol!",), True
    ),
    ("GET", "/api/v3/myAllocations"): Doc("Always empty", (market.NoRows,), ("symbol!",), True),
    ("GET", "/api/v3/rateLimit/order"): Doc(
        "How many orders were counted", (list[market.OrderCount],), (), True
    ),
    ("POST", "/api/v3/userDataStream"): Doc(
        "A listen key, the old way to user data", (orders.ListenKey,), needs_key=True
    ),
    ("PUT", "/api/v3/userDataStream"): Doc(
        "Keep a listen key alive", (market.Nothing,), ("listenKey!",), needs_key=True
    ),
    ("DELETE", "/api/v3/userDataStream"): Doc(
        "End a listen key", (market.Nothing,), ("listenKey!",), needs_key=True
    ),
}
_MARKET: Final = {
    ("GET", "/api/v3/ping"): Doc("Is the exchange there?", (market.Nothing,)),
    ("GET", "/api/v3/time"): Doc("The exchange's clock", (market.ServerTime,)),
    ("GET", "/api/v3/exchangeInfo"): Doc(
        "Symbols, filters, limits",
        (market.ExchangeInfo,),
        (*_SYMBOLS, "symbolStatus", "permissions", "showPermissionSets"),
        example=_BTCUSDT,
    ),
    ("GET", "/api/v3/executionRules"): Doc(
        "Always empty", (market.ExecutionRules,), _SYMBOLS, example=_BTCUSDT
    ),
    ("GET", "/api/v3/historicalBlockTrades"): Doc("Always empty", (market.NoRows,), ("symbol!",)),
    ("GET", "/api/v3/depth"): Doc(
        "The order book", (market.Book,), ("symbol!", "limit", "symbolStatus"), example={"limit": 5}
    ),
    ("GET", "/api/v3/trades"): Doc(
        "The newest trades", (list[market.Trade],), ("symbol!", "limit"), example={"limit": 1}
    ),
    ("GET", "/api/v3/historicalTrades"): Doc(
        "Older trades",
        (list[market.Trade],),
        ("symbol!", "limit", "fromId"),
        example={"limit": 1, "fromId": 1},
    ),
    ("GET", "/api/v3/aggTrades"): Doc(
        "Trades, aggregated",
        (list[market.AggregateTrade],),
        ("symbol!", "fromId", *_PAGE),
        example={"limit": 1},
    ),
    **{
        ("GET", f"/api/v3/{path}"): Doc(
            summary,
            (list[market.Kline],),
            ("symbol!", "interval!", "timeZone", *_PAGE),
            example={"limit": 1},
        )
        for path, summary in (("klines", "Candles"), ("uiKlines", "Candles for charts"))
    },
    ("GET", "/api/v3/avgPrice"): Doc(
        "The average price of five minutes", (market.AveragePrice,), ("symbol!",)
    ),
    ("GET", "/api/v3/ticker"): Doc(
        "Statistics of a rolling window",
        _WINDOWS,
        (*_SYMBOLS, "windowSize", "tickerType", "symbolStatus"),
        example={**_BTCUSDT, "windowSize": "1h"},
    ),
    ("GET", "/api/v3/ticker/tradingDay"): Doc(
        "Statistics of a day",
        _WINDOWS,
        (*_SYMBOLS, "timeZone", "tickerType", "symbolStatus"),
        example=_BTCUSDT,
    ),
    ("GET", "/api/v3/ticker/24hr"): Doc(
        "Statistics of 24 hours",
        _DAYS,
        (*_SYMBOLS, "tickerType", "symbolStatus"),
        example=_BTCUSDT,
    ),
    ("GET", "/api/v3/ticker/price"): Doc(
        "The last price",
        (market.LastPrice, list[market.LastPrice]),
        (*_SYMBOLS, "symbolStatus"),
        example=_BTCUSDT,
    ),
    ("GET", "/api/v3/ticker/bookTicker"): Doc(
        "The best prices",
        (market.BookTicker, list[market.BookTicker]),
        (*_SYMBOLS, "symbolStatus"),
        example=_BTCUSDT,
    ),
}
DOCS: Final[Mapping[tuple[str, str], Doc]] = MappingProxyType({**_MARKET, **_ACCOUNT, **_TRADING})
