"""Requests as read from `order-requests`, and what makes one a poison record.

The verdict is a function of the record and of the two declarations (topics, instruments) alone.
"""

from __future__ import annotations

import re

import msgspec

from processor.reservations import Terms
from schemas.codec import InvalidMessage, decoder_for_union
from schemas.commands import (
    OPERATOR_ACCOUNT,
    ORDER_REQUESTS,
    AmendOrder,
    CancelAllOrders,
    CancelOrder,
    CancelOrderList,
    PlaceOrder,
    PlaceOrderList,
    ReplaceOrder,
    RequestedOrder,
    RequestMarketState,
    RequestTick,
)
from schemas.money import MAX_AMOUNT
from schemas.orders import MARKET_TYPES, STOP_TYPES, OrderListKind, OrderType, Side, TimeInForce
from schemas.reasons import PoisonReason
from schemas.topics import ORDER_REPLIES, TopicMap
from service_runtime.event_log import Record

OfMarket = RequestMarketState | RequestTick
"""No order of an account: passed on to the matcher as it is."""
OfAccount = (
    PlaceOrder | PlaceOrderList | CancelOrder | CancelAllOrders | CancelOrderList | ReplaceOrder | AmendOrder
)
Request = OfAccount | OfMarket

_decode = decoder_for_union(ORDER_REQUESTS)
_CLIENT_ORDER_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
_SYMBOL = re.compile(r"[A-Z0-9]{1,20}", re.ASCII)
_MAX_ID = 2**53
_MAX_DELTA = 9_999
PAYING_THEMSELVES = (OrderListKind.OPO, OrderListKind.OPOCO)
_LEGS = {
    OrderListKind.OCO: 2,
    OrderListKind.OTO: 2,
    OrderListKind.OTOCO: 3,
    OrderListKind.OPO: 2,
    OrderListKind.OPOCO: 3,
}
_PAIRS = {OrderListKind.OCO: 0, OrderListKind.OTOCO: 1, OrderListKind.OPOCO: 1}
"""Where the OCO pair of a list begins."""
_TAKING = (OrderType.LIMIT_MAKER, OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
_STOPPING = (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)


class Received(msgspec.Struct, frozen=True, gc=False):
    """A request and its place in `order-requests`, which is its identity."""

    partition: int
    offset: int
    request: Request


class Poison(msgspec.Struct, frozen=True, gc=False):
    """A record that nobody can act on."""

    record: Record
    reason: PoisonReason
    detail: str


def read_request(record: Record, topics: TopicMap) -> Received | Poison:
    """Decode one record and check what ingest can never have sent. Raises NewerMessage."""
    try:
        request: Request = _decode(record.value)
    except InvalidMessage as error:
        return Poison(record, "decode_error", str(error))
    if isinstance(request, OfMarket):
        problem = _impossible_for_market(request, topics)
    else:
        problem = _impossible(request, topics.topics[ORDER_REPLIES].partitions)
    if problem is not None:
        return Poison(record, "validation_error", problem)
    expected = topics.partition_of_account(request.account_id)
    if expected != record.partition:
        detail = f"account {request.account_id} belongs to partition {expected}"
        return Poison(record, "wrong_partition", detail)
    return Received(record.partition, record.offset, request)


def _impossible_for_market(request: OfMarket, topics: TopicMap) -> str | None:
    if request.account_id != OPERATOR_ACCOUNT or request.reply_partition is not None:
        return "a request for a market is nobody's order"
    if request.symbol not in topics.symbols:
        return "unknown symbol"
    until_ns = request.until_ns if isinstance(request, RequestMarketState) else None
    if until_ns is not None and not 0 < until_ns <= MAX_AMOUNT:
        return "until_ns is out of range"
    return None


def _impossible(request: OfAccount, reply_partitions: int) -> str | None:
    """Return what cannot be about the values of a request, else None."""
    reply = request.reply_partition
    if not 0 < request.account_id <= MAX_AMOUNT:
        return "account_id is out of range"
    if _SYMBOL.fullmatch(request.symbol) is None:
        return "symbol is malformed"
    if _CLIENT_ORDER_ID.fullmatch(request.client_order_id) is None:
        return "client_order_id is malformed"
    if reply is not None and not 0 <= reply < reply_partitions:
        return "reply_partition does not exist"
    return _impossible_order(request) if isinstance(request, PlaceOrder) else _impossible_other(request)


def _impossible_other(request: OfAccount) -> str | None:
    if isinstance(request, CancelOrder | AmendOrder):
        if isinstance(request, AmendOrder) and not 0 < request.quantity_lots <= MAX_AMOUNT:
            return "quantity_lots is out of range"
        return _impossible_name(request.order_id, request.orig_client_order_id)
    if isinstance(request, ReplaceOrder):
        named = _impossible_name(request.cancel_order_id, request.cancel_orig_client_order_id)
        return named or _impossible_leg(request.order)
    if isinstance(request, CancelOrderList):
        return _impossible_name(request.list_id, request.list_client_order_id)
    return _impossible_list(request) if isinstance(request, PlaceOrderList) else None


def _impossible_leg(order: RequestedOrder, unpaid: bool = False) -> str | None:
    if _CLIENT_ORDER_ID.fullmatch(order.client_order_id) is None:
        return "client_order_id is malformed"
    return _impossible_order(order, unpaid)


def _impossible_order(order: Terms, unpaid: bool = False) -> str | None:
    """`unpaid`: a pending leg of OPO or OPOCO, which has no quantity yet."""
    amounts = (order.quantity_lots, order.quote_quantity_minor, order.price_ticks, order.stop_price_ticks)
    for amount in (*amounts, order.display_lots):
        if amount is not None and not 0 < amount <= MAX_AMOUNT:
            return "an amount is not positive or does not fit 63 bits"
    named = (order.quantity_lots is not None) + (order.quote_quantity_minor is not None)
    if named != (0 if unpaid else 1):
        return "exactly one of quantity_lots and quote_quantity_minor must be set"
    if (order.order_type in MARKET_TYPES) != (order.price_ticks is None):
        return "a market order has no price, every other order has one"
    if order.order_type is not OrderType.MARKET and order.quote_quantity_minor is not None:
        return "only a market order may name a quote quantity"
    if order.order_type is OrderType.LIMIT_MAKER and order.time_in_force is not TimeInForce.GTC:
        return "LIMIT_MAKER is GTC"
    return _impossible_trigger(order) or _impossible_iceberg(order)


def _impossible_trigger(order: Terms) -> str | None:
    delta = order.trailing_delta_bips
    if order.order_type in STOP_TYPES:
        if order.stop_price_ticks is None and delta is None:
            return "a stop needs a stop price or a trailing delta"
    elif order.stop_price_ticks is not None or delta is not None:
        return "only a stop has a stop price or a trailing delta"
    if delta is not None and not 0 < delta <= _MAX_DELTA:
        return "trailing_delta_bips is out of range"
    return None


def _impossible_iceberg(order: Terms) -> str | None:
    if order.display_lots is None:
        return None
    if order.order_type in MARKET_TYPES or order.time_in_force is not TimeInForce.GTC:
        return "an iceberg has a limit and is GTC"
    if order.quantity_lots is None or order.display_lots > order.quantity_lots:
        return "an iceberg shows more than it has"
    return None


def _impossible_list(orders: PlaceOrderList) -> str | None:
    kind, legs = orders.kind, orders.legs
    if len(legs) != _LEGS[kind]:
        return f"{kind} has {_LEGS[kind]} legs"
    if len({leg.client_order_id for leg in legs}) != len(legs):
        return "two legs have one client_order_id"
    if kind is not OrderListKind.OCO and legs[0].order_type not in (OrderType.LIMIT, OrderType.LIMIT_MAKER):
        return "a working leg is LIMIT or LIMIT_MAKER"
    paying = kind in PAYING_THEMSELVES
    if paying and [leg.side for leg in legs] != [Side.BUY, *[Side.SELL] * (len(legs) - 1)]:
        return "OPO buys, then sells"
    problems = [_impossible_leg(leg, paying and number > 0) for number, leg in enumerate(legs)]
    if kind in _PAIRS:
        problems.append(_impossible_pair(*legs[_PAIRS[kind] :]))
    return next(filter(None, problems), None)


def _impossible_pair(above: RequestedOrder, below: RequestedOrder) -> str | None:
    if (above.side, above.quantity_lots) != (below.side, below.quantity_lots):
        return "the legs of an OCO differ in side or quantity"
    taking, stopping = (above, below) if above.side is Side.SELL else (below, above)
    if taking.order_type not in _TAKING or stopping.order_type not in _STOPPING:
        return "the legs of an OCO are not a limit or take-profit and a stop-loss"
    return None


def _impossible_name(number: int | None, text: str | None) -> str | None:
    """Return what is wrong with how a request names an order or list."""
    if number is None and text is None:
        return "a cancel names no order"
    if number is not None and not 0 <= number < _MAX_ID:
        return "order_id is out of range"
    if text is not None and _CLIENT_ORDER_ID.fullmatch(text) is None:
        return "orig_client_order_id is malformed"
    return None
