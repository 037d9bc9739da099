"""What /openapi.json says of answers to accounts. Only the documents use these: nothing is decoded."""

# ruff: noqa: N815  (the names are those of the wire)
from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from ingest.documented_market import (
    Count,
    ExchangeFilter,
    Id,
    MaxAsset,
    Milliseconds,
    Money,
    Shape,
    SymbolFilter,
    any_of,
)
from schemas.orders import OrderStatus, OrderType, SelfTradePrevention, Side, TimeInForce

ClientId = Annotated[str, Meta(min_length=1, max_length=36)]
ListId = Annotated[int, Meta(ge=-1, description="-1: it is in no list")]
Since = Annotated[int, Meta(ge=-1, description="-1: it does not yet")]
ExpiryReason = Literal[
    "REJECTED",
    "EXCHANGE_CANCELED",
    "OCO_TRIGGER",
    "OTO_PHASE_ONE_EXPIRED",
    "UNFILLED_IOC_QUANTITY_EXPIRED",
    "UNFILLED_FOK_ORDER_EXPIRED",
    "INSUFFICIENT_LIQUIDITY",
    "EXECUTION_RULE_PRICE_RANGE_EXCEEDED",
]


# -- orders --------------------------------------------------------------------------------------------


class OrderAck(Shape):
    """`newOrderRespType=ACK`"""

    symbol: str
    orderId: Id
    orderListId: ListId
    clientOrderId: ClientId
    transactTime: Milliseconds


class OrderResult(OrderAck):
    """`newOrderRespType=RESULT`"""

    price: Money
    origQty: Money
    executedQty: Money
    origQuoteOrderQty: Money
    cummulativeQuoteQty: Money
    status: OrderStatus
    timeInForce: TimeInForce
    type: OrderType
    side: Side
    workingTime: Since
    selfTradePreventionMode: SelfTradePrevention
    stopPrice: Money | UnsetType = UNSET
    trailingDelta: Count | UnsetType = UNSET
    trailingTime: Since | UnsetType = UNSET
    icebergQty: Money | UnsetType = UNSET
    strategyId: int | UnsetType = UNSET
    strategyType: int | UnsetType = UNSET
    expiryReason: ExpiryReason | UnsetType = UNSET
    preventedMatchId: Id | UnsetType = UNSET
    preventedQuantity: Money | UnsetType = UNSET


class Fill(Shape):
    """One trade of a new order."""

    price: Money
    qty: Money
    commission: Money
    commissionAsset: str
    tradeId: Id


class OrderFull(OrderResult, kw_only=True):
    """`newOrderRespType=FULL`, which LIMIT and MARKET have without asking"""

    fills: list[Fill]


class CanceledOrder(Shape):
    """A canceled order; `clientOrderId` is the cancel's own."""

    symbol: str
    origClientOrderId: ClientId
    orderId: Id
    orderListId: ListId
    clientOrderId: ClientId
    transactTime: Milliseconds
    price: Money
    origQty: Money
    executedQty: Money
    origQuoteOrderQty: Money
    cummulativeQuoteQty: Money
    status: Literal["CANCELED"]
    timeInForce: TimeInForce
    type: OrderType
    side: Side
    selfTradePreventionMode: SelfTradePrevention
    stopPrice: Money | UnsetType = UNSET
    trailingDelta: Count | UnsetType = UNSET
    trailingTime: Since | UnsetType = UNSET
    icebergQty: Money | UnsetType = UNSET
    strategyId: int | UnsetType = UNSET
    strategyType: int | UnsetType = UNSET
    preventedQuantity: Money | UnsetType = UNSET


Report = Annotated[Any, Meta(extra_json_schema=any_of(OrderAck, OrderResult, OrderFull))]


class Order(Shape):
    """An order as it is now."""

    symbol: str
    orderId: Id
    orderListId: ListId
    clientOrderId: ClientId
    price: Money
    origQty: Money
    executedQty: Money
    cummulativeQuoteQty: Money
    status: OrderStatus
    timeInForce: TimeInForce
    type: OrderType
    side: Side
    stopPrice: Money
    icebergQty: Money
    time: Milliseconds
    updateTime: Milliseconds
    isWorking: bool
    workingTime: Since
    origQuoteOrderQty: Money
    selfTradePreventionMode: SelfTradePrevention
    trailingDelta: Count | UnsetType = UNSET
    trailingTime: Since | UnsetType = UNSET
    preventedQuantity: Money | UnsetType = UNSET
    strategyId: int | UnsetType = UNSET
    strategyType: int | UnsetType = UNSET
    expiryReason: ExpiryReason | UnsetType = UNSET


class Replaced(Shape):
    """An order canceled and another placed. What only half succeeded is a 409, what did not a 400."""

    cancelResult: Literal["SUCCESS"]
    newOrderResult: Literal["SUCCESS"]
    cancelResponse: CanceledOrder
    newOrderResponse: Report


class AmendedOrder(Shape):
    """An order as an amend left it."""

    symbol: str
    orderId: Id
    orderListId: ListId
    origClientOrderId: ClientId
    clientOrderId: ClientId
    price: Money
    qty: Money
    executedQty: Money
    preventedQty: Money
    quoteOrderQty: Money
    cumulativeQuoteQty: Money
    status: OrderStatus
    timeInForce: TimeInForce
    type: OrderType
    side: Side
    workingTime: Since
    selfTradePreventionMode: SelfTradePrevention


class Amended(Shape):
    """A lowered quantity."""

    transactTime: Milliseconds
    executionId: Id
    amendedOrder: AmendedOrder


class Amendment(Shape):
    """One of an order's amendments."""

    symbol: str
    orderId: Id
    executionId: Id
    origClientOrderId: ClientId
    newClientOrderId: ClientId
    origQty: Money
    newQty: Money
    time: Milliseconds


class PreventedMatch(Shape, kw_only=True):
    """A trade with oneself that did not happen."""

    symbol: str
    preventedMatchId: Id
    takerOrderId: Id
    makerSymbol: str
    makerOrderId: Id
    tradeGroupId: int
    selfTradePreventionMode: SelfTradePrevention
    price: Money
    makerPreventedQuantity: Money | UnsetType = UNSET
    takerPreventedQuantity: Money | UnsetType = UNSET
    transactTime: Milliseconds


# -- order lists ---------------------------------------------------------------------------------------


class OrderOfList(Shape):
    """Which order it is."""

    symbol: str
    orderId: Id
    clientOrderId: ClientId


class OrderList(Shape):
    """An order list as it is now."""

    orderListId: Id
    contingencyType: Literal["OCO", "OTO"]
    listStatusType: Literal["EXEC_STARTED", "ALL_DONE"]
    listOrderStatus: Literal["EXECUTING", "ALL_DONE", "REJECT"]
    listClientOrderId: ClientId
    transactionTime: Milliseconds
    symbol: str
    orders: list[OrderOfList]


class OrderListReport(OrderList):
    """A new order list and its orders."""

    orderReports: list[Report]


class CanceledOrderList(OrderList):
    """A canceled order list and its orders."""

    orderReports: list[CanceledOrder]


AnyCanceled = Annotated[Any, Meta(extra_json_schema=any_of(CanceledOrder, CanceledOrderList))]


# -- the account ---------------------------------------------------------------------------------------


class Rates(Shape):
    """Fees of a maker and a taker: `0.00100000` is a thousandth of what is received."""

    maker: Money
    taker: Money


class CommissionRates(Rates):
    """The same, and what is added by side."""

    buyer: Money
    seller: Money


class Discount(Shape):
    """No asset pays fees at a discount."""

    enabledForAccount: bool
    enabledForSymbol: bool
    discountAsset: str
    discount: Money


class Commission(Shape):
    """The account's fees on a symbol."""

    symbol: str
    standardCommission: CommissionRates
    specialCommission: CommissionRates
    taxCommission: CommissionRates
    discount: Discount


class CommissionOfOrder(Shape):
    """`computeCommissionRates=true`"""

    standardCommissionForOrder: Rates
    specialCommissionForOrder: Rates
    taxCommissionForOrder: Rates
    discount: Discount


class Balance(Shape):
    """What is free and what open orders hold."""

    asset: str
    free: Money
    locked: Money


class Account(Shape):
    """Balances and rights."""

    makerCommission: Count
    takerCommission: Count
    buyerCommission: Count
    sellerCommission: Count
    commissionRates: CommissionRates
    canTrade: bool
    canWithdraw: bool
    canDeposit: bool
    brokered: bool
    requireSelfTradePrevention: bool
    preventSor: bool
    updateTime: Milliseconds
    accountType: Literal["SPOT"]
    balances: list[Balance]
    permissions: list[str]
    uid: Id


class MyTrade(Shape):
    """The account's side of a trade."""

    symbol: str
    id: Id
    orderId: Id
    orderListId: ListId
    price: Money
    qty: Money
    quoteQty: Money
    commission: Money
    commissionAsset: str
    time: Milliseconds
    isBuyer: bool
    isMaker: bool
    isBestMatch: bool


class MyFilters(Shape):
    """The filters of the account's orders."""

    exchangeFilters: list[ExchangeFilter]
    symbolFilters: list[SymbolFilter]
    assetFilters: list[MaxAsset]


class ListenKey(Shape):
    """Where user data comes: the stream of this name, for an hour."""

    listenKey: Annotated[str, Meta(pattern="^[0-9A-Za-z]{60,64}$")]
