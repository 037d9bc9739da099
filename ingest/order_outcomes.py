"""What one record of the matcher did to each order that entered with it. Pure.

One command may do more than its own: stops that its trades triggered, legs that became due. So every
event is taken for the order that it names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest import refusals
from schemas.events import (
    BookEvent,
    CommandMatched,
    MatchPrevented,
    OrderActivated,
    OrderCanceled,
    OrderEntered,
    OrderExpired,
    OrderFilled,
    OrderHeld,
    OrderRefused,
    OrdersTraded,
    OrderTriggered,
)
from schemas.reasons import ExpiryReason
from schemas.topics import order_id_of


@dataclass(slots=True)
class OrderOutcome:
    """An order that entered, as the record leaves it."""

    entered: OrderEntered
    quantity_lots: int | None
    trades: list[OrdersTraded] = field(default_factory=list)
    status: str | None = None
    """How it ended; None while it is open."""
    expiry_reason: str | None = None
    held_until: str | None = None
    prevented_match_id: int | None = None
    prevented_lots: int = 0

    @property
    def executed_lots(self) -> int:
        return sum([trade.quantity_lots for trade in self.trades])

    @property
    def executed_quote_minor(self) -> int:
        return sum([trade.quote_minor for trade in self.trades])

    @property
    def shown_status(self) -> str:
        if self.status is not None:
            return self.status
        if self.held_until == "working_order_filled":
            return "PENDING_NEW"
        return "PARTIALLY_FILLED" if self.trades else "NEW"


def outcomes(record: CommandMatched) -> dict[int, OrderOutcome]:
    """Return the orders that entered with the record, by order id, in their order."""
    found: dict[int, OrderOutcome] = {}
    for event in record.events:
        if isinstance(event, OrderEntered):
            found[event.order_id] = OrderOutcome(event, event.quantity_lots)
        elif isinstance(event, OrdersTraded):
            for order_id in (event.taker_order_id, event.maker_order_id):
                if order_id in found:
                    found[order_id].trades.append(event)
        elif found:
            _take(event, found)
    return found


def own_order_id(record: CommandMatched) -> int:
    """Return the id of the order that the record's request wanted to place."""
    return order_id_of(record.source_partition, record.source_offset)


def _take(event: BookEvent, found: dict[int, OrderOutcome]) -> None:
    if isinstance(event, MatchPrevented):
        for order_id, lots in (
            (event.taker_order_id, event.taker_prevented_lots),
            (event.maker_order_id, event.maker_prevented_lots),
        ):
            if order_id in found:
                found[order_id].prevented_match_id = event.prevented_match_id
                found[order_id].prevented_lots += lots
        return
    order = found.get(getattr(event, "order_id", 0))
    if order is None:
        return
    if isinstance(event, OrderFilled):
        order.status = "FILLED"
    elif isinstance(event, OrderExpired):
        order.status, order.expiry_reason = ended_by(event.reason)
    elif isinstance(event, OrderRefused):
        order.status = "REJECTED"
    elif isinstance(event, OrderCanceled):
        order.status = "CANCELED"
    elif isinstance(event, OrderHeld):
        order.held_until = event.until
    elif isinstance(event, OrderTriggered):
        order.held_until = None
    elif isinstance(event, OrderActivated):
        order.held_until = None
        order.quantity_lots = event.quantity_lots or order.quantity_lots


def ended_by(reason: str) -> tuple[str, str | None]:
    """Return status and `expiryReason` of an order that the exchange ended."""
    if reason == ExpiryReason.SELF_TRADE_PREVENTED:
        return "EXPIRED_IN_MATCH", None
    return "EXPIRED", refusals.EXPIRY.get(reason, reason.upper())
