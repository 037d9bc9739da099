"""Open orders of one account as user data tells of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.events import OrderCanceled, OrderEntered
from schemas.orders import OrderType, SelfTradePrevention, Side, TimeInForce


@dataclass(slots=True)
class OrderState:
    order_id: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int | None
    created_at_ns: int
    quote_budget_minor: int | None = None
    stop_price_ticks: int | None = None
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    self_trade_prevention: str = SelfTradePrevention.NONE
    list_id: int | None = None
    executed_lots: int = 0
    executed_quote_minor: int = 0
    prevented_lots: int = 0
    working_at_ns: int | None = None
    """Since when it may trade; None while it is held."""
    pending: bool = False
    """It waits for the working order of its list."""
    strategy_id: int | None = None
    strategy_type: int | None = None
    ended: bool = False
    """Its end has been told."""

    @property
    def open_lots(self) -> int:
        return (self.quantity_lots or 0) - self.executed_lots - self.prevented_lots

    @property
    def status(self) -> str:
        """The status of an order that goes on."""
        if self.pending:
            return "PENDING_NEW"
        return "PARTIALLY_FILLED" if self.executed_lots else "NEW"


def entered(event: OrderEntered, at_ns: int) -> OrderState:
    return OrderState(
        order_id=event.order_id,
        client_order_id=event.client_order_id,
        side=event.side,
        order_type=event.order_type,
        time_in_force=event.time_in_force,
        price_ticks=event.price_ticks,
        quantity_lots=event.quantity_lots,
        created_at_ns=at_ns,
        quote_budget_minor=event.quote_budget_minor,
        stop_price_ticks=event.stop_price_ticks,
        trailing_delta_bips=event.trailing_delta_bips,
        display_lots=event.display_lots,
        self_trade_prevention=event.self_trade_prevention,
        list_id=event.list_id,
        strategy_id=event.strategy_id,
        strategy_type=event.strategy_type,
    )


def canceled(event: OrderCanceled) -> OrderState:
    """Return the order as its cancel tells of it, which is all of it."""
    return OrderState(
        order_id=event.order_id,
        client_order_id=event.client_order_id,
        side=event.side,
        order_type=event.order_type,
        time_in_force=event.time_in_force,
        price_ticks=event.price_ticks,
        quantity_lots=event.quantity_lots,
        created_at_ns=event.entered_at_ns,
        stop_price_ticks=event.stop_price_ticks,
        trailing_delta_bips=event.trailing_delta_bips,
        display_lots=event.display_lots,
        self_trade_prevention=event.self_trade_prevention,
        list_id=event.list_id,
        strategy_id=event.strategy_id,
        strategy_type=event.strategy_type,
        executed_lots=event.quantity_lots - event.leaves_lots - event.prevented_lots,
        executed_quote_minor=event.executed_quote_minor,
        prevented_lots=event.prevented_lots,
    )
