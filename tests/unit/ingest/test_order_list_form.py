"""The legs of order lists: how they are named, what they share, what is refused and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.order_list_form import (
    OLD_OCO_PARAMETERS,
    PARAMETERS,
    OrderListForm,
    of_old_oco,
    read_order_list,
)
from schemas.instruments import load_instruments
from schemas.orders import OrderListKind, OrderType, Side, TimeInForce
from schemas.public_errors import PublicError
from schemas.public_parameters import Parameters

INSTRUMENTS = load_instruments()
OCO = {
    "symbol": "BTCUSDT",
    "side": "SELL",
    "quantity": "0.5",
    "aboveType": "LIMIT_MAKER",
    "abovePrice": "32000",
    "belowType": "STOP_LOSS",
    "belowStopPrice": "29000",
}
WORKING = {
    "symbol": "BTCUSDT",
    "workingType": "LIMIT",
    "workingSide": "BUY",
    "workingPrice": "30000",
    "workingQuantity": "0.5",
    "workingTimeInForce": "GTC",
}
OTOCO = {
    **WORKING,
    "pendingSide": "SELL",
    "pendingQuantity": "0.5",
    "pendingAboveType": "TAKE_PROFIT_LIMIT",
    "pendingAboveStopPrice": "31000",
    "pendingAbovePrice": "31100",
    "pendingAboveTimeInForce": "IOC",
    "pendingBelowType": "STOP_LOSS",
    "pendingBelowTrailingDelta": "100",
}


def read(kind: OrderListKind, values: dict[str, str], **changes: str | None) -> OrderListForm:
    chosen = {name: value for name, value in {**values, **changes}.items() if value is not None}
    assert chosen.keys() <= PARAMETERS[kind]
    return read_order_list(INSTRUMENTS, Parameters(chosen), kind, lambda name: f"made-for-{name}")


def refusal(*args: Any, **changes: str | None) -> tuple[int, str]:
    with pytest.raises(PublicError) as refused:
        read(*args, **changes)
    assert refused.value.status == 400
    return refused.value.code, refused.value.msg


def test_the_legs_of_an_oco_share_side_and_quantity() -> None:
    form = read(OrderListKind.OCO, OCO, listClientOrderId="mine", belowClientOrderId="stop")
    above, below = form.legs
    assert (form.client_order_id, above.client_order_id) == ("mine", "made-for-aboveType")
    assert (above.side, above.quantity_lots, above.price_ticks) == (Side.SELL, 500_000, 3_200_000)
    assert (below.client_order_id, below.quantity_lots) == ("stop", 500_000)
    assert (below.stop_price_ticks, below.price_ticks, form.response_type) == (2_900_000, None, "RESULT")


def test_an_otoco_has_three_legs_of_their_own_words() -> None:
    working, above, below = read(OrderListKind.OTOCO, OTOCO).legs
    assert (working.side, working.order_type) == (Side.BUY, OrderType.LIMIT)
    assert (above.stop_price_ticks, above.price_ticks) == (3_100_000, 3_110_000)
    assert above.time_in_force is TimeInForce.IOC
    assert (below.trailing_delta_bips, below.quantity_lots) == (100, 500_000)


def test_what_opo_sells_has_no_quantity() -> None:
    pending = {"pendingType": "MARKET", "pendingSide": "SELL"}
    form = read(OrderListKind.OPO, {**WORKING, **pending})
    assert (form.legs[1].quantity_lots, form.legs[1].order_type) == (None, OrderType.MARKET)
    assert refusal(OrderListKind.OPO, {**WORKING, **pending}, pendingIcebergQty="1")[0] == -1106
    assert refusal(OrderListKind.OPO, {**WORKING, **pending}, pendingSide="BUY") == (-1117, "Invalid side.")


STOP_ABOVE = {"aboveType": "STOP_LOSS", "abovePrice": None, "aboveStopPrice": "32000"}
PROFIT = {"belowType": "TAKE_PROFIT"}
MAKER_BELOW = {"belowType": "LIMIT_MAKER", "belowPrice": "29000", "belowStopPrice": None}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"aboveType": "LIMIT", "aboveTimeInForce": "GTC"}, (-1158, "Order type not supported in OCO.")),
        (MAKER_BELOW, (-1168, "At least one OCO order must be contingent.")),
        ({**STOP_ABOVE, **MAKER_BELOW}, (-1166, "A limit order in a sell OCO must be above.")),
        ({**STOP_ABOVE, **PROFIT}, (-1197, "A stop loss order in a sell OCO must be below.")),
        (
            {"side": "BUY", "aboveType": "TAKE_PROFIT", "abovePrice": None, "aboveStopPrice": "1"},
            (-1196, None),
        ),
        ({"side": "BUY"}, (-1165, "A limit order in a buy OCO must be below.")),
        (PROFIT, (-1199, "A take profit order in a sell OCO must be above.")),
        (
            {"side": "BUY", **STOP_ABOVE},
            (-1196, "A stop loss order in a buy OCO must be above."),
        ),
        (
            {
                "belowType": "STOP_LOSS_LIMIT",
                "belowPrice": "1",
                "belowTimeInForce": "FOK",
                "belowIcebergQty": "1",
            },
            (-1160, "Parameter 'belowIcebergQty' is not supported if timeInForce is not GTC."),
        ),
        ({"belowStopPrice": None}, (-1102, None)),
        ({"quantity": None}, (-1102, None)),
        ({"aboveClientOrderId": "x", "belowClientOrderId": "x"}, (-2010, "Duplicate order sent.")),
    ],
)
def test_wrong_legs_are_refused(changes: dict[str, str | None], expected: tuple[int, str | None]) -> None:
    code, text = refusal(OrderListKind.OCO, OCO, **changes)
    assert code == expected[0]
    assert expected[1] in (None, text)


def test_a_working_leg_is_a_limit() -> None:
    pending = {
        "pendingType": "LIMIT_MAKER",
        "pendingSide": "SELL",
        "pendingQuantity": "1",
        "pendingPrice": "1",
    }
    stop = {"workingType": "STOP_LOSS_LIMIT"}
    assert refusal(OrderListKind.OTO, {**WORKING, **pending}, **stop)[0] == -1102
    market = {"workingType": "MARKET", "workingPrice": None, "workingTimeInForce": None}
    assert refusal(OrderListKind.OTO, {**WORKING, **pending}, **market) == (-1116, "Invalid orderType.")


@pytest.mark.parametrize(("side", "limit", "stop"), [("SELL", 0, 1), ("BUY", 1, 0)])
def test_the_old_form_says_the_same(side: str, limit: int, stop: int) -> None:
    old = {
        "symbol": "BTCUSDT",
        "side": side,
        "quantity": "0.5",
        "price": "30000",
        "stopPrice": "29000",
        "stopLimitPrice": "28900",
        "stopLimitTimeInForce": "GTC",
        "limitClientOrderId": "limit",
        "stopClientOrderId": "stop",
    }
    assert old.keys() <= OLD_OCO_PARAMETERS
    form = read_order_list(INSTRUMENTS, of_old_oco(Parameters(old)), OrderListKind.OCO, lambda name: name)
    assert [form.legs[i].client_order_id for i in (limit, stop)] == ["limit", "stop"]
    assert form.legs[limit].order_type is OrderType.LIMIT_MAKER
    assert form.legs[stop].order_type is OrderType.STOP_LOSS_LIMIT
    assert (form.legs[stop].stop_price_ticks, form.legs[stop].price_ticks) == (2_900_000, 2_890_000)
