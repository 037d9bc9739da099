"""What a decided request becomes: a command to the matcher, or its refusal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from processor.requests import OfMarket, Received
from processor.reservations import Reservation, Terms
from processor.view import Account
from schemas.commands import (
    AmendRestingOrder,
    CancelRestingList,
    CancelRestingOrder,
    CancelRestingOrders,
    EnterOrder,
    EnterOrderList,
    OrderTerms,
    PlaceOrder,
    PlaceOrderList,
    ReplaceOrder,
    ReplaceRestingOrder,
    RequestTick,
    SetMarketState,
    Tick,
)
from schemas.events import RequestRejected
from schemas.reasons import RejectReason
from schemas.topics import list_id_of, order_id_of

Outcome = (
    EnterOrder
    | EnterOrderList
    | CancelRestingOrder
    | CancelRestingOrders
    | CancelRestingList
    | ReplaceRestingOrder
    | AmendRestingOrder
    | SetMarketState
    | Tick
    | RequestRejected
)


def envelope(received: Received, now_ns: int) -> dict[str, Any]:
    """Return what every command and every refusal carries."""
    request = received.request
    return {
        "event_id": f"v-{received.partition}-{received.offset}",
        "correlation_id": request.correlation_id,
        "causation_id": request.event_id,
        "occurred_at_ns": now_ns,
        "source_partition": received.partition,
        "source_offset": received.offset,
        "account_id": request.account_id,
        "symbol": request.symbol,
        "reply_partition": request.reply_partition,
    }


def rejected(received: Received, reason: RejectReason, now_ns: int) -> RequestRejected:
    common = envelope(received, now_ns)
    del common["reply_partition"]
    return RequestRejected(**common, client_order_id=received.request.client_order_id, reason=reason)


def passed_on(received: Received, request: OfMarket, now_ns: int) -> SetMarketState | Tick:
    if isinstance(request, RequestTick):
        return Tick(**envelope(received, now_ns))
    return SetMarketState(**envelope(received, now_ns), state=request.state, until_ns=request.until_ns)


def entered(
    received: Received,
    request: PlaceOrder | ReplaceOrder,
    order: Terms,
    sized: Reservation,
    account: Account,
    now_ns: int,
) -> EnterOrder:
    """Written out: this is what nearly every request becomes."""
    return EnterOrder(
        event_id=f"v-{received.partition}-{received.offset}",
        correlation_id=request.correlation_id,
        causation_id=request.event_id,
        occurred_at_ns=now_ns,
        source_partition=received.partition,
        source_offset=received.offset,
        account_id=request.account_id,
        symbol=request.symbol,
        reply_partition=request.reply_partition,
        order_id=order_id_of(received.partition, received.offset),
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        client_order_id=order.client_order_id,
        price_ticks=sized.price_ticks,
        reserved_minor=sized.reserved_minor,
        maker_fee_ppm=account.maker_fee_ppm,
        taker_fee_ppm=account.taker_fee_ppm,
        quantity_lots=sized.quantity_lots,
        quote_budget_minor=sized.quote_budget_minor,
        stop_price_ticks=order.stop_price_ticks,
        trailing_delta_bips=order.trailing_delta_bips,
        display_lots=order.display_lots,
        self_trade_prevention=order.self_trade_prevention,
        strategy_id=order.strategy_id,
        strategy_type=order.strategy_type,
    )


def entered_list(
    received: Received,
    request: PlaceOrderList,
    sized: Sequence[Reservation],
    reserved_minor: int,
    account: Account,
    now_ns: int,
) -> EnterOrderList:
    legs = zip(request.legs, sized, strict=True)
    return EnterOrderList(
        **envelope(received, now_ns),
        list_id=list_id_of(received.partition, received.offset),
        kind=request.kind,
        client_order_id=request.client_order_id,
        reserved_minor=reserved_minor,
        maker_fee_ppm=account.maker_fee_ppm,
        taker_fee_ppm=account.taker_fee_ppm,
        legs=tuple(_terms(received, number, leg, one) for number, (leg, one) in enumerate(legs)),
    )


def replaced(
    received: Received,
    request: ReplaceOrder,
    cancel_order_id: int,
    sized: Reservation,
    reserved_minor: int,
    account: Account,
    now_ns: int,
) -> ReplaceRestingOrder:
    return ReplaceRestingOrder(
        **envelope(received, now_ns),
        cancel_order_id=cancel_order_id,
        client_order_id=request.client_order_id,
        mode=request.mode,
        order=_terms(received, 0, request.order, sized),
        reserved_minor=reserved_minor,
        maker_fee_ppm=account.maker_fee_ppm,
        taker_fee_ppm=account.taker_fee_ppm,
        restriction=request.restriction,
    )


def _terms(received: Received, leg: int, order: Terms, sized: Reservation) -> OrderTerms:
    """Return the terms with which an order enters the book."""
    return OrderTerms(
        order_id=order_id_of(received.partition, received.offset, leg),
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        client_order_id=order.client_order_id,
        price_ticks=sized.price_ticks,
        reserved_minor=sized.reserved_minor,
        quantity_lots=sized.quantity_lots,
        quote_budget_minor=sized.quote_budget_minor,
        stop_price_ticks=order.stop_price_ticks,
        trailing_delta_bips=order.trailing_delta_bips,
        display_lots=order.display_lots,
        self_trade_prevention=order.self_trade_prevention,
        strategy_id=order.strategy_id,
        strategy_type=order.strategy_type,
    )
