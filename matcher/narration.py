"""How what happened in the book is told: events and trades, with their money."""

from __future__ import annotations

from msgspec.structs import replace

from matcher.order import PENDING, Order
from schemas.commands import EnterOrder, OrderTerms
from schemas.events import (
    CommandMatched,
    OrderCanceled,
    OrderEntered,
    OrderFilled,
    OrderHeld,
    OrdersTraded,
    TradeExecuted,
)
from schemas.instruments import Instrument
from schemas.orders import Side

_BUY = Side.BUY


def entered(order: Order, terms: EnterOrder | OrderTerms) -> OrderEntered:
    plain = OrderEntered(
        order_id=order.order_id,
        account_id=order.account_id,
        client_order_id=order.client_order_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        price_ticks=order.price_ticks,
        quantity_lots=terms.quantity_lots,
        self_trade_prevention=order.self_trade_prevention,
    )
    if order.conditions is None:
        return plain
    return replace(
        plain,
        quote_budget_minor=terms.quote_budget_minor,
        stop_price_ticks=terms.stop_price_ticks,
        trailing_delta_bips=terms.trailing_delta_bips,
        display_lots=terms.display_lots,
        list_id=order.list_id,
        strategy_id=terms.strategy_id,
        strategy_type=terms.strategy_type,
    )


def need_minor(order: Order, instrument: Instrument) -> int:
    """Return what an order alone needs locked for what is left of it."""
    special = order.conditions
    if special is not None and special.budget_minor is not None:
        return special.budget_minor
    if order.side is _BUY:
        return order.price_ticks * order.leaves_lots * instrument.tick_lot_minor
    return order.leaves_lots * instrument.lot_minor


def canceled(order: Order, released_minor: int, carried_minor: int, instrument: Instrument) -> OrderCanceled:
    plain = OrderCanceled(
        order_id=order.order_id,
        account_id=order.account_id,
        client_order_id=order.client_order_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        price_ticks=order.price_ticks,
        quantity_lots=order.quantity_lots,
        leaves_lots=order.leaves_lots,
        executed_quote_minor=order.executed_notional * instrument.tick_lot_minor,
        released_minor=released_minor,
        entered_at_ns=order.entered_at_ns,
        self_trade_prevention=order.self_trade_prevention,
        carried_minor=carried_minor,
    )
    special = order.conditions
    if special is None:
        return plain
    return replace(
        plain,
        stop_price_ticks=special.stop_price_ticks,
        trailing_delta_bips=special.trailing_delta_bips,
        display_lots=special.display_lots,
        prevented_lots=special.prevented_lots,
        list_id=special.list_id,
        strategy_id=special.strategy_id,
        strategy_type=special.strategy_type,
    )


def held(order: Order) -> OrderHeld:
    return OrderHeld(
        order_id=order.order_id,
        account_id=order.account_id,
        side=order.side,
        until="working_order_filled" if order.place == PENDING else "triggered",
    )


def filled(order: Order, released_minor: int = 0) -> OrderFilled:
    return OrderFilled(
        order_id=order.order_id, account_id=order.account_id, side=order.side, released_minor=released_minor
    )


def trades_executed(record: CommandMatched) -> tuple[TradeExecuted, ...]:
    """Return the settlement records of a record's trades: a function of the record alone."""
    return tuple(_executed(record, event) for event in record.events if type(event) is OrdersTraded)


def _executed(record: CommandMatched, trade: OrdersTraded) -> TradeExecuted:
    taker = (trade.taker_order_id, trade.taker_account_id, trade.taker_fee_minor)
    maker = (trade.maker_order_id, trade.maker_account_id, trade.maker_fee_minor)
    buyer, seller = (taker, maker) if trade.taker_side is _BUY else (maker, taker)
    return TradeExecuted(
        event_id=f"{record.symbol}-trade-{trade.trade_id}",
        correlation_id=record.correlation_id,
        causation_id=record.event_id,
        occurred_at_ns=record.occurred_at_ns,
        symbol=record.symbol,
        sequence=record.sequence,
        trade_id=trade.trade_id,
        price_ticks=trade.price_ticks,
        quantity_lots=trade.quantity_lots,
        base_minor=trade.base_minor,
        quote_minor=trade.quote_minor,
        taker_side=trade.taker_side,
        buyer_order_id=buyer[0],
        buyer_account_id=buyer[1],
        buyer_fee_minor=buyer[2],
        buyer_lock_minor=trade.buyer_lock_minor,
        seller_order_id=seller[0],
        seller_account_id=seller[1],
        seller_fee_minor=seller[2],
        buyer_receipt_locked=trade.buyer_receipt_locked,
    )
