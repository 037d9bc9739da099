"""What /openapi.json says of answers about the market. Only the documents use these: nothing is decoded."""

# ruff: noqa: N815  (the names are those of the wire)
from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from schemas.orders import OrderType, SelfTradePrevention

Money = Annotated[str, Meta(pattern=r"^-?[0-9]+\.[0-9]{8}$", description="A decimal with eight places")]
Percent = Annotated[str, Meta(pattern=r"^-?[0-9]+\.[0-9]{3}$", description="A percentage, three places")]
Multiplier = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?$")]
Milliseconds = Annotated[
    int, Meta(ge=0, description="Since 1970; microseconds if `X-MBX-TIME-UNIT` asks for them")
]
Count = Annotated[int, Meta(ge=0)]
Id = Annotated[int, Meta(ge=1, lt=2**53)]
Limit = Annotated[int, Meta(ge=1)]
SHAPES: Final = "#/components/schemas/{name}"


def any_of(*shapes: type) -> dict[str, Any]:
    """Return the schema of an answer that is one of these."""
    return {"anyOf": [{"$ref": SHAPES.format(name=shape.__name__)} for shape in shapes]}


class Shape(Struct, forbid_unknown_fields=True):
    """An object with these fields and no other."""


NoRows = Annotated[list[Any], Meta(max_length=0)]


class Nothing(Shape):
    """Nothing but that it was done."""


class ServerTime(Shape):
    """The exchange's clock."""

    serverTime: Milliseconds


class RateLimit(Shape):
    """How much may be asked in one interval."""

    rateLimitType: Literal["REQUEST_WEIGHT", "ORDERS", "RAW_REQUESTS"]
    interval: Literal["SECOND", "MINUTE", "DAY"]
    intervalNum: Limit
    limit: Count


class OrderCount(RateLimit):
    """How much was asked in the interval that runs."""

    count: Count


# -- filters: told apart by `filterType` ---------------------------------------------------------------


class PriceFilter(Shape, tag_field="filterType", tag="PRICE_FILTER"):
    """Prices in range and on a tick."""

    minPrice: Money
    maxPrice: Money
    tickSize: Money


class PercentPriceBySide(Shape, tag_field="filterType", tag="PERCENT_PRICE_BY_SIDE"):
    """Prices not too far from the last ones."""

    bidMultiplierUp: Multiplier
    bidMultiplierDown: Multiplier
    askMultiplierUp: Multiplier
    askMultiplierDown: Multiplier
    avgPriceMins: Count


class LotSize(Shape, tag_field="filterType", tag="LOT_SIZE"):
    """Quantities in range and whole lots."""

    minQty: Money
    maxQty: Money
    stepSize: Money


class MarketLotSize(LotSize, tag="MARKET_LOT_SIZE"):
    """The same for market orders."""


class Notional(Shape, tag_field="filterType", tag="NOTIONAL"):
    """Price times quantity in range."""

    minNotional: Money
    applyMinToMarket: bool
    maxNotional: Money
    applyMaxToMarket: bool
    avgPriceMins: Count


class IcebergParts(Shape, tag_field="filterType", tag="ICEBERG_PARTS"):
    """Into how many parts an iceberg may be cut."""

    limit: Count


class TrailingDelta(Shape, tag_field="filterType", tag="TRAILING_DELTA"):
    """How closely a stop may trail the price, in hundredths of a percent."""

    minTrailingAboveDelta: Count
    maxTrailingAboveDelta: Count
    minTrailingBelowDelta: Count
    maxTrailingBelowDelta: Count


class MaxNumOrders(Shape, tag_field="filterType", tag="MAX_NUM_ORDERS"):
    """Open orders of an account on a symbol."""

    maxNumOrders: Count


class MaxNumAlgoOrders(Shape, tag_field="filterType", tag="MAX_NUM_ALGO_ORDERS"):
    """Those of them that wait for a price."""

    maxNumAlgoOrders: Count


class MaxNumIcebergOrders(Shape, tag_field="filterType", tag="MAX_NUM_ICEBERG_ORDERS"):
    """Those of them that are icebergs."""

    maxNumIcebergOrders: Count


class MaxNumOrderLists(Shape, tag_field="filterType", tag="MAX_NUM_ORDER_LISTS"):
    """Open order lists of an account on a symbol."""

    maxNumOrderLists: Count


class MaxNumOrderAmends(Shape, tag_field="filterType", tag="MAX_NUM_ORDER_AMENDS"):
    """How often one order may be amended."""

    maxNumOrderAmends: Count


class MaxPosition(Shape, tag_field="filterType", tag="MAX_POSITION"):
    """How much of the base asset an account may hold and have ordered."""

    maxPosition: Money


SymbolFilter = (
    PriceFilter
    | PercentPriceBySide
    | LotSize
    | MarketLotSize
    | Notional
    | IcebergParts
    | TrailingDelta
    | MaxNumOrders
    | MaxNumAlgoOrders
    | MaxNumIcebergOrders
    | MaxNumOrderLists
    | MaxNumOrderAmends
    | MaxPosition
)


class ExchangeMaxNumOrders(MaxNumOrders, tag="EXCHANGE_MAX_NUM_ORDERS"):
    """Open orders of an account on all symbols."""


class ExchangeMaxNumAlgoOrders(MaxNumAlgoOrders, tag="EXCHANGE_MAX_NUM_ALGO_ORDERS"):
    """Those of them that wait for a price."""


class ExchangeMaxNumIcebergOrders(MaxNumIcebergOrders, tag="EXCHANGE_MAX_NUM_ICEBERG_ORDERS"):
    """Those of them that are icebergs."""


class ExchangeMaxNumOrderLists(MaxNumOrderLists, tag="EXCHANGE_MAX_NUM_ORDER_LISTS"):
    """Open order lists of an account on all symbols."""


class MaxAsset(Shape, tag_field="filterType", tag="MAX_ASSET"):
    """How much of an asset one order may move."""

    asset: str
    limit: Money


ExchangeFilter = (
    ExchangeMaxNumOrders | ExchangeMaxNumAlgoOrders | ExchangeMaxNumIcebergOrders | ExchangeMaxNumOrderLists
)


class SymbolInfo(Shape):
    """What may be traded, and how."""

    symbol: str
    status: Literal["TRADING", "HALT", "BREAK", "END_OF_DAY", "CANCEL_ONLY"]
    baseAsset: str
    baseAssetPrecision: Count
    quoteAsset: str
    quotePrecision: Count
    quoteAssetPrecision: Count
    baseCommissionPrecision: Count
    quoteCommissionPrecision: Count
    orderTypes: list[OrderType]
    icebergAllowed: bool
    ocoAllowed: bool
    otoAllowed: bool
    opoAllowed: bool
    quoteOrderQtyMarketAllowed: bool
    allowTrailingStop: bool
    cancelReplaceAllowed: bool
    amendAllowed: bool
    pegInstructionsAllowed: bool
    isSpotTradingAllowed: bool
    isMarginTradingAllowed: bool
    filters: list[SymbolFilter]
    permissions: list[str]
    permissionSets: list[list[str]]
    defaultSelfTradePreventionMode: SelfTradePrevention
    allowedSelfTradePreventionModes: list[SelfTradePrevention]


class ExchangeInfo(Shape):
    """Symbols, filters and limits."""

    timezone: Literal["UTC"]
    serverTime: Milliseconds
    rateLimits: list[RateLimit]
    exchangeFilters: list[ExchangeFilter]
    symbols: list[SymbolInfo]


class ExecutionRules(Shape):
    """No symbol has any."""

    symbolRules: NoRows


# -- the book, trades, candles, tickers ----------------------------------------------------------------

Level = tuple[Money, Money]
"""Price and quantity."""


class Book(Shape):
    """The order book, the best prices first."""

    lastUpdateId: Count
    bids: list[Level]
    asks: list[Level]


class Trade(Shape):
    """One trade."""

    id: Id
    price: Money
    qty: Money
    quoteQty: Money
    time: Milliseconds
    isBuyerMaker: bool
    isBestMatch: bool


class AggregateTrade(Shape):
    """The trades of one taker order at one price."""

    a: Annotated[int, Meta(ge=1, description="Its id")]
    p: Annotated[Money, Meta(description="Price")]
    q: Annotated[Money, Meta(description="Quantity")]
    f: Annotated[int, Meta(ge=1, description="First trade")]
    l: Annotated[int, Meta(ge=1, description="Last trade")]  # noqa: E741
    T: Milliseconds
    m: Annotated[bool, Meta(description="Whether the buyer was the maker")]
    M: bool


Kline = tuple[
    Milliseconds, Money, Money, Money, Money, Money, Milliseconds, Money, Count, Money, Money, Literal["0"]
]
"""Open time, open, high, low, close, volume, close time, quote volume, trades, taker's base and quote, 0."""


class AveragePrice(Shape):
    """The mean price of the last minutes."""

    mins: Limit
    price: Money
    closeTime: Milliseconds


class MiniTicker(Shape):
    """Statistics of a window, in short."""

    symbol: str
    openPrice: Money
    highPrice: Money
    lowPrice: Money
    lastPrice: Money
    volume: Money
    quoteVolume: Money
    openTime: Milliseconds
    closeTime: Milliseconds
    firstId: Annotated[int, Meta(ge=-1)]
    lastId: Annotated[int, Meta(ge=-1)]
    count: Count


class WindowTicker(MiniTicker):
    """Statistics of a window."""

    priceChange: Money
    priceChangePercent: Percent
    weightedAvgPrice: Money


class DayTicker(WindowTicker):
    """Statistics of the last 24 hours."""

    prevClosePrice: Money
    lastQty: Money
    bidPrice: Money
    bidQty: Money
    askPrice: Money
    askQty: Money


class LastPrice(Shape):
    """The price of the last trade."""

    symbol: str
    price: Money


class BookTicker(Shape):
    """The best prices."""

    symbol: str
    bidPrice: Money
    bidQty: Money
    askPrice: Money
    askQty: Money
