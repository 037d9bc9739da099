"""Answers to orders, lists and cancels, from the matcher's record: ACK, RESULT, FULL, reports. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ingest import refusals
from ingest.order_outcomes import OrderOutcome, outcomes, own_order_id
from schemas import public_errors as errors
from schemas.events import (
    CancelRefused,
    ChangeRefused,
    CommandMatched,
    OrderAmended,
    OrderCanceled,
    OrderEntered,
    OrderListEnded,
    OrderListEntered,
    OrderListRefused,
    OrderRefused,
    OrdersTraded,
    RequestRejected,
)
from schemas.instruments import Instrument
from schemas.orders import MARKET_TYPES, OrderListKind, Side
from schemas.public_wire import NS_PER_MS, ZERO

NO_LIST: Final = -1
Reply = CommandMatched | RequestRejected


# -- new orders ------------------------------------------------------------------------------------


def order_report(reply: Reply, instrument: Instrument, response_type: str) -> dict[str, Any]:
    """Return the body for a new order. Raises PublicError when it was refused."""
    if isinstance(reply, RequestRejected):
        raise refusals.of_new_order(reply.reason)
    return entered_report(reply, _one_entered(reply), instrument, response_type)


def entered_report(
    record: CommandMatched, order: OrderOutcome, instrument: Instrument, response_type: str
) -> dict[str, Any]:
    """Return the ACK, RESULT or FULL of one order that entered."""
    entered = order.entered
    at_ms = record.occurred_at_ns // NS_PER_MS
    report: dict[str, Any] = {
        "symbol": record.symbol,
        "orderId": entered.order_id,
        "orderListId": NO_LIST if entered.list_id is None else entered.list_id,
        "clientOrderId": entered.client_order_id,
        "transactTime": at_ms,
    }
    if response_type == "ACK":
        return report
    lots = order.executed_lots
    report |= {
        **terms(instrument, entered, lots, order.quantity_lots),
        "executedQty": instrument.quantity_text(lots),
        "cummulativeQuoteQty": instrument.quote_text(order.executed_quote_minor),
        "status": order.shown_status,
        "workingTime": at_ms if order.held_until is None else -1,
        **conditional(instrument, entered, record.occurred_at_ns),
    }
    if order.expiry_reason is not None:
        report["expiryReason"] = order.expiry_reason
    if order.prevented_match_id is not None:
        report["preventedMatchId"] = order.prevented_match_id
        report["preventedQuantity"] = instrument.quantity_text(order.prevented_lots)
    if response_type == "FULL":
        report["fills"] = [_fill(instrument, trade, entered) for trade in order.trades]
    return report


def terms(
    instrument: Instrument, order: OrderEntered, executed_lots: int, quantity_lots: int | None
) -> dict[str, Any]:
    """Return what the client asked for. An order by quote quantity shows what it traded as its quantity."""
    by_quote = order.quote_budget_minor is not None
    lots = executed_lots if by_quote or quantity_lots is None else quantity_lots
    return {
        "price": ZERO if order.order_type in MARKET_TYPES else instrument.price_text(order.price_ticks),
        "origQty": instrument.quantity_text(lots),
        "origQuoteOrderQty": instrument.quote_text(order.quote_budget_minor or 0),
        "timeInForce": order.time_in_force,
        "type": order.order_type,
        "side": order.side,
        "selfTradePreventionMode": order.self_trade_prevention,
    }


def conditional(
    instrument: Instrument, order: OrderEntered | OrderCanceled, entered_at_ns: int
) -> dict[str, Any]:
    """Return the fields that only stops, icebergs and labelled orders have."""
    found: dict[str, Any] = {}
    if order.stop_price_ticks is not None:
        found["stopPrice"] = instrument.price_text(order.stop_price_ticks)
    if order.trailing_delta_bips is not None:
        found["trailingDelta"] = order.trailing_delta_bips
        found["trailingTime"] = trailing_ms(order.stop_price_ticks, entered_at_ns)
    if order.display_lots is not None:
        found["icebergQty"] = instrument.quantity_text(order.display_lots)
    return found | strategy(order.strategy_id, order.strategy_type)


def strategy(strategy_id: int | None, strategy_type: int | None) -> dict[str, Any]:
    """Return the labels that the client gave the order."""
    found = {"strategyId": strategy_id, "strategyType": strategy_type}
    return {name: label for name, label in found.items() if label is not None}


def trailing_ms(stop_price_ticks: int | None, entered_at_ns: int) -> int:
    """Return since when an order trails the price. With a stop price it does not before that is reached,
    which is not told: -1."""
    return entered_at_ns // NS_PER_MS if stop_price_ticks is None else -1


def _one_entered(record: CommandMatched) -> OrderOutcome:
    """Return the command's own order. Raises PublicError when the matcher refused it."""
    order_id = own_order_id(record)
    for event in record.events:
        if isinstance(event, OrderRefused) and event.order_id == order_id:
            raise refusals.of_new_order(event.reason)
    order = outcomes(record).get(order_id)
    if order is None:
        raise errors.INTERNAL_ERROR()
    return order


def _fill(instrument: Instrument, trade: OrdersTraded, order: OrderEntered) -> dict[str, Any]:
    received = instrument.base if order.side is Side.BUY else instrument.quote
    took = trade.taker_order_id == order.order_id
    return {
        "price": instrument.price_text(trade.price_ticks),
        "qty": instrument.quantity_text(trade.quantity_lots),
        "commission": received.text(trade.taker_fee_minor if took else trade.maker_fee_minor),
        "commissionAsset": received.name,
        "tradeId": trade.trade_id,
    }


# -- order lists -----------------------------------------------------------------------------------


def list_report(reply: Reply, instrument: Instrument, response_type: str) -> dict[str, Any]:
    """Return the body for a new order list. Raises PublicError when it was refused."""
    if isinstance(reply, RequestRejected):
        raise refusals.of_new_order(reply.reason)
    entered = None
    ended = False
    for event in reply.events:
        if isinstance(event, OrderListRefused):
            raise refusals.of_new_order(event.reason)
        if isinstance(event, OrderListEntered):
            entered = event
        elif isinstance(event, OrderListEnded) and entered is not None:
            ended = ended or event.list_id == entered.list_id
    if entered is None:
        raise errors.INTERNAL_ERROR()
    found = outcomes(reply)
    legs = [found[order_id] for order_id in entered.order_ids]
    names = [(leg.entered.order_id, leg.entered.client_order_id) for leg in legs]
    return {
        **list_head(
            instrument.symbol, entered.list_id, entered.kind, entered.client_order_id, names, ended=ended
        ),
        "transactionTime": reply.occurred_at_ns // NS_PER_MS,
        "orderReports": [entered_report(reply, leg, instrument, response_type) for leg in legs],
    }


def list_head(
    symbol: str,
    list_id: int,
    kind: str,
    client_order_id: str,
    orders: Iterable[tuple[int, str]],
    *,
    ended: bool,
) -> dict[str, Any]:
    """Return what every answer about an order list has; the transaction time is to be added."""
    return {
        "orderListId": list_id,
        "contingencyType": "OCO" if kind == OrderListKind.OCO else "OTO",
        "listStatusType": "ALL_DONE" if ended else "EXEC_STARTED",
        "listOrderStatus": "ALL_DONE" if ended else "EXECUTING",
        "listClientOrderId": client_order_id,
        "transactionTime": 0,
        "symbol": symbol,
        "orders": [
            {"symbol": symbol, "orderId": order_id, "clientOrderId": name} for order_id, name in orders
        ],
    }


# -- cancels ---------------------------------------------------------------------------------------


def canceled_orders(reply: Reply) -> list[OrderCanceled]:
    """Return what the command canceled. Raises PublicError when there was nothing to cancel."""
    if isinstance(reply, RequestRejected):
        raise refusals.of_cancel(reply.reason)
    found = []
    for event in reply.events:
        if isinstance(event, OrderCanceled):
            found.append(event)
        elif isinstance(event, CancelRefused):
            raise refusals.of_cancel(event.reason)
    if not found:
        raise errors.INTERNAL_ERROR()
    return found


def cancel_report(record: Reply, order: OrderCanceled, instrument: Instrument) -> dict[str, Any]:
    report = {
        "symbol": record.symbol,
        "origClientOrderId": order.client_order_id,
        "orderId": order.order_id,
        "orderListId": NO_LIST if order.list_id is None else order.list_id,
        "clientOrderId": record.client_order_id,
        "transactTime": record.occurred_at_ns // NS_PER_MS,
        "price": ZERO if order.order_type in MARKET_TYPES else instrument.price_text(order.price_ticks),
        "origQty": instrument.quantity_text(order.quantity_lots),
        "executedQty": instrument.quantity_text(
            order.quantity_lots - order.leaves_lots - order.prevented_lots
        ),
        "origQuoteOrderQty": ZERO,
        "cummulativeQuoteQty": instrument.quote_text(order.executed_quote_minor),
        "status": "CANCELED",
        "timeInForce": order.time_in_force,
        "type": order.order_type,
        "side": order.side,
        "selfTradePreventionMode": order.self_trade_prevention,
        **conditional(instrument, order, order.entered_at_ns),
    }
    if order.prevented_lots:
        report["preventedQuantity"] = instrument.quantity_text(order.prevented_lots)
    return report


# -- amends ----------------------------------------------------------------------------------------


def amended(reply: Reply) -> tuple[CommandMatched, OrderAmended]:
    """Return the record and its amend. Raises PublicError when it was refused."""
    if isinstance(reply, RequestRejected):
        raise refusals.of_amend(reply.reason)
    for event in reply.events:
        if isinstance(event, OrderAmended):
            return reply, event
        if isinstance(event, ChangeRefused):
            raise refusals.of_amend(event.reason)
    raise errors.INTERNAL_ERROR()
