from __future__ import annotations

from typing import Any

import pytest

from processor.questions import priced_symbols
from processor.requests import Received
from schemas.instruments import load_instruments
from schemas.orders import OrderListKind, OrderType
from tests.builders import (
    cancel_order,
    market_order,
    place_list,
    place_order,
    profit_order,
    replace_order,
    requested_order,
    stop_order,
)

MARKET_STOP = stop_order(order_type=OrderType.STOP_LOSS, price_ticks=None)


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ((place_order(),), {"BTCUSDT": False}),
        ((market_order(),), {"BTCUSDT": True}),
        ((market_order(), place_order()), {"BTCUSDT": True}),
        ((place_order(), place_order(symbol="ETHUSDT")), {"BTCUSDT": False, "ETHUSDT": False}),
        ((replace_order(requested_order()),), {"BTCUSDT": False}),
        ((place_list(OrderListKind.OCO, profit_order(), MARKET_STOP),), {"BTCUSDT": True}),
        ((cancel_order(), place_order(symbol="NONE")), {}),
    ],
)
def test_prices_are_asked_for_where_they_decide_on_an_order(
    requests: tuple[Any, ...], expected: dict[str, bool]
) -> None:
    received = [Received(0, offset, request) for offset, request in enumerate(requests)]
    assert priced_symbols(received, load_instruments()) == expected
