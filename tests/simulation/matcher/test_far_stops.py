"""Stops that come and go far from the market leave nothing behind."""

from __future__ import annotations

from matcher import Input, SymbolEngine
from schemas.commands import CancelRestingOrder
from schemas.orders import OrderType
from tests.builders import enter_order
from tests.simulation.matcher.envelope import envelope
from tests.simulation.matcher.market import instrument


def test_places_of_canceled_stops_are_dropped() -> None:
    engine, cost = SymbolEngine(instrument()), {"price_ticks": 900, "quantity_lots": 1, "reserved_minor": 900}
    stop = {"order_type": OrderType.STOP_LOSS, "client_order_id": "c", **cost}
    for number in range(1, 8001, 2):
        held = enter_order(**envelope(number, 1), order_id=number, stop_price_ticks=500 + number, **stop)
        cancel = CancelRestingOrder(**envelope(number + 1, 1), order_id=number, client_order_id="x")
        engine.apply([Input(0, number, held)])
        if number % 1001:
            engine.apply([Input(0, number + 1, cancel)])
    stops = engine.market.stops
    assert len(stops._rising) < 1_100
    kept = list(range(1001, 8001, 2002))
    assert [order.order_id for order in stops.see([10**6])] == kept
