"""One order, from its entry to its end."""

from __future__ import annotations

import msgspec

from schemas.orders import OrderType, SelfTradePrevention, Side, TimeInForce

NONE = SelfTradePrevention.NONE
PLAIN, HELD, PENDING = 0, 1, 2
"""Where an open order waits: in the book, for its trigger, for the working order of its list."""


class Conditions(msgspec.Struct, array_like=True, gc=False):
    """What only some orders have. A stop that tracks has `extreme_ticks`; an iceberg shows its leaves
    less `hidden_lots`; `place` is one of the three above.
    """

    stop_price_ticks: int | None = None
    trailing_delta_bips: int | None = None
    extreme_ticks: int | None = None
    display_lots: int | None = None
    list_id: int | None = None
    hidden_lots: int = 0
    prevented_lots: int = 0
    place: int = PLAIN
    budget_minor: int | None = None
    """BUY by quote: the part of the budget that is still locked."""
    quote_left: int | None = None
    """By quote: what may still be spent or received, in ticks x lots."""
    working_at_ns: int | None = None
    """When it was triggered or became due."""
    strategy_id: int | None = None
    """The client's own labels, told and never looked at."""
    strategy_type: int | None = None


class Order(msgspec.Struct, array_like=True, gc=False):
    """`executed_notional` counts ticks x lots, before and after it rested. `entered_sequence` is the
    record it entered with or was last moved with: with the id, its age."""

    order_id: int
    account_id: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    quantity_lots: int
    leaves_lots: int
    executed_notional: int = 0
    maker_fee_ppm: int = 0
    entered_at_ns: int = 0
    entered_sequence: int = 0
    taker_fee_ppm: int = 0
    self_trade_prevention: SelfTradePrevention = NONE
    conditions: Conditions | None = None
    ended: bool = False
    """No longer open; or moved, and another object now stands for it."""

    def special(self) -> Conditions:
        """Return the order's conditions, made if it had none."""
        if self.conditions is None:
            self.conditions = Conditions()
        return self.conditions

    @property
    def prevented_lots(self) -> int:
        return 0 if self.conditions is None else self.conditions.prevented_lots

    @property
    def hidden_lots(self) -> int:
        return 0 if self.conditions is None else self.conditions.hidden_lots

    @property
    def shown_lots(self) -> int:
        return self.leaves_lots - self.hidden_lots

    @property
    def executed_lots(self) -> int:
        return self.quantity_lots - self.leaves_lots - self.prevented_lots

    @property
    def list_id(self) -> int | None:
        return None if self.conditions is None else self.conditions.list_id

    @property
    def place(self) -> int:
        return PLAIN if self.conditions is None else self.conditions.place

    @property
    def held(self) -> bool:
        """Whether it waits for its trigger."""
        return self.place == HELD

    def moved(self, price_ticks: int, quantity_lots: int, leaves_lots: int, sequence: int) -> Order:
        """Return what stands for the order after a move; this object ends."""
        self.ended = True
        return Order(
            self.order_id,
            self.account_id,
            self.client_order_id,
            self.side,
            self.order_type,
            self.time_in_force,
            price_ticks,
            quantity_lots,
            leaves_lots,
            self.executed_notional,
            self.maker_fee_ppm,
            self.entered_at_ns,
            sequence,
            self.taker_fee_ppm,
            self.self_trade_prevention,
            self.conditions,
        )


def age(order: Order) -> tuple[int, int]:
    return order.entered_sequence, order.order_id
