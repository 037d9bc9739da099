"""The benchmark's commands for PyPI's lightmatchingengine, which knows limit orders and cancels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightmatchingengine.lightmatchingengine import LightMatchingEngine
from lightmatchingengine.lightmatchingengine import Side as LightSide

from matcher import Move
from schemas.orders import Side, TimeInForce

_SYMBOL = "BTCUSDT"


class LightEngine:
    """An IOC is an order whose rest is canceled; a move is a cancel and an order. Its ids are its own,
    counted from 1, so they are worked out before the clock starts."""

    def __init__(self, steps: Sequence[Any]) -> None:
        self.calls: list[tuple[int, int, int, int, bool]] = []
        """Id to cancel or 0; then price or 0, quantity, side, whether what is left is canceled."""
        ids: dict[int, int] = {}
        sides: dict[int, Side] = {}
        given = 0
        for step in steps:
            if isinstance(step, int):
                self.calls.append((ids[step], 0, 0, 0, False))
                continue
            canceled, immediate = 0, False
            if isinstance(step, Move):
                order_id, price, lots = step.order_id, step.price_ticks, step.quantity_lots
                canceled = ids[order_id]
            else:
                order_id, _, _, sides[order_id], time_in_force, price, lots = step
                immediate = time_in_force is TimeInForce.IOC
            given += 1
            ids[order_id] = given
            side = LightSide.BUY if sides[order_id] is Side.BUY else LightSide.SELL
            self.calls.append((canceled, price, lots, side, immediate))

    def play(self) -> None:
        engine = LightMatchingEngine()
        add, cancel = engine.add_order, engine.cancel_order
        for canceled, price, lots, side, immediate in self.calls:
            if canceled:
                cancel(canceled, _SYMBOL)
            if price:
                order, _ = add(_SYMBOL, price, lots, side)
                if immediate and order.leaves_qty:
                    cancel(order.order_id, _SYMBOL)
