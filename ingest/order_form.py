"""The parameters of one order, read and checked: enums and format, precision, filters. Pure.

POST /order names them `type`, `price`, ...; a leg of an order list has a word before them: `workingType`,
`pendingAbovePrice`. `Names` is the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct

from ingest import filters
from schemas import public_errors as errors
from schemas.commands import RequestedOrder
from schemas.instruments import Instrument, Instruments
from schemas.orders import MARKET_TYPES, STOP_TYPES, OrderType, SelfTradePrevention, Side, TimeInForce
from schemas.public_errors import PublicError
from schemas.public_parameters import Parameters

SIGNING: Final = frozenset({"timestamp", "recvWindow", "signature"})
PEGS: Final = ("pegPriceType", "pegOffsetType", "pegOffsetValue")
EXTRAS: Final = frozenset(
    {
        *("selfTradePreventionMode", "strategyId", "strategyType", "stopPrice", "trailingDelta"),
        *("icebergQty", *PEGS),
    }
)
KNOWN: Final = (
    SIGNING
    | EXTRAS
    | {
        *("symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price"),
        *("newClientOrderId", "newOrderRespType"),
    }
)
RESPONSE_TYPES: Final = ("ACK", "RESULT", "FULL")
STP_MODES: Final = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER")
MIN_STRATEGY_TYPE: Final = 1_000_000
_TYPES: Final = {member.value: member for member in OrderType}
_SIDES: Final = {member.value: member for member in Side}
_TIMES_IN_FORCE: Final = {member.value: member for member in TimeInForce}
_STP: Final[Mapping[str, SelfTradePrevention]] = MappingProxyType(
    {member.value: member for member in SelfTradePrevention}
)
_TIMED: Final = (OrderType.LIMIT, OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)
_FULL_BY_DEFAULT: Final = (OrderType.LIMIT, OrderType.MARKET)


class Names(NamedTuple):
    """What one order's parameters are called."""

    side: str = "side"
    type: str = "type"
    time_in_force: str = "timeInForce"
    quantity: str | None = "quantity"
    """None: the leg sells what the working order received."""
    price: str = "price"
    client_order_id: str = "newClientOrderId"
    stop_price: str = "stopPrice"
    trailing_delta: str = "trailingDelta"
    iceberg: str = "icebergQty"
    strategy_id: str = "strategyId"
    strategy_type: str = "strategyType"
    quote: str | None = "quoteOrderQty"
    waits: bool = False
    """A pending leg: its price is not held against the last trade."""


PLAIN: Final = Names()


def leg_names(prefix: str, side: str | None = None, quantity: str | None = "own") -> Names:
    """Return the names of a leg; side and quantity may be shared with other legs."""
    own_quantity = f"{prefix}Quantity" if quantity == "own" else quantity
    return Names(
        side or f"{prefix}Side",
        f"{prefix}Type",
        f"{prefix}TimeInForce",
        own_quantity,
        f"{prefix}Price",
        f"{prefix}ClientOrderId",
        f"{prefix}StopPrice",
        f"{prefix}TrailingDelta",
        f"{prefix}IcebergQty",
        f"{prefix}StrategyId",
        f"{prefix}StrategyType",
        None,
        prefix.startswith("pending"),
    )


class OrderForm(Struct, frozen=True, gc=False):
    """A well-formed order within its instrument's filters."""

    instrument: Instrument
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    client_order_id: str
    response_type: str = "FULL"
    quantity_lots: int | None = None
    quote_quantity_minor: int | None = None
    price_ticks: int | None = None
    stop_price_ticks: int | None = None
    trailing_delta_bips: int | None = None
    display_lots: int | None = None
    self_trade_prevention: SelfTradePrevention | None = None
    strategy_id: int | None = None
    strategy_type: int | None = None

    def requested(self) -> RequestedOrder:
        """Return it as a part of another request."""
        return RequestedOrder(
            side=self.side,
            order_type=self.order_type,
            client_order_id=self.client_order_id,
            time_in_force=self.time_in_force,
            quantity_lots=self.quantity_lots,
            quote_quantity_minor=self.quote_quantity_minor,
            price_ticks=self.price_ticks,
            stop_price_ticks=self.stop_price_ticks,
            trailing_delta_bips=self.trailing_delta_bips,
            display_lots=self.display_lots,
            self_trade_prevention=self.self_trade_prevention,
            strategy_id=self.strategy_id,
            strategy_type=self.strategy_type,
        )


def listed(instruments: Instruments, parameters: Parameters) -> Instrument:
    """Return the instrument that `symbol` names. Raises INVALID_SYMBOL."""
    instrument = instruments.get(parameters.symbol())
    if instrument is None:
        raise errors.INVALID_SYMBOL()
    return instrument


def read_order(
    instruments: Instruments, parameters: Parameters, new_client_id: Callable[[], str]
) -> OrderForm:
    """Return the order, or raise the first refusal. `new_client_id` names an order that came without."""
    instrument = listed(instruments, parameters)
    return read_leg(instrument, parameters, PLAIN, new_client_id)


def read_leg(
    instrument: Instrument, parameters: Parameters, names: Names, new_client_id: Callable[[], str]
) -> OrderForm:
    """Return the order that the parameters of these names say, or raise the first refusal."""
    side = _SIDES.get(parameters.required(names.side))
    if side is None:
        raise errors.INVALID_SIDE()
    order_type = _TYPES.get(parameters.required(names.type))
    if order_type is None:
        raise errors.INVALID_ORDER_TYPE()
    mode = strategy_id = strategy_type = None
    if names is not PLAIN or parameters.has_any(EXTRAS):
        mode, strategy_id, strategy_type = _read_labels(parameters, names)
    client_order_id = parameters.client_id(names.client_order_id) or new_client_id()
    response_type = read_response_type(parameters, order_type)
    time_in_force = _time_in_force(parameters, names, order_type)
    form = OrderForm(
        instrument,
        side,
        order_type,
        time_in_force,
        client_order_id,
        response_type,
        self_trade_prevention=mode,
        strategy_id=strategy_id,
        strategy_type=strategy_type,
    )
    if order_type is OrderType.MARKET and names.quote is not None:
        return _read_market(form, parameters, names)
    return _read_priced(form, parameters, names)


def read_response_type(parameters: Parameters, order_type: OrderType) -> str:
    chosen = parameters.choice("newOrderRespType", RESPONSE_TYPES, errors.INVALID_DATA, "newOrderRespType")
    return chosen or ("FULL" if order_type in _FULL_BY_DEFAULT else "ACK")


def _read_labels(
    parameters: Parameters, names: Names
) -> tuple[SelfTradePrevention | None, int | None, int | None]:
    """Refuse what is not offered; return the mode, strategy id and strategy type."""
    for name in PEGS:
        if name in parameters:
            raise errors.KIND_NOT_SUPPORTED("Pegged")
    strategy_id = parameters.integer(names.strategy_id)
    strategy_type = parameters.integer(names.strategy_type)
    if strategy_type is not None and strategy_type < MIN_STRATEGY_TYPE:
        raise errors.INVALID_STRATEGY_TYPE()
    mode = parameters.choice(
        "selfTradePreventionMode", STP_MODES, errors.INVALID_DATA, "selfTradePreventionMode"
    )
    if mode is not None and mode not in _STP:
        raise errors.STP_NOT_ALLOWED()
    return None if mode is None else _STP[mode], strategy_id, strategy_type


def _time_in_force(parameters: Parameters, names: Names, order_type: OrderType) -> TimeInForce:
    if order_type not in _TIMED:
        _not_required(parameters, names.time_in_force)
        return TimeInForce.GTC
    time_in_force = _TIMES_IN_FORCE.get(parameters.required(names.time_in_force))
    if time_in_force is None:
        raise errors.INVALID_TIME_IN_FORCE()
    if time_in_force is not TimeInForce.GTC and names.iceberg in parameters:
        if names is PLAIN:
            raise errors.UNSUPPORTED_COMBINATION()
        raise errors.LEG_ICEBERG_NOT_GTC(names.iceberg)
    return time_in_force


def _read_priced(form: OrderForm, parameters: Parameters, names: Names) -> OrderForm:
    """Read an order that names its quantity in base: a limit, a stop, or a market leg of a list."""
    instrument, limited = form.instrument, form.order_type not in MARKET_TYPES
    if names.quote is not None:
        _not_required(parameters, names.quote)
    for name in (names.quantity, names.price if limited else None):
        if name is not None:
            parameters.required(name)
    if not limited:
        _not_required(parameters, names.price)
    quantity = None if names.quantity is None else parameters.decimal(names.quantity)
    price = parameters.decimal(names.price) if limited else None
    plain = form.order_type is OrderType.LIMIT and names is PLAIN and not parameters.has_any(EXTRAS)
    stop_price, delta = (None, None) if plain else _read_trigger(form, parameters, names)
    iceberg = None if plain else _read_iceberg(limited, parameters, names)
    ticks = None if price is None else filters.price_ticks(instrument, price)
    stop_ticks = None if stop_price is None else filters.price_ticks(instrument, stop_price)
    if delta is not None:
        filters.check_trailing_delta(instrument, delta)
    try:
        lots = None if quantity is None else filters.quantity_lots(instrument, quantity, market=not limited)
        display = None if iceberg is None else filters.quantity_lots(instrument, iceberg, market=False)
        if lots is not None and ticks is not None:
            filters.check_notional(instrument, instrument.notional_minor(ticks, lots))
        if lots is not None and display is not None:
            filters.check_iceberg(instrument, lots, display)
    except PublicError as refusal:
        if ticks is None or names.waits:
            raise
        raise filters.AfterPriceBand(refusal, instrument, form.side, ticks) from None
    return OrderForm(
        instrument,
        form.side,
        form.order_type,
        form.time_in_force,
        form.client_order_id,
        form.response_type,
        lots,
        None,
        ticks,
        stop_ticks,
        delta,
        display,
        form.self_trade_prevention,
        form.strategy_id,
        form.strategy_type,
    )


def _read_trigger(form: OrderForm, parameters: Parameters, names: Names) -> tuple[int | None, int | None]:
    """Return the stop price in 10**-8 and the trailing delta in basis points."""
    if form.order_type not in STOP_TYPES:
        _not_required(parameters, names.stop_price)
        _not_required(parameters, names.trailing_delta)
        return None, None
    stop_price = parameters.decimal(names.stop_price)
    delta = parameters.integer(names.trailing_delta)
    if stop_price is None and delta is None:
        raise errors.EITHER_MANDATORY(names.stop_price, names.trailing_delta)
    return stop_price, delta


def _read_iceberg(limited: bool, parameters: Parameters, names: Names) -> int | None:
    if not limited or names.quantity is None:
        _not_required(parameters, names.iceberg)
        return None
    return parameters.decimal(names.iceberg)


def _read_market(form: OrderForm, parameters: Parameters, names: Names) -> OrderForm:
    assert names.quantity is not None
    assert names.quote is not None
    instrument = form.instrument
    _not_required(parameters, names.price)
    for name in (names.stop_price, names.trailing_delta, names.iceberg):
        _not_required(parameters, name)
    quantity = parameters.decimal(names.quantity)
    budget = parameters.decimal(names.quote, instrument.quote.scale)
    if quantity is None and budget is None:
        raise errors.EITHER_MANDATORY(names.quantity, names.quote)
    if quantity is not None and budget is not None:
        raise errors.INVALID_COMBINATION()
    lots = None if quantity is None else filters.quantity_lots(instrument, quantity, market=True)
    if budget is not None:
        filters.check_notional(instrument, budget)
    return OrderForm(
        instrument,
        form.side,
        form.order_type,
        form.time_in_force,
        form.client_order_id,
        form.response_type,
        lots,
        budget,
        self_trade_prevention=form.self_trade_prevention,
        strategy_id=form.strategy_id,
        strategy_type=form.strategy_type,
    )


def _not_required(parameters: Parameters, name: str) -> None:
    if name in parameters:
        raise errors.NOT_REQUIRED(name)
