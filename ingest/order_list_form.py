"""The parameters of the order list routes, read into legs: OCO, OTO, OTOCO, OPO, OPOCO. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from ingest.order_form import (
    PEGS,
    RESPONSE_TYPES,
    SIGNING,
    Names,
    OrderForm,
    leg_names,
    listed,
    read_leg,
)
from schemas import public_errors as errors
from schemas.instruments import Instrument, Instruments
from schemas.orders import OrderListKind, OrderType, Side
from schemas.public_parameters import Parameters

_COMMON: Final = SIGNING | {
    *("symbol", "listClientOrderId", "newOrderRespType", "selfTradePreventionMode", *PEGS)
}
_WORKING: Final = leg_names("working")
_LEGS: Final[Mapping[OrderListKind, tuple[Names, ...]]] = MappingProxyType(
    {
        OrderListKind.OCO: (
            leg_names("above", "side", "quantity"),
            leg_names("below", "side", "quantity"),
        ),
        OrderListKind.OTO: (_WORKING, leg_names("pending")),
        OrderListKind.OTOCO: (
            _WORKING,
            leg_names("pendingAbove", "pendingSide", "pendingQuantity"),
            leg_names("pendingBelow", "pendingSide", "pendingQuantity"),
        ),
        OrderListKind.OPO: (_WORKING, leg_names("pending", quantity=None)),
        OrderListKind.OPOCO: (
            _WORKING,
            leg_names("pendingAbove", "pendingSide", None),
            leg_names("pendingBelow", "pendingSide", None),
        ),
    }
)
PARAMETERS: Final[Mapping[OrderListKind, frozenset[str]]] = MappingProxyType(
    {
        kind: _COMMON | {name for names in legs for name in names if type(name) is str}
        for kind, legs in _LEGS.items()
    }
)
OLD_OCO_PARAMETERS: Final = _COMMON | {
    *("side", "quantity", "price", "stopPrice", "stopLimitPrice", "stopLimitTimeInForce", "trailingDelta"),
    *("limitClientOrderId", "stopClientOrderId", "limitIcebergQty", "stopIcebergQty"),
    *("limitStrategyId", "limitStrategyType", "stopStrategyId", "stopStrategyType"),
}
_PAIRS: Final = {OrderListKind.OCO: 0, OrderListKind.OTOCO: 1, OrderListKind.OPOCO: 1}
_PROFITS: Final = (OrderType.TAKE_PROFIT, OrderType.TAKE_PROFIT_LIMIT)
_STOPS: Final = (OrderType.STOP_LOSS, OrderType.STOP_LOSS_LIMIT)


class OrderListForm(Struct, frozen=True, gc=False):
    """Well-formed legs in the order that their kind names."""

    instrument: Instrument
    kind: OrderListKind
    client_order_id: str
    legs: tuple[OrderForm, ...]
    response_type: str


def read_order_list(
    instruments: Instruments,
    parameters: Parameters,
    kind: OrderListKind,
    new_client_id: Callable[[str], str],
) -> OrderListForm:
    """Return the list, or raise the first refusal. `new_client_id` makes an id for what a name stands for."""
    instrument = listed(instruments, parameters)
    list_id = parameters.client_id("listClientOrderId") or new_client_id("list")
    legs = tuple(
        read_leg(instrument, parameters, names, lambda names=names: new_client_id(names.type))  # type: ignore[misc]
        for names in _LEGS[kind]
    )
    response_type = parameters.choice(
        "newOrderRespType", RESPONSE_TYPES, errors.INVALID_DATA, "newOrderRespType"
    )
    form = OrderListForm(instrument, kind, list_id, legs, response_type or "RESULT")
    _check(form)
    return form


def _check(form: OrderListForm) -> None:
    legs, kind = form.legs, form.kind
    if kind is not OrderListKind.OCO and legs[0].order_type not in (OrderType.LIMIT, OrderType.LIMIT_MAKER):
        raise errors.INVALID_ORDER_TYPE()
    paying = kind in (OrderListKind.OPO, OrderListKind.OPOCO)
    if paying and (legs[0].side, legs[1].side) != (Side.BUY, Side.SELL):
        raise errors.INVALID_SIDE()
    if kind in _PAIRS:
        above, below = legs[_PAIRS[kind] :]
        _check_pair(above, below)
    if len({leg.client_order_id for leg in legs}) != len(legs):
        raise errors.DUPLICATE_ORDER()


def _check_pair(above: OrderForm, below: OrderForm) -> None:
    """Raise unless one leg takes profit, the other stops a loss, and each stands on its side."""
    kinds = {above.order_type, below.order_type}
    if not kinds <= {OrderType.LIMIT_MAKER, *_PROFITS, *_STOPS}:
        raise errors.UNSUPPORTED_LEG()
    if kinds == {OrderType.LIMIT_MAKER}:
        raise errors.BOTH_LEGS_LIMIT()
    selling = above.side is Side.SELL
    profit, stop = (above, below) if selling else (below, above)
    if stop.order_type is OrderType.LIMIT_MAKER:
        raise errors.SELL_LIMIT_NOT_ABOVE() if selling else errors.BUY_LIMIT_NOT_BELOW()
    if profit.order_type in _STOPS:
        raise errors.SELL_STOP_NOT_BELOW() if selling else errors.BUY_STOP_NOT_ABOVE()
    if stop.order_type in _PROFITS:
        raise errors.SELL_PROFIT_NOT_ABOVE() if selling else errors.BUY_PROFIT_NOT_BELOW()


def of_old_oco(parameters: Parameters) -> Parameters:
    """Return the parameters of POST /orderList/oco that say what those of POST /order/oco said."""
    for name in ("price", "quantity", "side"):
        parameters.required(name)
    selling = parameters.text("side") == "SELL"
    limit, stop = ("above", "below") if selling else ("below", "above")
    stop_limit = "stopLimitPrice" in parameters
    values = {
        **{name: parameters.text(name) for name in _COMMON | {"side", "quantity"}},
        f"{limit}Type": "LIMIT_MAKER",
        f"{limit}Price": parameters.text("price"),
        f"{limit}ClientOrderId": parameters.text("limitClientOrderId"),
        f"{limit}IcebergQty": parameters.text("limitIcebergQty"),
        f"{limit}StrategyId": parameters.text("limitStrategyId"),
        f"{limit}StrategyType": parameters.text("limitStrategyType"),
        f"{stop}Type": "STOP_LOSS_LIMIT" if stop_limit else "STOP_LOSS",
        f"{stop}StopPrice": parameters.text("stopPrice"),
        f"{stop}Price": parameters.text("stopLimitPrice"),
        f"{stop}TimeInForce": parameters.text("stopLimitTimeInForce"),
        f"{stop}TrailingDelta": parameters.text("trailingDelta"),
        f"{stop}ClientOrderId": parameters.text("stopClientOrderId"),
        f"{stop}IcebergQty": parameters.text("stopIcebergQty"),
        f"{stop}StrategyId": parameters.text("stopStrategyId"),
        f"{stop}StrategyType": parameters.text("stopStrategyType"),
    }
    return Parameters({name: value for name, value in values.items() if value is not None})
