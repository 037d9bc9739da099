"""The order row and the trade row of queries, from the hot book or the database. Pure."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from ingest.order_outcomes import ended_by
from ingest.order_reports import NO_LIST, list_head, strategy, trailing_ms
from schemas.events import OrderAmended
from schemas.hot_book import OpenOrder
from schemas.instruments import Instrument
from schemas.orders import MARKET_TYPES, STOP_TYPES
from schemas.public_wire import NS_PER_MS, ZERO


class StoredOrder(Struct, frozen=True, gc=False):
    """A row of `orders`, in the order of `ORDER_COLUMNS`."""

    order_id: int
    account_id: int
    symbol: str
    client_order_id: str
    side: str
    order_type: str
    time_in_force: str
    price_ticks: int
    quantity_lots: int | None
    quote_budget_minor: int | None
    created_at_ns: int
    executed_lots: int
    executed_quote_minor: int
    ended: str | None
    end_reason: str | None
    updated_at_ns: int
    stop_price_ticks: int | None = None
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    self_trade_prevention: str = "NONE"
    list_id: int | None = None
    waits_for: str = ""
    working_at_ns: int | None = None
    prevented_lots: int = 0
    strategy_id: int | None = None
    strategy_type: int | None = None


ORDER_COLUMNS: Final = ", ".join(StoredOrder.__struct_fields__)


class StoredList(Struct, frozen=True, gc=False):
    """A row of `order_lists` with its legs."""

    list_id: int
    symbol: str
    kind: str
    client_order_id: str
    created_at_ns: int
    updated_at_ns: int
    ended: str | None
    orders: list[tuple[int, str]]
    """(order id, client order id), in leg order"""


class StoredAmendment(Struct, frozen=True, gc=False):
    order_id: int
    sequence: int
    previous_client_order_id: str
    client_order_id: str
    previous_quantity_lots: int
    quantity_lots: int
    at_ns: int


class StoredPrevented(Struct, frozen=True, gc=False):
    prevented_match_id: int
    mode: str
    price_ticks: int
    taker_order_id: int
    maker_order_id: int
    taker_prevented_lots: int
    maker_prevented_lots: int
    at_ns: int


class StoredTrade(Struct, frozen=True, gc=False):
    """One side of a row of `trades`: the account's own."""

    trade_id: int
    order_id: int
    price_ticks: int
    quantity_lots: int
    quote_minor: int
    fee_minor: int
    executed_at_ns: int
    is_buyer: bool
    is_maker: bool
    list_id: int | None = None


def unsure_since(order: OpenOrder) -> bool:
    """Return whether the hot book does not tell since when an order in the book works: one that may have
    waited, of a snapshot that did not tell, or that only the processor has seen."""
    return (
        order.held_until is None
        and order.working_at_ns is None
        and (order.order_type in STOP_TYPES or order.list_id is not None)
    )


def open_order_row(
    instrument: Instrument, order: OpenOrder, working_at_ns: int | None = None
) -> dict[str, Any]:
    """`working_at_ns`: since when it works, if that is known not to be when it entered."""
    executed = order.quantity_lots - order.leaves_lots - order.prevented_lots
    pending = order.held_until == "working_order_filled"
    return _row(
        instrument,
        order,
        lots=order.quantity_lots,
        executed_lots=executed,
        budget_minor=0,
        status="PENDING_NEW" if pending else "PARTIALLY_FILLED" if executed else "NEW",
        created_at_ns=order.entered_at_ns,
        working_at_ns=None
        if order.held_until
        else working_at_ns or order.working_at_ns or order.entered_at_ns,
    )


def stored_order_row(instrument: Instrument, order: StoredOrder) -> dict[str, Any]:
    by_quote = order.quote_budget_minor is not None
    status, expiry_reason = _status(order)
    waits = order.waits_for or order.ended == "REJECTED"
    row = _row(
        instrument,
        order,
        lots=order.executed_lots if by_quote else order.quantity_lots or 0,
        executed_lots=order.executed_lots,
        budget_minor=order.quote_budget_minor or 0,
        status=status,
        created_at_ns=order.created_at_ns,
        working_at_ns=None if waits else order.working_at_ns or order.created_at_ns,
    )
    if expiry_reason is not None:
        row["expiryReason"] = expiry_reason
    return row


def _status(order: StoredOrder) -> tuple[str, str | None]:
    if order.ended == "EXPIRED" and order.end_reason is not None:
        return ended_by(order.end_reason)
    if order.ended is not None:
        return order.ended, None
    if order.waits_for == "working_order_filled":
        return "PENDING_NEW", None
    return ("PARTIALLY_FILLED" if order.executed_lots else "NEW"), None


def _row(
    i: Instrument,
    order: OpenOrder | StoredOrder,
    *,
    lots: int,
    executed_lots: int,
    budget_minor: int,
    status: str,
    created_at_ns: int,
    working_at_ns: int | None,
) -> dict[str, Any]:
    """Show what hot book and database know alike of an order, and what each says in its own way."""
    stop, display = order.stop_price_ticks, order.display_lots
    row = {
        "symbol": i.symbol,
        "orderId": order.order_id,
        "orderListId": NO_LIST if order.list_id is None else order.list_id,
        "clientOrderId": order.client_order_id,
        "price": ZERO if order.order_type in MARKET_TYPES else i.price_text(order.price_ticks),
        "origQty": i.quantity_text(lots),
        "executedQty": i.quantity_text(executed_lots),
        "cummulativeQuoteQty": i.quote_text(order.executed_quote_minor),
        "status": status,
        "timeInForce": order.time_in_force,
        "type": order.order_type,
        "side": order.side,
        "stopPrice": ZERO if stop is None else i.price_text(stop),
        "icebergQty": ZERO if display is None else i.quantity_text(display),
        "time": created_at_ns // NS_PER_MS,
        "updateTime": order.updated_at_ns // NS_PER_MS,
        "isWorking": working_at_ns is not None,
        "workingTime": -1 if working_at_ns is None else working_at_ns // NS_PER_MS,
        "origQuoteOrderQty": i.quote_text(budget_minor),
        "selfTradePreventionMode": order.self_trade_prevention,
    }
    if order.trailing_delta_bips is not None:
        row["trailingDelta"] = order.trailing_delta_bips
        row["trailingTime"] = trailing_ms(stop, created_at_ns)
    if order.prevented_lots:
        row["preventedQuantity"] = i.quantity_text(order.prevented_lots)
    return row | strategy(order.strategy_id, order.strategy_type)


def amended_order(instrument: Instrument, order: StoredOrder, event: OrderAmended) -> dict[str, Any]:
    """Return `amendedOrder`: the order as the amend left it."""
    executed = event.quantity_lots - event.leaves_lots - order.prevented_lots
    working = None if order.waits_for else order.working_at_ns or order.created_at_ns
    return {
        "symbol": instrument.symbol,
        "orderId": event.order_id,
        "orderListId": NO_LIST if order.list_id is None else order.list_id,
        "origClientOrderId": event.previous_client_order_id,
        "clientOrderId": event.client_order_id,
        "price": ZERO if order.order_type in MARKET_TYPES else instrument.price_text(order.price_ticks),
        "qty": instrument.quantity_text(event.quantity_lots),
        "executedQty": instrument.quantity_text(executed),
        "preventedQty": instrument.quantity_text(order.prevented_lots),
        "quoteOrderQty": ZERO,
        "cumulativeQuoteQty": instrument.quote_text(order.executed_quote_minor),
        "status": "PARTIALLY_FILLED" if executed else "NEW",
        "timeInForce": order.time_in_force,
        "type": order.order_type,
        "side": order.side,
        "workingTime": -1 if working is None else working // NS_PER_MS,
        "selfTradePreventionMode": order.self_trade_prevention,
    }


def amendment_row(instrument: Instrument, amendment: StoredAmendment) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "orderId": amendment.order_id,
        "executionId": amendment.sequence,
        "origClientOrderId": amendment.previous_client_order_id,
        "newClientOrderId": amendment.client_order_id,
        "origQty": instrument.quantity_text(amendment.previous_quantity_lots),
        "newQty": instrument.quantity_text(amendment.quantity_lots),
        "time": amendment.at_ns // NS_PER_MS,
    }


def prevented_row(instrument: Instrument, prevented: StoredPrevented) -> dict[str, Any]:
    row = {
        "symbol": instrument.symbol,
        "preventedMatchId": prevented.prevented_match_id,
        "takerOrderId": prevented.taker_order_id,
        "makerSymbol": instrument.symbol,
        "makerOrderId": prevented.maker_order_id,
        "tradeGroupId": -1,
        "selfTradePreventionMode": prevented.mode,
        "price": instrument.price_text(prevented.price_ticks),
    }
    if prevented.maker_prevented_lots:
        row["makerPreventedQuantity"] = instrument.quantity_text(prevented.maker_prevented_lots)
    if prevented.taker_prevented_lots:
        row["takerPreventedQuantity"] = instrument.quantity_text(prevented.taker_prevented_lots)
    return {**row, "transactTime": prevented.at_ns // NS_PER_MS}


def list_row(stored: StoredList) -> dict[str, Any]:
    row = list_head(
        stored.symbol,
        stored.list_id,
        stored.kind,
        stored.client_order_id,
        stored.orders,
        ended=stored.ended is not None,
    )
    if stored.ended == "REJECTED":
        row["listOrderStatus"] = "REJECT"
    return {**row, "transactionTime": stored.updated_at_ns // NS_PER_MS}


def trade_row(instrument: Instrument, trade: StoredTrade) -> dict[str, Any]:
    received = instrument.base if trade.is_buyer else instrument.quote
    return {
        "symbol": instrument.symbol,
        "id": trade.trade_id,
        "orderId": trade.order_id,
        "orderListId": NO_LIST if trade.list_id is None else trade.list_id,
        "price": instrument.price_text(trade.price_ticks),
        "qty": instrument.quantity_text(trade.quantity_lots),
        "quoteQty": instrument.quote_text(trade.quote_minor),
        "commission": received.text(trade.fee_minor),
        "commissionAsset": received.name,
        "time": trade.executed_at_ns // NS_PER_MS,
        "isBuyer": trade.is_buyer,
        "isMaker": trade.is_maker,
        "isBestMatch": True,
    }
