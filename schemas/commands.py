"""Commands: what somebody wants. Imperative names.

`order-requests` carries what ingest checked for form (PlaceOrder, CancelOrder, ReplaceOrder, ...);
`validated-orders` carries what the processor decided the matcher shall do (the MatcherCommands).
What each of those does to a book: docs/matching.md.
"""

from __future__ import annotations

from schemas.envelope import Envelope, Message
from schemas.orders import (
    CancelRestriction,
    MarketState,
    OrderListKind,
    OrderType,
    ReplaceMode,
    SelfTradePrevention,
    Side,
    TimeInForce,
)


class OrderRequest(Envelope, frozen=True, kw_only=True):
    """What every request of a client carries."""

    account_id: int
    symbol: str
    reply_partition: int | None = None
    """Partition of `order-replies` of the ingest worker that waits; None: nobody waits."""
    expires_at_ns: int | None = None
    """End of the client's receive window; the processor refuses the request after it."""


class PlaceOrder(OrderRequest, frozen=True, kw_only=True, tag="PlaceOrder.v1"):
    """Place one order. Exactly one of `quantity_lots` and `quote_quantity_minor` is set."""

    side: Side
    order_type: OrderType
    client_order_id: str
    time_in_force: TimeInForce = TimeInForce.GTC
    quantity_lots: int | None = None
    quote_quantity_minor: int | None = None
    """MARKET only: BUY spends at most this, SELL receives about this."""
    price_ticks: int | None = None
    """None for MARKET and the market stops."""
    stop_price_ticks: int | None = None
    """Stop types only; may be None when `trailing_delta_bips` is given."""
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    """Iceberg: the most that is shown at a time."""
    self_trade_prevention: SelfTradePrevention | None = None
    """None: the symbol's default."""
    strategy_id: int | None = None
    """A label of the client's own, given back with the order."""
    strategy_type: int | None = None


class RequestedOrder(Message, frozen=True, kw_only=True, tag="RequestedOrder.v1"):
    """An order inside another request; fields as in PlaceOrder."""

    side: Side
    order_type: OrderType
    client_order_id: str
    time_in_force: TimeInForce = TimeInForce.GTC
    quantity_lots: int | None = None
    """None for the pending legs of OPO and OPOCO: they sell what the working order received."""
    quote_quantity_minor: int | None = None
    price_ticks: int | None = None
    stop_price_ticks: int | None = None
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    self_trade_prevention: SelfTradePrevention | None = None
    strategy_id: int | None = None
    strategy_type: int | None = None


class PlaceOrderList(OrderRequest, frozen=True, kw_only=True, tag="PlaceOrderList.v1"):
    """Place an order list, with the legs in the order that OrderListKind names."""

    kind: OrderListKind
    client_order_id: str
    """The list's own client id."""
    legs: tuple[RequestedOrder, ...]


class CancelOrder(OrderRequest, frozen=True, kw_only=True, tag="CancelOrder.v1"):
    """Cancel one open order, named by `order_id`, `orig_client_order_id` or both (then they must agree)."""

    client_order_id: str
    """Id of the cancel itself."""
    order_id: int | None = None
    orig_client_order_id: str | None = None
    restriction: CancelRestriction | None = None


class CancelOrderList(OrderRequest, frozen=True, kw_only=True, tag="CancelOrderList.v1"):
    """Cancel an order list, named by `list_id`, `list_client_order_id` or both (then they must agree)."""

    client_order_id: str
    """Id of the cancel itself."""
    list_id: int | None = None
    list_client_order_id: str | None = None


class ReplaceOrder(OrderRequest, frozen=True, kw_only=True, tag="ReplaceOrder.v1"):
    """Cancel one order, then place another. The order to cancel is named as in CancelOrder."""

    client_order_id: str
    """Id of the cancel itself."""
    mode: ReplaceMode
    order: RequestedOrder
    cancel_order_id: int | None = None
    cancel_orig_client_order_id: str | None = None
    restriction: CancelRestriction | None = None


class AmendOrder(OrderRequest, frozen=True, kw_only=True, tag="AmendOrder.v1"):
    """Lower the quantity of an open order, named as in CancelOrder."""

    client_order_id: str
    """The order's client id from then on."""
    quantity_lots: int
    """The new whole quantity, what was executed included."""
    order_id: int | None = None
    orig_client_order_id: str | None = None


class CancelAllOrders(OrderRequest, frozen=True, kw_only=True, tag="CancelAllOrders.v1"):
    """Cancel every open order of the account on the symbol."""

    client_order_id: str
    """Id of the cancel itself."""


OPERATOR_ACCOUNT = 0
"""Account of requests that are nobody's order; it holds nothing."""


class RequestMarketState(OrderRequest, frozen=True, kw_only=True, tag="RequestMarketState.v1"):
    """The operator's: change what a symbol lets happen. `account_id` is OPERATOR_ACCOUNT."""

    state: MarketState
    until_ns: int | None = None
    """As in SetMarketState."""
    client_order_id: str = ""


class RequestTick(OrderRequest, frozen=True, kw_only=True, tag="RequestTick.v1"):
    """The matcher's: something of the symbol waits for a time. `account_id` is OPERATOR_ACCOUNT."""

    client_order_id: str = ""


class MatcherCommand(Envelope, frozen=True, kw_only=True):
    """What every command to the matcher carries.

    (`source_partition`, `source_offset`) is the request's place in `order-requests`. Per symbol and
    source partition the offsets rise; the matcher drops one that it has passed.
    """

    source_partition: int
    source_offset: int
    account_id: int
    symbol: str
    reply_partition: int | None = None


class EnterOrder(MatcherCommand, frozen=True, kw_only=True, tag="EnterOrder.v1"):
    """Match an accepted order, whose cost is already locked, and rest what may rest.

    `price_ticks` is the limit, or the collar of a MARKET order. For a BUY `reserved_minor` quote is
    locked (price x quantity, or the quote budget), for a SELL the base quantity.
    """

    order_id: int
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    client_order_id: str
    price_ticks: int
    reserved_minor: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    quantity_lots: int | None = None
    """None for a MARKET BUY by quote budget."""
    quote_budget_minor: int | None = None
    """MARKET by quote quantity. BUY: spend at most this. SELL: stop when this is received
    (`quantity_lots` is then the most that may be sold, which is what is locked)."""
    stop_price_ticks: int | None = None
    """Stop types only; may be None when `trailing_delta_bips` is given."""
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    """Iceberg: the most that is shown at a time."""
    self_trade_prevention: SelfTradePrevention | None = None
    """None: the symbol's default."""
    strategy_id: int | None = None
    strategy_type: int | None = None


class OrderTerms(Message, frozen=True, kw_only=True, tag="OrderTerms.v1"):
    """An order inside another command; fields as in EnterOrder. `reserved_minor` is what it costs alone."""

    order_id: int
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    client_order_id: str
    price_ticks: int
    reserved_minor: int
    quantity_lots: int | None = None
    """None for the pending legs of OPO and OPOCO: they sell what the working order received."""
    quote_budget_minor: int | None = None
    stop_price_ticks: int | None = None
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    self_trade_prevention: SelfTradePrevention | None = None
    strategy_id: int | None = None
    strategy_type: int | None = None


class EnterOrderList(MatcherCommand, frozen=True, kw_only=True, tag="EnterOrderList.v1"):
    """Enter an order list, with the legs in the order that OrderListKind names.

    Locked are `reserved_minor`: of an OCO the larger leg's need; of OTO and OTOCO the working leg's and
    the pending side's; of OPO and OPOCO the working leg's alone.
    """

    list_id: int
    kind: OrderListKind
    client_order_id: str
    """The list's own client id."""
    reserved_minor: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    legs: tuple[OrderTerms, ...]


class CancelRestingOrder(MatcherCommand, frozen=True, kw_only=True, tag="CancelRestingOrder.v1"):
    """Cancel one open order: resting, waiting for its trigger or for its list. A leg takes its list along."""

    order_id: int
    client_order_id: str
    """Id of the cancel itself."""
    restriction: CancelRestriction | None = None


class CancelRestingOrders(MatcherCommand, frozen=True, kw_only=True, tag="CancelRestingOrders.v1"):
    """Cancel all of the account on the symbol, oldest first."""

    client_order_id: str


class CancelRestingList(MatcherCommand, frozen=True, kw_only=True, tag="CancelRestingList.v1"):
    """Cancel every open leg of an order list."""

    list_id: int
    client_order_id: str
    """Id of the cancel itself."""


class ReplaceRestingOrder(MatcherCommand, frozen=True, kw_only=True, tag="ReplaceRestingOrder.v1"):
    """Cancel one order, then enter another, in one record.

    `reserved_minor` is what was newly locked for the new order; what the canceled one sets free on the
    same asset pays for the rest of it.
    """

    cancel_order_id: int
    client_order_id: str
    """Id of the cancel itself."""
    mode: ReplaceMode
    order: OrderTerms
    reserved_minor: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    restriction: CancelRestriction | None = None


class AmendRestingOrder(MatcherCommand, frozen=True, kw_only=True, tag="AmendRestingOrder.v1"):
    """Lower the quantity of an open order; it keeps its place."""

    order_id: int
    quantity_lots: int
    """The new whole quantity, what was executed included."""
    client_order_id: str
    """The order's client id from now on."""


class MoveRestingOrder(MatcherCommand, frozen=True, kw_only=True, tag="MoveRestingOrder.v1"):
    """Give a resting order another price or quantity. It keeps its ids and goes to the end of its queue,
    unless only the quantity falls."""

    order_id: int
    client_order_id: str
    """Id of the move itself."""
    price_ticks: int | None = None
    quantity_lots: int | None = None
    """The new whole quantity, what was executed included."""
    reserved_minor: int = 0
    """What was newly locked for it."""


class SetMarketState(MatcherCommand, frozen=True, kw_only=True, tag="SetMarketState.v1"):
    """Change what a symbol lets happen. To TRADING: a crossed book is uncrossed first."""

    state: MarketState
    until_ns: int | None = None
    """HALT: then comes an auction. AUCTION: then it is uncrossed. None: until the next SetMarketState."""
    client_order_id: str = ""


class Tick(MatcherCommand, frozen=True, kw_only=True, tag="Tick.v1"):
    """Only says what time it is (`occurred_at_ns`): ends what was to end by then."""

    client_order_id: str = ""


ORDER_REQUESTS = (
    PlaceOrder
    | PlaceOrderList
    | CancelOrder
    | CancelAllOrders
    | CancelOrderList
    | ReplaceOrder
    | AmendOrder
    | RequestMarketState
    | RequestTick
)
VALIDATED_ORDERS = (
    EnterOrder
    | EnterOrderList
    | CancelRestingOrder
    | CancelRestingOrders
    | CancelRestingList
    | ReplaceRestingOrder
    | AmendRestingOrder
    | MoveRestingOrder
    | SetMarketState
    | Tick
)
